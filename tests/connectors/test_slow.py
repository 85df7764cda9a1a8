"""A slow source delays other calls at most for the deadline of a call."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import anyio
import pytest

from connectors import calls
from connectors import http as polite
from connectors.base import Retryable, SystemClock
from connectors.http import Answer, Http, open_http
from tests.serving import PATIENCE

from .hostile import ServerConnection, listening

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


async def slow_head(server: ServerConnection) -> None:
    await server.trickle(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 100_000, 0.02)


async def slow_body(server: ServerConnection) -> None:
    await server.send(HEAD)
    await server.trickle(b"x" * 100_000, 0.02)


async def silent_body(server: ServerConnection) -> None:
    await server.send(HEAD)
    await server.hang()


SLOW = [slow_head, slow_body, silent_body, ServerConnection.hang]


class Asker:
    def __init__(self, http: Http, url: str) -> None:
        self.http = http
        self.url = url
        self.waits: list[str] = []

    async def get(self, path: str) -> Answer:
        return await self.http.get(self.url + path, {}, self.before, self.waiting)

    async def before(self) -> dict[str, str]:
        return {}

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append(why)


@asynccontextmanager
async def asking(slow: Callable[[ServerConnection], object]) -> AsyncIterator[Asker]:
    """A server that responds to /quick at once and to everything else slowly."""

    async def answer(line: bytes, server: ServerConnection) -> None:
        if b"/quick" in line:
            await server.reply(b"{}")
        else:
            await slow(server)  # type: ignore[misc]

    async with listening(answer) as url, open_http(SystemClock(), "test") as http:
        yield Asker(http, url)


@pytest.mark.parametrize("slow", SLOW)
async def test_a_call_ends_at_its_deadline_even_if_bytes_keep_arriving(
    monkeypatch: pytest.MonkeyPatch, slow: Callable[[ServerConnection], object]
) -> None:
    monkeypatch.setattr(calls, "DEADLINE", 0.3)
    async with asking(slow) as asker:
        with pytest.raises(Retryable, match="did not answer within"):
            await asker.get("/slow")
        assert (await asker.get("/quick")).status == 200


async def test_all_attempts_of_a_call_share_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that times out with every attempt is not tried five times."""
    monkeypatch.setattr(calls, "DEADLINE", 0.5)
    monkeypatch.setattr(polite, "TIMEOUT", 0.3)
    monkeypatch.setattr(polite, "FIRST_PAUSE", 0.01)
    tries = 0

    async def slow(server: ServerConnection) -> None:
        nonlocal tries
        tries += 1
        await server.hang()

    async with asking(slow) as asker:
        with pytest.raises(Retryable):
            await asker.get("/slow")
    assert tries == 2


@pytest.mark.parametrize("slow", SLOW)
async def test_slow_calls_give_their_slots_to_others(
    monkeypatch: pytest.MonkeyPatch, slow: Callable[[ServerConnection], object]
) -> None:
    """With more slow responses than slots, a quick one still arrives."""
    monkeypatch.setattr(calls, "SLOW", 0.2)
    async with asking(slow) as asker, anyio.create_task_group() as group:
        for _ in range(calls.CALLS_AT_ONCE + 1):
            group.start_soon(asker.get, "/slow")
        await anyio.sleep(0.1)
        with anyio.fail_after(PATIENCE):
            assert (await asker.get("/quick")).status == 200
        group.cancel_scope.cancel()


async def test_no_more_clients_are_kept_than_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "SLOW", 0.05)
    monkeypatch.setattr(calls, "DEADLINE", 0.5)
    async with asking(ServerConnection.hang) as asker:

        async def once() -> None:
            with pytest.raises(Retryable):
                await asker.get("/slow")

        async with anyio.create_task_group() as group:
            for _ in range(3 * calls.CALLS_AT_ONCE):
                group.start_soon(once)
        [host] = asker.http._hosts.values()
        assert len(host.idle) == calls.CALLS_AT_ONCE
        assert host._slots.value == calls.CALLS_AT_ONCE


async def test_a_slow_call_is_announced_once_and_a_quick_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "SLOW", 0.1)
    monkeypatch.setattr(calls, "DEADLINE", 0.6)
    async with asking(slow_body) as asker:
        await asker.get("/quick")
        with pytest.raises(Retryable):
            await asker.get("/slow")
        assert asker.waits == ["127.0.0.1, which is slow to answer"]


async def test_a_caller_that_refuses_to_wait_still_gets_a_slow_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "SLOW", 0.05)

    async def slow(server: ServerConnection) -> None:
        await anyio.sleep(0.3)
        await server.reply(b"{}")

    async def refuses(until: datetime, why: str) -> None:
        raise Retryable("Busy.")

    async with asking(slow) as asker:
        asker.waiting = refuses  # type: ignore[method-assign]
        assert (await asker.get("/slow")).status == 200


async def test_an_error_of_an_announcement_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another process had taken over the sync."""
    monkeypatch.setattr(calls, "SLOW", 0.05)
    monkeypatch.setattr(calls, "DEADLINE", 0.3)

    async def overtaken(until: datetime, why: str) -> None:
        raise LookupError

    async with asking(ServerConnection.hang) as asker:
        asker.waiting = overtaken  # type: ignore[method-assign]
        with pytest.raises(LookupError):
            await asker.get("/slow")


# Documents ----------------------------------------------------------------------------------------


async def read(http: Http, url: str, pause: float = 0.0) -> int:
    size = 0
    async with http.download(url) as download:
        async for chunk in download.chunks:
            size += len(chunk)
            await anyio.sleep(pause)
    return size


@pytest.mark.parametrize("slow", SLOW)
async def test_a_document_that_arrives_too_slowly_is_given_up(
    monkeypatch: pytest.MonkeyPatch, slow: Callable[[ServerConnection], object]
) -> None:
    monkeypatch.setattr(calls, "DEADLINE", 0.3)
    monkeypatch.setattr(polite, "PIECE_SECONDS", 0.3)
    async with asking(slow) as asker:
        with pytest.raises(Retryable, match=r"within|too slowly"):
            await read(asker.http, asker.url + "/slow")


async def test_a_document_may_take_longer_than_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "DEADLINE", 0.3)
    monkeypatch.setattr(polite, "PIECE", 10)
    monkeypatch.setattr(polite, "PIECE_SECONDS", 10)

    async def steady(server: ServerConnection) -> None:
        await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        await server.trickle(b"x" * 100, 0.01)

    async with asking(steady) as asker:
        assert await read(asker.http, asker.url + "/slow") == 100


async def test_the_time_that_the_reader_takes_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(polite, "PIECE", 10)
    monkeypatch.setattr(polite, "PIECE_SECONDS", 0.3)

    async def quick(server: ServerConnection) -> None:
        await server.reply(b"x" * 50)

    async with asking(quick) as asker:
        assert await read(asker.http, asker.url + "/slow", pause=0.4) == 50
