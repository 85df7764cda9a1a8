"""`sync` and `watch` against the real service, each in a thread as the command line runs it."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from service import terminal
from service.errors import ServiceError
from service.streams import hub
from tests.service.api.answers import SLOW, TINY, replace_token
from tests.service.api.streams import stream, until_streams
from tests.serving import serve, token

pytestmark = pytest.mark.anyio

STEADY: dict[str, Any] = {"DEMO_PAUSE": "0.02", "DEMO_PAGE": "20"}


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PAUSE", 0.01)


async def in_thread(function: Callable[..., int], *args: object) -> int:
    with anyio.fail_after(20):
        return await anyio.to_thread.run_sync(lambda: function(*args), abandon_on_cancel=True)


async def test_sync_follows_to_the_end_and_exits_with_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, **STEADY) as service:
        connection = (await service.user().connect())["id"]
        for wanted in (None, connection):
            assert await in_thread(terminal.start, service.url + "/", token(), wanted) == 0
        assert "complete: Complete: 262 records" in capsys.readouterr().out


async def test_sync_joins_the_sync_that_runs(tmp_path: Path) -> None:
    async with serve(tmp_path, **STEADY) as service:
        ann = service.user()
        await ann.connect()
        await ann.start()
        assert await in_thread(terminal.start, service.url, token(), None) == 0
        assert (await ann.get("/api/sync/history")).json()["total"] == 1


async def test_watch_of_what_is_complete_exits_with_zero(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        assert await in_thread(terminal.watch, service.url, token(), sync_id) == 0


async def test_what_is_not_complete_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="0.2", **SLOW) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        assert await in_thread(terminal.start, service.url, token(), None) == 1
        assert "failed: " in capsys.readouterr().out
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert await in_thread(terminal.watch, service.url, token(), sync_id) == 1
        assert "cancelled: " in capsys.readouterr().out
        await replace_token(service, connection)
        assert await in_thread(terminal.start, service.url, token(), None) == 1
        assert "paused: " in capsys.readouterr().out


async def test_watch_goes_on_however_often_its_stream_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TICK", 0.01)
    monkeypatch.setattr(hub, "LIFE", timedelta(seconds=0.01))
    monkeypatch.setattr(terminal, "RECONNECTS", 3)
    async with serve(tmp_path, DEMO_PAUSE="0.02", DEMO_PAGE="5") as service:
        await service.user().connect()
        assert await in_thread(terminal.start, service.url, token(), None) == 0


async def test_watch_comes_back_when_it_was_evicted(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="1", **STEADY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        codes: list[int] = []

        async def watch() -> None:
            codes.append(await in_thread(terminal.watch, service.url, token(), sync_id))

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await until_streams(service, 1)
            async with stream(ann, sync_id) as other:
                await other.event()
        assert codes == [0]


async def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        for args, words in (
            ((service.url, token(), None), "POST /api/connections"),
            ((service.url, token(), "conn_x"), "conn_x"),
            ((service.url, "forged", None), "token"),
            ((service.url, "", None), "Say who you are"),
            ((service.url + "/nope", token(), None), "nothing at"),
            ((service.url, "two\nlines", None), "token"),
            ((service.url, "tökén€", None), "token"),
        ):
            with pytest.raises(ServiceError, match=words) as caught:
                await in_thread(terminal.start, *args)
            assert "two" not in caught.value.detail
        for sync_id in ("sync_x", "a b", "a/../b", "é\n", "?", "#"):
            with pytest.raises(ServiceError, match=r"You have no sync|nothing at"):
                await in_thread(terminal.watch, service.url, token(), sync_id)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "ftp://x", "file:///etc/passwd", "127.0.0.1:8000", "http://", ""]
)
def test_a_service_that_is_not_there_is_said_so(url: str) -> None:
    with pytest.raises(terminal.Unreachable):
        terminal.start(url, "", None)
    with pytest.raises(terminal.Unreachable):
        terminal.watch(url, "", "sync_x")


class _Strange(BaseHTTPRequestHandler):
    """What is no service of ours, or one that breaks off."""

    answers: ClassVar[list[bytes]] = []

    def do_GET(self) -> None:
        self.wfile.write(self.answers.pop(0))

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def strange() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Strange)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def chunked(*blocks: str) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(each), each.encode()) for each in blocks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def block(version: int, status: str) -> str:
    data = json.dumps({"status": status, "progress": version, "message": "[/]"})
    return f"id: {version}\nevent: progress\ndata: {data}\n\n"


def test_watch_survives_whatever_breaks_off(strange: str) -> None:
    _Strange.answers = [
        chunked("retry: 3000\n\n", block(1, "in_progress")),  # cut between two chunks
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + block(2, "in_progress").encode(),
        b"no http\r\n\r\n",
        chunked(": a comment\n\n", "event: evicted\ndata: {}\n\n"),
        chunked("event: reset\ndata: {}\n\n", block(3, "complete")),
    ]
    assert terminal.watch(strange, "", "sync_1") == 0
    assert _Strange.answers == []


def test_what_is_not_this_service_is_said_so(strange: str) -> None:
    for answer in (b"<html>", b"[]", b"{}", b"null", b"\xff"):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)
        _Strange.answers = [head + answer]
        with pytest.raises(ServiceError, match="not this service"):
            terminal.start(strange, "", None)
    _Strange.answers = [b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"]
    with pytest.raises(ServiceError, match="502"):
        terminal.start(strange, "", None)


def test_a_stream_that_never_tells_anything_is_given_up(
    strange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "RECONNECTS", 3)
    _Strange.answers = [chunked("retry: 1\n\n")] * 3
    with pytest.raises(terminal.Unreachable, match="broke off 3 times"):
        terminal.watch(strange, "", "sync_1")
