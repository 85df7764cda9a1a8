"""Connecting while the source answers slowly ends in bounded time and stores nothing."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from connectors import amazon_sandbox as amazon
from connectors import calls
from service import source_calls
from tests.connectors.hostile import ServerConnection, listening
from tests.service.api.answers import problem
from tests.serving import PATIENCE, read, serve

pytestmark = pytest.mark.anyio

LOGIN = b"POST /auth/o2/token"
TOKEN = b'{"access_token":"Atza|1","refresh_token":"Atzr|1","expires_in":3600}'
Slow = Callable[[ServerConnection], Awaitable[None]]


async def trickles(source: ServerConnection) -> None:
    await source.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await source.trickle(b"x" * 100_000, 0.02)


async def throttles(source: ServerConnection) -> None:
    await source.reply(b"{}", b"503 Service Unavailable", b"Retry-After: 120")


@pytest.mark.parametrize("where", ["login", "call"])
@pytest.mark.parametrize("slow", [ServerConnection.hang, trickles, throttles])
async def test_connecting_ends_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, slow: Slow
) -> None:
    monkeypatch.setattr(source_calls, "SOURCE_TIMEOUT", 1.0)
    monkeypatch.setattr(calls, "SLOW", 0.1)

    async def answer(line: bytes, source: ServerConnection) -> None:
        if where == "call" and line.startswith(LOGIN):
            await source.reply(TOKEN)
        else:
            await slow(source)

    async with (
        listening(answer) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        with anyio.fail_after(PATIENCE):
            refused = await ann.post("/api/connections", amazon.connection(1, 20))
        problem(refused, 503, "source_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert read(await ann.get("/api/connections")) == {"connections": []}


async def test_a_consent_ends_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_calls, "SOURCE_TIMEOUT", 1.0)

    async def answer(line: bytes, source: ServerConnection) -> None:
        await trickles(source)

    async with (
        listening(answer) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
    ):
        ann = service.user()
        sent = await ann.get("/api/connections/amazon/authorize?region=NA")
        state = re.findall(r"[?&]state=([\w-]+)", sent.headers["location"])[0]
        back = f"/api/connections/amazon/callback?state={state}&spapi_oauth_code=code"
        with anyio.fail_after(PATIENCE):
            done = await ann.get(back)
        assert done.headers["location"] == "/#/overview?refused=source_unavailable"
        assert read(await ann.get("/api/connections")) == {"connections": []}
