"""Bytes on a connection that are not a valid or complete request, shutdown, and HTTP/1.0."""

from contextlib import AsyncExitStack
from logging import INFO
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest
from anyio.abc import SocketStream

from connectors.base import Account, Connection, Waiting
from service.edge.protocol import MAX_HEAD
from tests.service.api.answers import SLOW, connection_to, problem, raw
from tests.service.scripted import ScriptedConnector, scripted
from tests.serving import PATIENCE, Serving, serve, token

pytestmark = pytest.mark.anyio

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def only_response(answer: bytes) -> httpx.Response:
    """The only response before the service closed the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["content-length"]) == len(body)
    assert headers["connection"] == "close"
    return httpx.Response(int(status.split(" ", 2)[1]), headers=headers, content=body)


NOT_HTTP = [
    b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: x\n\n",
    b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/sync/start HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/sync/start HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n{}",
    b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


async def test_bytes_that_are_not_http_get_a_problem(
    service: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    for request in NOT_HTTP:
        problem(only_response(await raw(service, request)), 400, "bad_request")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_body_that_becomes_invalid_gets_one_response(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    head = f"POST /api/sync/start HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    problem(only_response(await raw(service, head.encode() + b"ZZ\r\n")), 400, "bad_request")
    assert (await ann.get("/api/sync/history")).json()["total"] == 0


async def test_invalid_bytes_after_a_stream_request_get_no_second_response(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        await service.user().connect()
        path = f"/api/sse/sync-progress/{await service.user().start()}"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n\r\n"
        async with connection_to(service) as stream:
            await stream.send(head.encode())
            received = b""
            while b"event: progress" not in received:
                received += await stream.receive()
            await stream.send(b"rubbish\r\n\r\n")
            with (
                anyio.fail_after(PATIENCE),
                pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)),
            ):
                while True:
                    received += await stream.receive()
        assert received.count(b"HTTP/1.1") == 1


async def test_an_endless_head_is_refused_before_it_fills_the_memory(service: Serving) -> None:
    for start, piece in (
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 10_000),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n" * 2_000),
        (b"GET /", b"a" * 10_000),
        (b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n" * 2_000),
    ):
        sent, answer = len(start), b""
        async with connection_to(service) as stream:
            await stream.send(start)
            with anyio.fail_after(PATIENCE):
                try:
                    while sent < 100 * MAX_HEAD:
                        await stream.send(piece)
                        sent += len(piece)
                        await anyio.lowlevel.checkpoint()
                except anyio.BrokenResourceError:
                    pass
                try:
                    while True:
                        answer += await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
        assert sent < 100 * MAX_HEAD
        if answer and b" 405 " not in answer:  # otherwise the connection was reset first
            problem(only_response(answer), 431, "head_too_large")


async def test_a_head_that_is_slightly_too_large_gets_431(service: Serving) -> None:
    async with connection_to(service) as stream:
        start = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "
        await stream.send(start + b"a" * 1000)
        await anyio.sleep(0.1)  # bytes that arrive together with the first ones are not counted
        await stream.send(b"a" * MAX_HEAD)
        await stream.send(b"a")
        with anyio.fail_after(PATIENCE):
            answer = await stream.receive()
    problem(only_response(answer), 431, "head_too_large")


async def test_large_heads_and_bodies_are_accepted(service: Serving) -> None:
    ann = service.user()
    long = {"X-Long": "a" * (MAX_HEAD - 2_000)}
    assert (await ann.get("/api/connections", headers=long)).status_code == 200
    for size in (100_000, 900_000):
        body = b'{"connector": "' + b"a" * size + b'"}'
        answer = await ann.http.post("/api/connections", content=body)
        problem(answer, 422, "invalid")


async def test_an_upgrade_outside_of_ws_is_ignored_and_not_logged(
    service: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    ann = service.user()
    for offer in (WEBSOCKET, {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}):
        for path in ("/healthz", "/api/connections"):
            assert (await ann.get(path, headers=offer)).status_code == 200
        path = "/api/sync/status/x?ticket=s3cr3t"
        problem(await ann.get(path, headers=offer), 404, "not_found")
        path = "/api/sse/sync-progress/x?ticket=s3cr3t"
        async with service.anonymous() as anonymous:
            problem(await anonymous.get(path, headers=offer), 401, "unauthenticated")
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert not [r for r in ours if "s3cr3t" in r.getMessage() or r.levelno > INFO]


async def test_requests_in_progress_do_not_delay_the_shutdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing body, a source that does not respond, and a stream whose client does not read."""
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number}" for number in range(20_000)))
    checking = anyio.Event()

    async def check_forever(self: object, connection: Connection, waiting: Waiting) -> Account:
        checking.set()
        await anyio.sleep_forever()
        raise AssertionError

    head = f"Host: x\r\nAuthorization: Bearer {token()}\r\n"
    async with AsyncExitStack() as stack:
        async with serve(tmp_path) as service:
            ann = service.user()
            await ann.connect()
            monkeypatch.setattr(ScriptedConnector, "check", check_forever)
            streams = [await stack.enter_async_context(connection_to(service)) for _ in range(3)]
            body, check, unread = streams
            start = f"POST /api/sync/start HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\n{{"
            await body.send(start.encode())
            content = msgspec.json.encode({"connector": "demo", "refreshToken": "good"})
            start = f"POST /api/connections HTTP/1.1\r\n{head}Content-Length: {len(content)}"
            await check.send(f"{start}\r\n\r\n".encode() + content)
            await checking.wait()
            path = f"/api/sse/sync-progress/{await ann.start()}"
            await unread.send(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
            await until_stalled(service)
        with anyio.fail_after(PATIENCE):
            for connection in (body, check):
                problem(only_response(await rest(connection)), 503, "shutting_down")
            assert not (await rest(unread)).endswith(b"0\r\n\r\n")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# HTTP/1.0 -----------------------------------------------------------------------------------------


def http_1_0_request(path: str, method: str = "GET", *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.0", "Host: x", f"Authorization: Bearer {token()}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def headers_of(answer: bytes) -> tuple[httpx.Headers, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")[1:]]
    return httpx.Headers([(name, value) for name, value in lines]), body


async def test_a_stream_over_http_1_0_has_no_chunks_and_ends_with_the_connection(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        path = f"/api/sse/sync-progress/{sync_id}"
        for more in ((), ("Connection: keep-alive",)):
            async with connection_to(service) as stream:
                await stream.send(http_1_0_request(path, "GET", *more))
                answer = await stream.receive()
                while b"event: progress" not in answer:
                    answer += await stream.receive()
                if more:
                    await ann.post(f"/api/sync/cancel/{sync_id}")
                    with anyio.fail_after(PATIENCE):
                        answer += await rest(stream)
            headers, body = headers_of(answer)
            assert headers.get_list("connection") == ["close"]
            assert "transfer-encoding" not in headers
            assert body.startswith(b"retry: 3000\n\nid: ")
        assert body.count(b"event: cancelled") == 1 and body.endswith(b"\n\n")


async def test_every_response_over_http_1_0_is_complete_unframed_and_has_one_connection_header(
    service: Serving,
) -> None:
    ann = service.user()
    await ann.connect()
    await ann.whole_sync()
    csv = "Accept: text/csv"
    paths = [("/healthz", ""), ("/api/data/orders?limit=1000", ""), ("/api/recoveries", csv)]
    paths += [("/", ""), ("/api/sse/syncs", ""), ("/none", ""), ("/api/sync/history", "")]
    for path, more in paths:
        for method in ("HEAD", "GET") if path != "/api/sse/syncs" else ("HEAD",):
            lines = [line for line in (more, "Connection: keep-alive") if line]
            headers, body = headers_of(await raw(service, http_1_0_request(path, method, *lines)))
            assert headers.get_list("connection") == ["close"], path
            assert "transfer-encoding" not in headers, path
            assert (body == b"") == (method == "HEAD"), path
            if "content-length" in headers and method == "GET":
                assert int(headers["content-length"]) == len(body)


async def test_a_stream_has_no_connection_header_except_close(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        for header, expected in ((b"", []), (b"Connection: close\r\n", ["close"])):
            async with connection_to(service) as stream:
                start = http_1_0_request("/api/sse/syncs").replace(b"HTTP/1.0", b"HTTP/1.1")
                await stream.send(start[:-2] + header + b"\r\n")
                headers, _ = headers_of(await stream.receive())
            assert headers.get_list("connection") == expected
            assert headers["transfer-encoding"] == "chunked"


async def test_an_http_1_0_client_gets_no_interim_response(service: Serving) -> None:
    more = ("Expect: 100-continue", "Content-Length: 2")
    answer = await raw(service, http_1_0_request("/api/sync/start", "POST", *more) + b"{}")
    assert answer.startswith(b"HTTP/1.1 409 ")


async def until_stalled(service: Serving) -> None:
    """Wait until the client of a stream reads so slowly that the server cannot send."""
    hub = service.parts.hub
    with anyio.fail_after(PATIENCE):
        while not any(stream.busy for streams in hub._by_user.values() for stream in streams):
            await anyio.sleep(0.01)


async def rest(stream: SocketStream) -> bytes:
    """All bytes until the service closes the connection."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received
