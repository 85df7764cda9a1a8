"""What comes over a connection and is no request, or never becomes a whole one."""

from contextlib import AsyncExitStack
from logging import INFO
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest
from anyio.abc import SocketStream

from connectors.base import Account, Connection, Waiting
from service.edge.protocol import LARGEST_HEAD
from tests.service.api.answers import SLOW, connection_to, problem, raw
from tests.service.scripted import ScriptedConnector, scripted
from tests.serving import Serving, serve, token

pytestmark = pytest.mark.anyio

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def answered(answer: bytes) -> httpx.Response:
    """The one answer that came before the service hung up."""
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


async def test_what_is_no_http_gets_a_problem_too(
    service: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    for request in NOT_HTTP:
        problem(answered(await raw(service, request)), 400, "bad_request")
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_body_that_turns_into_rubbish_gets_one_answer(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    head = f"POST /api/sync/start HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    problem(answered(await raw(service, head.encode() + b"ZZ\r\n")), 400, "bad_request")
    assert (await ann.get("/api/sync/history")).json()["total"] == 0


async def test_rubbish_in_a_stream_does_not_get_an_answer_into_it(tmp_path: Path) -> None:
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
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                while True:
                    received += await stream.receive()
        assert received.count(b"HTTP/1.1") == 1


async def test_a_head_without_end_is_refused_before_it_fills_the_memory(service: Serving) -> None:
    for begin, piece in (
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"a" * 10_000),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n" * 2_000),
        (b"GET /", b"a" * 10_000),
        (b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n" * 2_000),
    ):
        sent, answer = len(begin), b""
        async with connection_to(service) as stream:
            await stream.send(begin)
            with anyio.fail_after(5):
                try:
                    while sent < 100 * LARGEST_HEAD:
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
        assert sent < 100 * LARGEST_HEAD
        if answer and b" 405 " not in answer:  # else the reset was quicker, or it was answered
            problem(answered(answer), 431, "head_too_large")


async def test_a_head_just_too_large_is_told_so(service: Serving) -> None:
    async with connection_to(service) as stream:
        begin = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "
        await stream.send(begin + b"a" * 1000)
        await anyio.sleep(0.1)  # what comes in one piece with the first bytes is not counted
        await stream.send(b"a" * LARGEST_HEAD)
        await stream.send(b"a")
        with anyio.fail_after(5):
            answer = await stream.receive()
    problem(answered(answer), 431, "head_too_large")


async def test_large_heads_and_bodies_are_no_heads_without_end(service: Serving) -> None:
    ann = service.user()
    long = {"X-Long": "a" * (LARGEST_HEAD - 2_000)}
    assert (await ann.get("/api/connections", headers=long)).status_code == 200
    for size in (100_000, 900_000):
        body = b'{"connector": "' + b"a" * size + b'"}'
        answer = await ann.http.post("/api/connections", content=body)
        problem(answer, 422, "invalid")


async def test_an_offer_to_upgrade_is_not_taken_up_nor_logged(
    service: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the server would log the handshake with its query, where tickets are."""
    ann = service.user()
    for offer in (WEBSOCKET, {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}):
        for path in ("/healthz", "/api/connections"):
            assert (await ann.get(path, headers=offer)).status_code == 200
        for path in ("/ws/x?ticket=s3cr3t", "/api/sync/status/x?ticket=s3cr3t"):
            problem(await ann.get(path, headers=offer), 404, "not_found")
        path = "/api/sse/sync-progress/x?ticket=s3cr3t"
        async with service.anonymous() as nobody:
            problem(await nobody.get(path, headers=offer), 401, "unauthenticated")
    ours = [each for each in caplog.records if not each.name.startswith("http")]
    assert not [each for each in ours if "s3cr3t" in each.getMessage() or each.levelno > INFO]


async def test_nothing_that_is_under_way_holds_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that does not come, a source that does not answer, a stream that nobody reads."""
    script = scripted(monkeypatch)
    script.has("orders", *(f"order-{number}" for number in range(20_000)))
    asked = anyio.Event()

    async def never(self: object, connection: Connection, waiting: Waiting) -> Account:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    head = f"Host: x\r\nAuthorization: Bearer {token()}\r\n"
    async with AsyncExitStack() as stack:
        async with serve(tmp_path) as service:
            ann = service.user()
            await ann.connect()
            monkeypatch.setattr(ScriptedConnector, "check", never)
            streams = [await stack.enter_async_context(connection_to(service)) for _ in range(3)]
            body, check, unread = streams
            begin = f"POST /api/sync/start HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\n{{"
            await body.send(begin.encode())
            content = msgspec.json.encode({"connector": "demo", "refreshToken": "good"})
            begin = f"POST /api/connections HTTP/1.1\r\n{head}Content-Length: {len(content)}"
            await check.send(f"{begin}\r\n\r\n".encode() + content)
            await asked.wait()
            path = f"/api/sse/sync-progress/{await ann.start()}"
            await unread.send(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
            await until_stalled(service)
        with anyio.fail_after(1):
            for each in (body, check):
                problem(answered(await rest(each)), 503, "shutting_down")
            assert not (await rest(unread)).endswith(b"0\r\n\r\n")
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


# HTTP/1.0 ---------------------------------------------------------------------------------------


def old_request(path: str, method: str = "GET", *more: str) -> bytes:
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
                await stream.send(old_request(path, "GET", *more))
                answer = await stream.receive()
                while b"event: progress" not in answer:
                    answer += await stream.receive()
                if more:
                    await ann.post(f"/api/sync/cancel/{sync_id}")
                    with anyio.fail_after(5):
                        answer += await rest(stream)
            headers, body = headers_of(answer)
            assert headers.get_list("connection") == ["close"]
            assert "transfer-encoding" not in headers
            assert body.startswith(b"retry: 3000\n\nid: ")
        assert body.count(b"event: cancelled") == 1 and body.endswith(b"\n\n")


async def test_every_answer_over_http_1_0_is_whole_unframed_and_has_one_connection_header(
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
            lines = [each for each in (more, "Connection: keep-alive") if each]
            headers, body = headers_of(await raw(service, old_request(path, method, *lines)))
            assert headers.get_list("connection") == ["close"], path
            assert "transfer-encoding" not in headers, path
            assert (body == b"") == (method == "HEAD"), path
            if "content-length" in headers and method == "GET":
                assert int(headers["content-length"]) == len(body)


async def test_a_stream_has_no_connection_header_but_close(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        for asked, expected in ((b"", []), (b"Connection: close\r\n", ["close"])):
            async with connection_to(service) as stream:
                begin = old_request("/api/sse/syncs").replace(b"HTTP/1.0", b"HTTP/1.1")
                await stream.send(begin[:-2] + asked + b"\r\n")
                headers, _ = headers_of(await stream.receive())
            assert headers.get_list("connection") == expected
            assert headers["transfer-encoding"] == "chunked"


async def test_a_client_of_http_1_0_gets_no_interim_answer(service: Serving) -> None:
    more = ("Expect: 100-continue", "Content-Length: 2")
    answer = await raw(service, old_request("/api/sync/start", "POST", *more) + b"{}")
    assert answer.startswith(b"HTTP/1.1 409 ")


async def until_stalled(service: Serving) -> None:
    """Until a stream's client has not read for so long that the server can send no more."""
    hub = service.parts.hub
    with anyio.fail_after(20):
        while not any(each.busy for of_user in hub._of_user.values() for each in of_user):
            await anyio.sleep(0.01)


async def rest(stream: SocketStream) -> bytes:
    """All that comes until the other side hangs up."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received
