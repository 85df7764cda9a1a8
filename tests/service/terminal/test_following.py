"""`sync` and `watch` against the real service, in a thread, with short pauses."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from service.errors import ServiceError
from service.streams.hub import LIFETIME
from service.terminal import following
from service.terminal.client import Client, Unreachable
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import SLOW, TINY, replace_token
from tests.service.api.streams import stream, until_streams
from tests.serving import PATIENCE, serve, token

pytestmark = pytest.mark.anyio

STEADY: dict[str, Any] = {"DEMO_PAUSE": "0.02", "DEMO_PAGE": "20"}


def pause(_: float) -> None:
    """Replaces the pause of three seconds between two attempts."""
    time.sleep(0.01)


async def in_thread(function: Callable[..., int], url: str, token: str, arg: str | None) -> int:
    with anyio.fail_after(PATIENCE):
        return await anyio.to_thread.run_sync(
            lambda: function(Client(url, token), arg, sleep=pause), abandon_on_cancel=True
        )


async def test_sync_follows_to_the_end_and_exits_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, **STEADY) as service:
        connection = (await service.user().connect())["id"]
        for chosen in (None, connection):
            assert await in_thread(following.start, service.url + "/", token(), chosen) == 0
        assert "complete: Complete: 262 records" in capsys.readouterr().out


async def test_sync_follows_the_sync_that_is_already_running(tmp_path: Path) -> None:
    async with serve(tmp_path, **STEADY) as service:
        ann = service.user()
        await ann.connect()
        await ann.start()
        assert await in_thread(following.start, service.url, token(), None) == 0
        assert (await ann.get("/api/sync/history")).json()["total"] == 1


async def test_watch_of_a_complete_sync_exits_with_zero(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        assert await in_thread(following.watch, service.url, token(), sync_id) == 0


async def test_a_sync_that_does_not_complete_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="0.2", **SLOW) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        assert await in_thread(following.start, service.url, token(), None) == 1
        assert "failed: " in capsys.readouterr().out
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert await in_thread(following.watch, service.url, token(), sync_id) == 1
        assert "cancelled: " in capsys.readouterr().out
        await replace_token(service, connection)
        assert await in_thread(following.start, service.url, token(), None) == 1
        assert "paused: " in capsys.readouterr().out


async def test_watch_continues_after_any_number_of_ended_streams(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(
        tmp_path, clock, DEMO_PAUSE="0.9", DEMO_PAGE="2", DEMO_ORDERS="100"
    ) as service:
        await service.user().connect()
        ends = 0

        async def end_streams() -> None:
            nonlocal ends
            while True:
                await until_streams(service, 1, 20)
                clock.advance(LIFETIME.total_seconds() * 1.1)
                await until_streams(service, 0)
                ends += 1

        async with anyio.create_task_group() as group:
            group.start_soon(end_streams)
            assert await in_thread(following.start, service.url, token(), None) == 0
            group.cancel_scope.cancel()
        assert ends > following.MAX_ATTEMPTS


async def test_watch_reconnects_after_an_eviction(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="1", **STEADY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        codes: list[int] = []

        async def watch() -> None:
            codes.append(await in_thread(following.watch, service.url, token(), sync_id))

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await until_streams(service, 1)
            async with stream(ann, sync_id) as other:
                await other.event()
        assert codes == [0]


async def test_a_refusal_is_reported_with_its_reason(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        for args, text in (
            ((service.url, token(), None), "POST /api/connections"),
            ((service.url, token(), "conn_x"), "conn_x"),
            ((service.url, "forged", None), "token"),
            ((service.url, "", None), "Authentication is required"),
            ((service.url + "/nope", token(), None), "Nothing exists at"),
            ((service.url, "two\nlines", None), "token"),
            ((service.url, "tökén€", None), "token"),
        ):
            with pytest.raises(ServiceError, match=text) as caught:
                await in_thread(following.start, *args)
            assert "two" not in caught.value.detail
        for sync_id in ("sync_x", "a b", "a/../b", "é\n", "?", "#"):
            with pytest.raises(ServiceError, match=r"sync|Nothing exists at"):
                await in_thread(following.watch, service.url, token(), sync_id)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "ftp://x", "file:///etc/passwd", "127.0.0.1:8000", "http://", ""]
)
def test_an_unreachable_service_is_reported(url: str) -> None:
    with pytest.raises(Unreachable):
        following.start(Client(url, ""), None)
    with pytest.raises(Unreachable):
        following.watch(Client(url, ""), "sync_x")


class _OtherServer(BaseHTTPRequestHandler):
    """Another server, or a service whose connections break."""

    answers: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        self.wfile.write(self.answers.pop(0))

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def other_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OtherServer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def chunked(*blocks: str) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(block), block.encode()) for block in blocks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def block(version: int, status: str) -> str:
    data = json.dumps({"status": status, "progress": version, "message": "[/]"})
    return f"id: {version}\nevent: progress\ndata: {data}\n\n"


def test_watch_continues_after_every_kind_of_broken_connection(other_server: str) -> None:
    _OtherServer.answers = [
        chunked("retry: 3000\n\n", block(1, "in_progress")),  # cut between two chunks
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + block(2, "in_progress").encode(),
        b"not HTTP\r\n\r\n",
        chunked(": a comment\n\n", "event: evicted\ndata: {}\n\n"),
        chunked("event: reset\ndata: {}\n\n", block(3, "complete")),
    ]
    assert following.watch(Client(other_server, ""), "sync_1", sleep=pause) == 0
    assert _OtherServer.answers == []


def test_another_server_is_reported(other_server: str) -> None:
    for answer in (b"<html>", b"[]", b"{}", b"null", b"\xff"):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)
        _OtherServer.answers = [head + answer]
        with pytest.raises(ServiceError, match="not this service"):
            following.start(Client(other_server, ""), None)
    _OtherServer.answers = [b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"]
    with pytest.raises(ServiceError, match="502"):
        following.start(Client(other_server, ""), None)


def test_watch_stops_if_no_attempt_brings_an_event(other_server: str) -> None:
    pauses: list[float] = []
    _OtherServer.answers = [chunked("retry: 1\n\n")] * following.MAX_ATTEMPTS
    with pytest.raises(Unreachable, match=f"{following.MAX_ATTEMPTS} times"):
        following.watch(Client(other_server, ""), "sync_1", sleep=pauses.append)
    assert pauses == [following.PAUSE] * following.MAX_ATTEMPTS
