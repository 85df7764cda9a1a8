"""The HTTP client against all known kinds of failures."""

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


class FakeSource:
    """Sends the given replies in order; the last one repeats."""

    def __init__(self, *replies: Callable[[], Reply]) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.clock = JumpingClock()
        self.tries: list[int] = []
        self.waits: list[tuple[datetime, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # A copy, since the request is sent again with other headers.
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
                "http://source/side", {"q": "a+b"}, self.before, self.waiting
            )

    async def before(self) -> dict[str, str]:
        self.tries.append(len(self.requests))
        return {"X-Try": str(len(self.tries))}

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append((until, why))


def says(status: int, headers: dict[str, str] | None = None) -> Callable[[], Reply]:
    return lambda: httpx.Response(status, headers=headers, content=b"{}")


def fails(kind: type[Exception]) -> Callable[[], Reply]:
    return lambda: kind("broken")


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 413, 429])
async def test_any_response_below_500_is_returned_at_once(status: int) -> None:
    source = FakeSource(says(status, {"X-Amzn-RequestId": "7"}))
    answer = await source.get()
    assert (answer.status, answer.body) == (status, b"{}")
    assert answer.headers["x-amzn-requestid"] == "7"
    assert len(source.requests) == 1
    assert source.clock.slept == []


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
        fails(AttributeError),  # of a connection that is closed as soon as it is open
        fails(OSError),
        lambda: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Torn()),
    ],
)
async def test_a_failure_is_retried_after_a_pause(fault: Callable[[], Reply]) -> None:
    source = FakeSource(fault, fault, says(200))
    assert (await source.get()).status == 200
    assert len(source.requests) == 3
    first, second = source.clock.slept
    assert 0.5 <= first <= 1
    assert 1 <= second <= 2


class Torn(httpx.AsyncByteStream):
    """A body that is announced as compressed, but is not."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"this is no gzip"


async def test_the_last_response_is_returned_even_if_it_is_a_5xx() -> None:
    source = FakeSource(says(503))
    assert (await source.get()).status == 503
    assert len(source.requests) == polite.TRIES
    assert len(source.clock.slept) == polite.TRIES - 1


async def test_a_permanent_network_failure_is_retryable_and_names_the_host() -> None:
    source = FakeSource(fails(httpx.ConnectError))
    with pytest.raises(Retryable, match="source cannot be reached"):
        await source.get()
    assert len(source.requests) == polite.TRIES


async def test_pauses_grow_up_to_a_limit() -> None:
    source = FakeSource(says(500))
    async with httpx.AsyncClient(transport=httpx.MockTransport(source)) as client:
        http = Http(lambda _: client, source.clock, tries=12)
        await http.get("http://source", {}, source.before, source.waiting)
    for number, slept in enumerate(source.clock.slept, 1):
        most = min(0.5 * 2**number, polite.LONGEST_PAUSE)
        assert most / 2 <= slept <= most


@pytest.mark.parametrize(
    ("asked", "slept"),
    [("7", 7), ("120", 120), ("86400", 120), ("9" * 400, 120)],
)
async def test_retry_after_is_honoured_up_to_two_minutes(asked: str, slept: float) -> None:
    source = FakeSource(says(503, {"Retry-After": asked}), says(200))
    await source.get()
    assert source.clock.slept == [slept]


@pytest.mark.parametrize("asked", ["", "soon", "-5", "²", "1.5", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_an_invalid_retry_after_is_ignored(asked: str) -> None:
    headers = httpx.Headers([(b"retry-after", asked.encode())])
    source = FakeSource(lambda: httpx.Response(503, headers=headers), says(200))
    await source.get()
    assert 0.5 <= source.clock.slept[0] <= 1


async def test_a_pause_of_more_than_a_second_is_announced() -> None:
    source = FakeSource(says(500), says(503, {"Retry-After": "30"}), says(200))
    await source.get()
    first, _ = source.clock.slept
    [(until, why)] = source.waits
    assert first <= 1
    assert (until - NOW).total_seconds() == pytest.approx(first + 30, abs=0.001)
    assert why == "source to answer again"


async def test_before_is_awaited_before_every_attempt_and_adds_its_headers() -> None:
    source = FakeSource(says(500), fails(httpx.ReadError), says(200))
    await source.get()
    assert source.tries == [0, 1, 2]
    assert [request.headers["x-try"] for request in source.requests] == ["1", "2", "3"]


async def test_an_error_of_before_is_not_retried() -> None:
    async def before() -> dict[str, str]:
        raise LookupError

    source = FakeSource(says(200))
    async with httpx.AsyncClient(transport=httpx.MockTransport(source)) as client:
        with pytest.raises(LookupError):
            await Http(lambda _: client, source.clock).get(
                "http://source", {}, before, source.waiting
            )
    assert source.requests == []


async def test_parameters_are_encoded_once() -> None:
    source = FakeSource(says(200))
    await source.get()
    assert source.requests[0].url.query == b"q=a%2Bb"


async def test_a_get_has_no_body() -> None:
    source = FakeSource(says(200))
    await source.get()
    assert source.bodies == [b""]
    assert "content-length" not in source.requests[0].headers


async def test_a_body_that_is_too_large_is_refused_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polite, "LARGEST_BODY", 1_000)
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield b"x" * 100

    source = FakeSource(lambda: httpx.Response(200, stream=Endless(endless())))
    with pytest.raises(Retryable, match="more than 1000 bytes"):
        await source.get()
    assert drawn == 11
    assert len(source.requests) == 1


class Endless(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


async def test_a_form_is_posted_and_retried() -> None:
    source = FakeSource(says(500), says(200))
    async with httpx.AsyncClient(transport=httpx.MockTransport(source)) as client:
        form = {"a": "b|c", "d": ""}
        answer = await Http(lambda _: client, source.clock).post_form("http://source", form)
    assert answer.status == 200
    assert source.bodies == [b"a=b%7Cc&d="] * 2


async def test_an_opened_client_sends_its_user_agent(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(json={})
    source = FakeSource(says(200))
    async with open_http(source.clock, "seller-sync/1 (test)") as http:
        await http.get("http://source", {}, source.before, source.waiting)
    [request] = httpx_mock.get_requests()
    assert request.headers["user-agent"] == "seller-sync/1 (test)"
    assert request.headers["accept"] == "application/json"


async def test_a_cookie_of_one_account_is_not_sent_for_another(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(json={}, headers={"Set-Cookie": "session=ann; Path=/"})
    httpx_mock.add_response(json={})
    source = FakeSource(says(200))
    async with open_http(source.clock, "seller-sync/1 (test)") as http:
        await http.get("http://source", {}, source.before, source.waiting)
        await http.get("http://source", {}, source.before, source.waiting)
    assert all("cookie" not in request.headers for request in httpx_mock.get_requests())
