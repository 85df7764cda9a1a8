"""Login: one request for concurrent callers, early renewal, clear errors."""

from collections.abc import Callable
from datetime import timedelta

import anyio
import httpx
import pytest

from connectors.amazon.auth import Token, Tokens
from connectors.amazon.settings import AmazonSettings, read_settings
from connectors.base import (
    ConnectionLost,
    ConnectorError,
    Misconfigured,
    Retryable,
    SourceError,
)
from connectors.http import Http
from tests.connectors.clocks import NOW, JumpingClock

from .bench import Bench

pytestmark = pytest.mark.anyio

ANN = "Atzr|sandbox-1"
SETTINGS = read_settings({"AMAZON_CLIENT_ID": "client", "AMAZON_CLIENT_SECRET": "s3cret-of-ours"})


class Login:
    """A login with given responses, which it sends once it is opened."""

    def __init__(self, answer: Callable[[int], httpx.Response]) -> None:
        self.answer = answer
        self.requests = 0
        self.open = anyio.Event()
        self.clock = JumpingClock()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        number = self.requests
        await self.open.wait()
        return self.answer(number)

    def tokens(self, settings: AmazonSettings = SETTINGS) -> Tokens:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Tokens(settings, Http(lambda _: client, self.clock), self.clock)


def granted(number: int, life: int = 3_600) -> httpx.Response:
    body = {"access_token": f"Atza|{number}", "token_type": "bearer", "expires_in": life}
    return httpx.Response(200, json=body)


def denied(status: int, error: str) -> Callable[[int], httpx.Response]:
    body = {"error": error, "error_description": "The request says: s3cret-of-ours"}
    return lambda number: httpx.Response(status, json=body)


async def ask(login: Login, tokens: Tokens, askers: int) -> list[str | ConnectorError]:
    """The results of concurrent callers; the login opens when all are waiting."""
    got: list[str | ConnectorError] = []

    async def one() -> None:
        try:
            got.append(await tokens.get(ANN))
        except ConnectorError as error:
            got.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(askers):
            group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        login.open.set()
    return got


async def test_a_hundred_concurrent_callers_share_one_request() -> None:
    login = Login(granted)
    assert await ask(login, login.tokens(), 100) == ["Atza|1"] * 100
    assert login.requests == 1


async def test_a_hundred_concurrent_callers_share_one_refusal() -> None:
    login = Login(denied(400, "invalid_grant"))
    tokens = login.tokens()
    got = await ask(login, tokens, 100)
    assert all(isinstance(result, ConnectionLost) for result in got)
    assert login.requests == 1
    with pytest.raises(ConnectionLost):  # the next caller sends a request again
        await tokens.get(ANN)
    assert login.requests == 2


async def test_one_account_never_has_two_requests_in_flight() -> None:
    """Tokens that expire at once, and callers that start whenever one ends, some of them
    cancelled."""
    under_way = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
        finally:
            under_way -= 1
        return granted(1, life=0)

    clock = JumpingClock()
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    tokens = Tokens(SETTINGS, Http(lambda _: client, clock), clock)

    async def asker(number: int) -> None:
        for turn in range(5):
            with anyio.CancelScope() as scope:
                if (number + turn) % 4 == 0:
                    scope.cancel()
                await tokens.get(ANN)
            for _ in range(number % 3):
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(asker, number)
    assert most == 1
    assert tokens._requests == {}


async def test_if_the_first_caller_is_cancelled_the_next_sends_the_request() -> None:
    login = Login(granted)
    tokens = login.tokens()
    got = []

    async def second() -> None:
        got.append(await tokens.get(ANN))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as first:
                first.start_soon(tokens.get, ANN)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(second)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        login.open.set()
    assert got == ["Atza|2"]


async def test_accounts_do_not_wait_for_each_other() -> None:
    login = Login(granted)
    tokens = login.tokens()
    async with anyio.create_task_group() as group:
        group.start_soon(tokens.get, ANN)
        group.start_soon(tokens.get, "Atzr|sandbox-2")
        await anyio.wait_all_tasks_blocked()
        assert login.requests == 2
        login.open.set()


@pytest.mark.parametrize(("life", "early"), [(3_600, 60), (600, 60), (100, 10), (10, 1)])
async def test_a_token_is_renewed_before_it_expires(life: int, early: int) -> None:
    login = Login(lambda number: granted(number, life))
    login.open.set()
    tokens = login.tokens()
    assert await tokens.get(ANN) == "Atza|1"
    login.clock.time = NOW + timedelta(seconds=life - early - 0.001)
    assert await tokens.get(ANN) == "Atza|1"
    login.clock.time = NOW + timedelta(seconds=life - early)
    assert await tokens.get(ANN) == "Atza|2"


async def test_the_life_of_a_token_starts_with_its_request() -> None:
    clock = JumpingClock()

    async def slow(request: httpx.Request) -> httpx.Response:
        await clock.sleep(20)
        return granted(1, life=100)

    client = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    tokens = Tokens(SETTINGS, Http(lambda _: client, clock), clock)
    await tokens.get(ANN)
    assert tokens._tokens[ANN].until == NOW + timedelta(seconds=90)


async def test_a_rejected_token_is_dropped_but_not_a_newer_one() -> None:
    login = Login(granted)
    login.open.set()
    tokens = login.tokens()
    old = await tokens.get(ANN)
    tokens.forget(ANN, old)
    new = await tokens.get(ANN)
    tokens.forget(ANN, old)
    tokens.forget("Atzr|nobody", old)
    assert [old, new, await tokens.get(ANN)] == ["Atza|1", "Atza|2", "Atza|2"]


async def test_the_number_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.amazon.auth.MAX_TOKENS", 3)
    login = Login(granted)
    login.open.set()
    tokens = login.tokens()
    for number in range(10):
        await tokens.get(f"Atzr|{number}")
    assert list(tokens._tokens) == ["Atzr|7", "Atzr|8", "Atzr|9"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "invalid_grant", ConnectionLost),
        (400, "unauthorized_client", ConnectionLost),
        (401, "invalid_client", Misconfigured),
        (400, "temporarily_unavailable", Retryable),
        (429, "", Retryable),
        (500, "server_error", Retryable),
        (503, "", Retryable),
        (400, "invalid_request", SourceError),
        (400, "unsupported_grant_type", SourceError),
        (302, "", SourceError),
    ],
)
async def test_a_refusal_raises_the_right_error(
    status: int, error: str, kind: type[ConnectorError]
) -> None:
    login = Login(denied(status, error))
    login.open.set()
    with pytest.raises(ConnectorError) as caught:
        await login.tokens().get(ANN)
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[]",
        b"null",
        b'{"error": "\xff", "access_token": "\xff"}',
        b'{"access_token": "Atza|x"}',
        b'{"access_token": null, "expires_in": 3600}',
        b'{"access_token": "Atza|x", "expires_in": 999999999999999999}',
    ],
)
async def test_an_invalid_response_raises_a_connector_error(status: int, body: bytes) -> None:
    login = Login(lambda number: httpx.Response(status, content=body))
    login.open.set()
    with pytest.raises(ConnectorError) as caught:
        await login.tokens().get(ANN)
    assert isinstance(caught.value, SourceError if status == 400 else Retryable)
    assert "Atza" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, ["AMAZON_CLIENT_ID", "AMAZON_CLIENT_SECRET"]),
        ({"AMAZON_CLIENT_ID": "client"}, ["AMAZON_CLIENT_SECRET"]),
        ({"AMAZON_CLIENT_SECRET": "secret"}, ["AMAZON_CLIENT_ID"]),
    ],
)
async def test_missing_settings_are_named_without_a_request(
    given: dict[str, str], named: list[str]
) -> None:
    login = Login(granted)
    with pytest.raises(Misconfigured) as caught:
        await login.tokens(read_settings(given)).get(ANN)
    words = str(caught.value).replace(".", "").split()
    assert [word for word in words if word.startswith("AMAZON_")] == named
    assert login.requests == 0


async def test_the_sandbox_accepts_and_refuses_logins_like_amazon(bench: Bench) -> None:
    assert (await bench.tokens.get(ANN)).startswith("Atza|")
    with pytest.raises(ConnectionLost, match="Connect the account again"):
        await bench.tokens.get("Atzr|somebody-else")
    bench.settings = read_settings(
        {
            "AMAZON_CLIENT_ID": "client",
            "AMAZON_CLIENT_SECRET": "wrong-secret",
            "AMAZON_LWA_URL": bench.settings.lwa_url,
        }
    )
    bench.restart()
    with pytest.raises(Misconfigured, match="AMAZON_CLIENT_SECRET"):
        await bench.tokens.get(ANN)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "invalid_grant"), (401, "invalid_client"), (400, "invalid_request"), (500, "")],
)
async def test_no_secret_is_in_the_text_of_an_error(status: int, error: str) -> None:
    login = Login(denied(status, error))
    login.open.set()
    with pytest.raises(ConnectorError) as caught:
        await login.tokens().get(ANN)
    text = f"{caught.value!r} {caught.value}"
    assert "s3cret-of-ours" not in text
    assert ANN not in text


async def test_no_secret_is_in_any_repr(bench: Bench) -> None:
    access = await bench.tokens.get(ANN)
    shown = f"{Token(access, NOW)!r} {bench.tokens!r} {bench.tokens._tokens!r} {bench.client!r}"
    shown += f"{bench.settings!r}"
    for secret in (access, bench.settings.client_secret):
        assert secret not in shown
