"""Limits of connections: only slow clients are disconnected."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from service.edge.limits import DEFAULT, LOG_INTERVAL, Limits, ThrottledLog
from tests.service.api.answers import SLOW, connection_to, problem
from tests.service.api.streams import Reader, until_streams
from tests.service.edge.test_protocol import only_response, until_stalled
from tests.service.scripted import scripted
from tests.serving import PATIENCE, Serving, serve_within, token

pytestmark = pytest.mark.anyio

SHORT = Limits(head=0.3, idle=0.3, window=0.3, rate=1000, tick=0.02)
HEAD = f"Host: x\r\nAuthorization: Bearer {token()}\r\n"
MANY: dict[str, Any] = {"DEMO_ORDERS": "3000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.001"}
LARGE = 400
"""Number of records of 10 KB, more than the buffers between the service and a client hold."""


@pytest.fixture
async def short(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serve_within(SHORT, tmp_path, **SLOW) as service:
        yield service


@asynccontextmanager
async def serve_large_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits = SHORT
) -> AsyncIterator[Serving]:
    """A service with large records."""
    script = scripted(monkeypatch)
    script.set_records(
        "orders", *(f"order-{number:05}" for number in range(LARGE)), value="x" * 10_000
    )
    async with serve_within(limits, folder) as service:
        await service.user().connect()
        await service.user().whole_sync()
        yield service


async def trickle(service: Serving, start: bytes, piece: bytes = b"") -> bytes:
    """All bytes that a client receives while it sends slowly, until the connection is closed."""
    received = b""
    async with connection_to(service) as stream, anyio.create_task_group() as group:
        if start:
            await stream.send(start)
        group.start_soon(_send_slowly, stream, piece)
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    received += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass
        group.cancel_scope.cancel()
    return received


async def _send_slowly(stream: SocketStream, piece: bytes) -> None:
    try:
        while piece:
            await anyio.sleep(0.05)
            await stream.send(piece)
    except anyio.BrokenResourceError:
        pass


async def until_connections(service: Serving, connections: int = 0) -> None:
    with anyio.fail_after(PATIENCE):
        while len(service.connections) > connections:
            await anyio.sleep(0.01)


async def until_paused(service: Serving, connections: int) -> None:
    """Wait until this many connections could not send because their clients do not read."""
    paused = set[Any]()
    with anyio.fail_after(PATIENCE):
        while len(paused) < connections:
            paused |= {c for c in service.connections if c.flow.write_paused}
            await anyio.sleep(0.01)


# Heads --------------------------------------------------------------------------------------------


async def test_a_connection_that_sends_nothing_is_closed_without_a_response(short: Serving) -> None:
    assert await trickle(short, b"") == b""


async def test_a_connection_that_sends_only_empty_lines_is_closed(short: Serving) -> None:
    assert await trickle(short, b"\r\n", b"\r\n") == b""
    again = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await trickle(short, again, b"\r\n")).count(b"HTTP/1.1 200 ") == 1


async def test_an_incomplete_head_gets_408(short: Serving) -> None:
    for piece in (b"", b"X: a\r\n"):
        answer = await trickle(short, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", piece)
        problem(only_response(answer), 408, "request_timeout")


async def test_an_incomplete_second_head_gets_408(short: Serving) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await trickle(short, first + b"GET /", b"a")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in answer


async def test_an_idle_connection_is_closed(short: Serving) -> None:
    answer = await trickle(short, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


# Bodies -------------------------------------------------------------------------------------------


def unfinished_post(path: str, *more: str) -> bytes:
    headers = "".join(f"{header}\r\n" for header in more)
    return f"POST {path} HTTP/1.1\r\n{HEAD}{headers}\r\n".encode()


async def test_a_body_below_the_minimum_rate_gets_408(short: Serving) -> None:
    await short.user().connect()
    whole, chunked = "Content-Length: 100000", "Transfer-Encoding: chunked"
    for start, piece in (
        (unfinished_post("/api/sync/start", whole), b""),
        (unfinished_post("/api/sync/start", whole) + b"{", b" "),
        (unfinished_post("/api/sync/start", chunked), b"1\r\n \r\n"),
    ):
        answer = await trickle(short, start, piece)
        problem(only_response(answer), 408, "request_timeout")
    assert (await short.user().get("/api/sync/history")).json()["total"] == 0


async def test_a_body_that_is_no_longer_needed_must_arrive_too(short: Serving) -> None:
    start = b"POST /api/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    answer = await trickle(short, start, b" ")
    assert answer.count(b"HTTP/1.1") == 1 and answer.startswith(b"HTTP/1.1 401 ")


async def test_a_slow_body_above_the_minimum_rate_is_read_completely(short: Serving) -> None:
    await short.user().connect()
    async with connection_to(short) as stream:
        await stream.send(unfinished_post("/api/sync/start", "Content-Length: 5000"))
        for _ in range(10):
            await stream.send(b" " * 490)
            await anyio.sleep(0.1)
        await stream.send(b"{}" + b" " * 98)
        assert (await stream.receive()).startswith(b"HTTP/1.1 202 ")


async def test_a_client_that_waits_for_100_continue_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service may take longer to start reading the body than a client may take to send it."""
    async with serve_within(SHORT, tmp_path, **SLOW) as service:
        await service.user().connect()

        async def identify_slowly(*args: Any) -> Any:
            await anyio.sleep(1)
            return await authenticate(*args)

        authenticate = service.parts.auth.identify
        monkeypatch.setattr(service.parts.auth, "identify", identify_slowly)
        more = ("Expect: 100-continue", "Content-Length: 2")
        async with connection_to(service) as stream:
            await stream.send(unfinished_post("/api/sync/start", *more))
            assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
            await stream.send(b"{}")
            assert (await stream.receive()).startswith(b"HTTP/1.1 202 ")


async def test_a_stream_without_events_is_not_cut_off(short: Serving) -> None:
    ann = short.user()
    await ann.connect()
    path, upgrade = f"/api/sse/sync-progress/{await ann.start()}", "Connection: Upgrade\r\n"
    async with (
        Reader(short, path) as stream,
        Reader(short, path, more=f"{upgrade}Upgrade: h2c\r\n") as other,
    ):
        await stream.until(b"event: progress")
        await other.until(b"event: progress")
        await anyio.sleep(1.2)
        await until_streams(short, 2)


# Responses ----------------------------------------------------------------------------------------


async def test_responses_that_are_not_read_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_large_records(tmp_path, monkeypatch) as service, AsyncExitStack() as stack:
        for _ in range(3):
            path = "/api/data/orders?limit=1000"
            await stack.enter_async_context(Reader(service, path))
            await stack.enter_async_context(Reader(service, path, more="Connection: close\r\n"))
            await stack.enter_async_context(Reader(service, path, times=50))
        await until_paused(service, 9)
        await until_connections(service, connections=1)  # ann's own
        assert (await service.user().get("/healthz")).status_code == 200


async def test_a_stream_that_is_not_read_is_cut_off(tmp_path: Path) -> None:
    async with serve_within(SHORT, tmp_path, **MANY) as service:
        ann = service.user()
        await ann.connect()
        async with Reader(service, f"/api/sse/sync-progress/{await ann.start()}"):
            await until_stalled(service)
            await until_streams(service, 0)


async def test_a_stream_with_a_pipelined_request_is_removed_when_its_client_disconnects(
    tmp_path: Path,
) -> None:
    """uvicorn reports the end of a connection to its newest request only."""
    async with serve_within(DEFAULT, tmp_path, **SLOW) as service:
        async with Reader(service, "/api/sse/syncs", times=2) as stream:
            await stream.until(b"retry")
            await until_streams(service, 1)
        await until_streams(service, 0)


async def test_a_slow_reader_above_the_minimum_rate_gets_the_complete_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(window=0.5, rate=10_000, tick=0.02)
    async with serve_large_records(tmp_path, monkeypatch, limits) as service:
        path = "/api/data/orders?limit=1000"
        async with Reader(service, path, more="Connection: close\r\n") as slow:
            with anyio.fail_after(PATIENCE):
                while await slow.read_some():
                    await anyio.sleep(0.001)
        assert all(b"order-%05d" % number in slow.read for number in range(LARGE))
        assert b'"nextCursor":null}' in slow.read[-100:]


async def test_a_large_response_is_built_only_as_far_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Limits(tick=0.02)
    async with (
        serve_large_records(tmp_path, monkeypatch, patient) as service,
        AsyncExitStack() as stack,
    ):
        for _ in range(10):
            await stack.enter_async_context(Reader(service, "/api/data/orders?limit=1000"))
        await until_paused(service, 10)
        for connection in service.connections:
            unsent = connection.transport.get_write_buffer_size()
            assert unsent < LARGE * 10_000 / 4, "a response was built although no client reads it"


async def test_a_page_built_in_pieces_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_large_records(tmp_path, monkeypatch) as service:
        ann = service.user()
        all_ids = [record["id"] for record in await ann.records("orders")]
        assert len(all_ids) == LARGE and all_ids == sorted(set(all_ids))
        for limit in (1, 49, 50, 51, 100, 399, 400, 401):
            ids, cursor = [], ""
            while True:
                after = f"&cursor={cursor}" if cursor else ""
                page = (await ann.get(f"/api/data/orders?limit={limit}{after}")).json()
                ids += [record["id"] for record in page["records"]]
                assert len(page["records"]) == limit or page["nextCursor"] is None
                if page["nextCursor"] is None:
                    break
                cursor = page["nextCursor"]
            assert ids == all_ids


async def test_a_response_that_is_not_read_does_not_delay_the_shutdown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does a response that the service has written completely."""
    patient = Limits(head=60, idle=60, window=60)
    async with AsyncExitStack() as stack, serve_within(patient, tmp_path) as service:
        await stack.enter_async_context(Reader(service, "/openapi.json", times=50))
        await until_paused(service, 1)
        large = Reader(service, "/openapi.json", more="Connection: close\r\n")
        await stack.enter_async_context(large)
        with anyio.fail_after(PATIENCE):
            while sum(c.transport.is_closing() for c in service.connections) < 1:
                await anyio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# Number of connections ----------------------------------------------------------------------------


async def test_a_connection_above_the_limit_gets_a_problem_and_the_others_continue(
    tmp_path: Path,
) -> None:
    async with serve_within(Limits(connections=3), tmp_path) as service, AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connection_to(service)) for _ in range(3)]
        with anyio.fail_after(PATIENCE):
            while len(service.connections) < 3:
                await anyio.sleep(0.01)
        for _ in range(3):
            answer = only_response(await trickle(service, b""))
            problem(answer, 503, "too_many_connections")
            assert int(answer.headers["retry-after"]) > 0
        for connection in opened:
            await connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await connection.receive()).startswith(b"HTTP/1.1 200 ")
        await until_connections(service)
        assert (await service.user().get("/healthz")).status_code == 200


def test_a_repeated_warning_is_logged_once_per_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    throttled = ThrottledLog()
    for second in range(int(2.5 * LOG_INTERVAL)):
        throttled.warning("full", float(second))
        throttled.warning("other", float(second))
    assert capsys.readouterr().out.count("full") == 3
