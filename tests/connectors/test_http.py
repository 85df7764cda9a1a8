"""The polite client before a far side that is broken in every way that is known."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

import httpx
import pytest
from pytest_httpx import HTTPXMock

from connectors import http as polite
from connectors.base import Retryable
from connectors.http import Answer, Http, open_http

from .clocks import NOW, JumpingClock

pytestmark = pytest.mark.anyio

Reply = httpx.Response | Exception


class FarSide:
    """Answers in turn as it is told; the last answer stays."""

    def __init__(self, *replies: Callable[[], Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.clock = JumpingClock()
        self.tries: list[int] = []
        self.waits: list[tuple[datetime, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # A copy: one request is sent again and again, with other headers.
        self.requests.append(httpx.Request(request.method, request.url, headers=request.headers))
        self.bodies.append(request.content)
        make = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        reply = make()
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def get(self) -> Answer:
        transport = httpx.MockTransport(self)
        async with httpx.AsyncClient(transport=transport) as client:
            return await Http(lambda _: client, self.clock).get(
                "http://far/side", {"q": "a+b"}, self.before, self.waiting
            )

    async def before(self) -> dict[str, str]:
        self.tries.append(len(self.requests))
        return {"X-Try": str(len(self.tries))}

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append((until, why))


def says(status: int, headers: dict[str, str] | None = None) -> Callable[[], Reply]:
    return lambda: httpx.Response(status, headers=headers, content=b"{}")


def fails(kind: type[httpx.RequestError]) -> Callable[[], Reply]:
    return lambda: kind("broken")


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 413, 429])
async def test_any_answer_below_500_comes_back_at_once(status: int) -> None:
    far = FarSide(says(status, {"X-Amzn-RequestId": "7"}))
    answer = await far.get()
    assert (answer.status, answer.body) == (status, b"{}")
    assert answer.headers["x-amzn-requestid"] == "7"
    assert len(far.requests) == 1
    assert far.clock.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        says(500),
        says(503),
        says(504),
        fails(httpx.ConnectError),
        fails(httpx.ConnectTimeout),
        fails(httpx.ReadTimeout),
        fails(httpx.RemoteProtocolError),
        lambda: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Torn()),
    ],
)
async def test_a_fault_is_tried_again_after_a_pause(fault: Callable[[], Reply]) -> None:
    far = FarSide(fault, fault, says(200))
    assert (await far.get()).status == 200
    assert len(far.requests) == 3
    first, second = far.clock.slept
    assert 0.5 <= first <= 1
    assert 1 <= second <= 2


class Torn(httpx.AsyncByteStream):
    """Says that it is compressed, and is not."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"this is no gzip"


async def test_the_last_answer_comes_back_even_if_it_is_a_fault() -> None:
    far = FarSide(says(503))
    assert (await far.get()).status == 503
    assert len(far.requests) == polite.TRIES
    assert len(far.clock.slept) == polite.TRIES - 1


async def test_a_way_that_stays_broken_is_retryable_and_names_the_host() -> None:
    far = FarSide(fails(httpx.ConnectError))
    with pytest.raises(Retryable, match="far cannot be reached"):
        await far.get()
    assert len(far.requests) == polite.TRIES


async def test_pauses_grow_but_not_beyond_the_longest() -> None:
    far = FarSide(says(500))
    async with httpx.AsyncClient(transport=httpx.MockTransport(far)) as client:
        http = Http(lambda _: client, far.clock, tries=12)
        await http.get("http://far", {}, far.before, far.waiting)
    for number, slept in enumerate(far.clock.slept, 1):
        most = min(0.5 * 2**number, polite.LONGEST_PAUSE)
        assert most / 2 <= slept <= most


@pytest.mark.parametrize(
    ("asked", "slept"),
    [("7", 7), ("120", 120), ("86400", 120), ("9" * 400, 120)],
)
async def test_retry_after_is_honoured_up_to_two_minutes(asked: str, slept: float) -> None:
    far = FarSide(says(503, {"Retry-After": asked}), says(200))
    await far.get()
    assert far.clock.slept == [slept]


@pytest.mark.parametrize("asked", ["", "soon", "-5", "²", "1.5", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_a_retry_after_that_is_no_number_changes_nothing(asked: str) -> None:
    headers = httpx.Headers([(b"retry-after", asked.encode())])
    far = FarSide(lambda: httpx.Response(503, headers=headers), says(200))
    await far.get()
    assert 0.5 <= far.clock.slept[0] <= 1


async def test_a_pause_of_more_than_a_second_is_announced() -> None:
    far = FarSide(says(500), says(503, {"Retry-After": "30"}), says(200))
    await far.get()
    first, _ = far.clock.slept
    [(until, why)] = far.waits
    assert first <= 1
    assert (until - NOW).total_seconds() == pytest.approx(first + 30, abs=0.001)
    assert why == "far to answer again"


async def test_before_is_awaited_ahead_of_every_try_and_gives_its_headers() -> None:
    far = FarSide(says(500), fails(httpx.ReadError), says(200))
    await far.get()
    assert far.tries == [0, 1, 2]
    assert [each.headers["x-try"] for each in far.requests] == ["1", "2", "3"]


async def test_what_before_raises_is_not_tried_again() -> None:
    async def before() -> dict[str, str]:
        raise LookupError

    far = FarSide(says(200))
    async with httpx.AsyncClient(transport=httpx.MockTransport(far)) as client:
        with pytest.raises(LookupError):
            await Http(lambda _: client, far.clock).get("http://far", {}, before, far.waiting)
    assert far.requests == []


async def test_parameters_are_encoded_once() -> None:
    far = FarSide(says(200))
    await far.get()
    assert far.requests[0].url.query == b"q=a%2Bb"


async def test_a_get_has_no_body() -> None:
    far = FarSide(says(200))
    await far.get()
    assert far.bodies == [b""]
    assert "content-length" not in far.requests[0].headers


async def test_a_body_that_is_too_large_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polite, "LARGEST_BODY", 1_000)
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield b"x" * 100

    far = FarSide(lambda: httpx.Response(200, stream=Endless(endless())))
    with pytest.raises(Retryable, match="more than 1000 bytes"):
        await far.get()
    assert drawn == 11
    assert len(far.requests) == 1


class Endless(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


async def test_a_form_is_posted_as_a_form_and_tried_again_like_everything() -> None:
    far = FarSide(says(500), says(200))
    async with httpx.AsyncClient(transport=httpx.MockTransport(far)) as client:
        form = {"a": "b|c", "d": ""}
        answer = await Http(lambda _: client, far.clock).post_form("http://far", form)
    assert answer.status == 200
    assert far.bodies == [b"a=b%7Cc&d="] * 2


async def test_an_opened_client_says_who_it_is(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(json={})
    far = FarSide(says(200))
    async with open_http(far.clock, "seller-sync/1 (test)") as http:
        await http.get("http://far", {}, far.before, far.waiting)
    [request] = httpx_mock.get_requests()
    assert request.headers["user-agent"] == "seller-sync/1 (test)"
    assert request.headers["accept"] == "application/json"


async def test_a_cookie_of_one_account_is_not_sent_for_another(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(json={}, headers={"Set-Cookie": "session=ann; Path=/"})
    httpx_mock.add_response(json={})
    far = FarSide(says(200))
    async with open_http(far.clock, "seller-sync/1 (test)") as http:
        await http.get("http://far", {}, far.before, far.waiting)
        await http.get("http://far", {}, far.before, far.waiting)
    assert all("cookie" not in each.headers for each in httpx_mock.get_requests())
