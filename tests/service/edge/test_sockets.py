"""WebSockets on a connection: handshakes, what clients may send, slow clients, and memory."""

import gc
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from service.edge.limits import Limits
from service.edge.protocol import Protocol
from service.edge.sockets import MAX_MESSAGE, MAX_RECEIVED, Handshake, SocketProtocol
from service.errors import ShuttingDown
from service.registry import Registry
from tests.service.api.answers import SLOW, TINY, connection_to, problem, raw
from tests.service.api.sockets import HANDSHAKE, PATH, bearer, refusal, socket
from tests.service.api.streams import Reader, request, stream, until_streams
from tests.serving import PATIENCE, Serving, serve, serve_within

pytestmark = pytest.mark.anyio


async def started(service: Serving) -> str:
    await service.user().connect()
    return await service.user().start()


def response(answer: bytes) -> httpx.Response:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return httpx.Response(int(status.split(" ", 2)[1]), headers=headers, content=body)


# Handshakes ---------------------------------------------------------------------------------------


async def test_an_invalid_handshake_gets_a_problem(service: Serving) -> None:
    for old, new in (
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 12"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "x"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "é"),
    ):
        head = HANDSHAKE.replace(old, new)
        answer = response(await raw(service, request(PATH + "x", more=head)))
        problem(answer, 400, "bad_request")
        assert answer.headers["connection"] == "close"
        assert answer.headers["sec-websocket-version"] == "13"


async def test_a_request_without_an_upgrade_gets_426(service: Serving) -> None:
    path = PATH + "sync_x"
    answer = await service.user().get(path)
    problem(answer, 426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    async with service.anonymous() as client:
        problem(await client.get(path), 401, "unauthenticated")
        problem(await client.get("/ws/x"), 401, "unauthenticated")
    problem(await service.user().post(path), 405, "method_not_allowed")
    problem(await service.user().get("/ws/x"), 404, "not_found")
    head = request(path, more=HANDSHAKE).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await raw(service, head)).startswith(b"HTTP/1.1 426 ")


async def test_an_upgrade_during_a_response_is_ignored(tmp_path: Path) -> None:
    """Otherwise the bytes of both would mix, and the stream would never be removed."""
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with connection_to(service) as both:
            await both.send(request(f"/api/sse/sync-progress/{sync_id}"))
            await until_streams(service, 1)
            await both.send(request(PATH + sync_id, more=HANDSHAKE))
            await service.user().post(f"/api/sync/cancel/{sync_id}")
            received = b""
            with anyio.fail_after(PATIENCE):
                while b"upgrade_required" not in received:
                    received += await both.receive()
            assert b" 101 " not in received
        await until_streams(service, 0)


async def test_a_connection_can_become_a_socket_after_a_response(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with Reader(service, "/healthz") as reader:
            await reader.until(b"}")
            await reader.send(request(PATH + sync_id, more=HANDSHAKE))
            await reader.until(b'"event":"progress"')
            await until_streams(service, 1)
        await until_streams(service, 0)


async def test_no_address_or_ticket_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        ours = logging.getLogger("websockets.client")
        ours.setLevel(logging.WARNING)
        async with socket(service, f"{sync_id}?x=s3cr3t") as opened:
            await opened.message()
        assert (await refusal(service, f"{sync_id}?ticket=s3cr3t", {}))[0] == 4401
        assert (await refusal(service, "/ws/x?x=s3cr3t"))[0] == 4404
    assert not [record for record in caplog.records if "s3cr3t" in record.getMessage()]


async def test_a_handshake_in_progress_does_not_delay_the_shutdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = anyio.Event()

    async def get(self: object, *_: object) -> None:
        waiting.set()
        await anyio.sleep_forever()

    async with serve(tmp_path, **SLOW) as service:
        monkeypatch.setattr(Registry, "get", get)
        reader = await Reader(service, PATH + "x", more=HANDSHAKE).__aenter__()
        await waiting.wait()
    await reader.until(b"}")
    problem(response(reader.read), ShuttingDown.status, ShuttingDown.code)
    await reader.__aexit__(None, None, None)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# What clients send --------------------------------------------------------------------------------


async def test_messages_are_discarded(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with socket(service, sync_id) as opened:
            await opened.message()
            for message in ("hello", b"\xff\0", "x" * MAX_MESSAGE, ["in ", "two"]):
                await opened.connection.send(message)
            await (await opened.connection.ping())
            await service.user().post(f"/api/sync/cancel/{sync_id}")
            assert (await opened.rest())[-1]["event"] == "cancelled"
            assert opened.connection.close_code == 1000


async def test_a_message_that_is_too_large_closes_with_1009(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        half = "x" * (MAX_MESSAGE // 2)
        messages: list[Any] = ["x" * (MAX_MESSAGE + 1), "x" * 10_000_000, [half, half, "x"]]
        for message in messages:
            async with socket(service, sync_id) as opened:
                with anyio.fail_after(PATIENCE):
                    with suppress(ConnectionClosed):
                        await opened.connection.send(message)
                await opened.rest()
                assert opened.connection.close_code == 1009
        await until_streams(service, 0)


async def test_too_many_messages_close_with_1009(tmp_path: Path) -> None:
    """Small ones too, and pings: each costs the service time."""
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        for frame in (b"\x81\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x01\x80\0\0\0\0"):
            async with Reader(service, PATH + sync_id, more=HANDSHAKE) as reader:
                await reader.until(b'"event"')
                if frame[0] == 1:  # the beginning of a message, then empty continuations of it
                    await reader.send(frame)
                    frame = b"\x00" + frame[1:]
                await reader.send(frame * (MAX_RECEIVED // len(frame) + 1))
                await reader.until(b"\x03\xf1too many messages")
        await until_streams(service, 0)


async def test_a_frame_that_is_not_masked_closes_with_1002(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with Reader(service, PATH + sync_id, more=HANDSHAKE) as reader:
            await reader.until(b'"event"')
            await reader.send(b"\x81\x02hi")
            await reader.until(b"\x03\xea")
        await until_streams(service, 0)


async def test_a_client_that_closes_gets_its_code_back(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with socket(service, sync_id) as opened:
            await opened.message()
            await opened.connection.close(3000, "bye")
        assert opened.connection.close_code == 3000
        await until_streams(service, 0)


# Slow clients and memory --------------------------------------------------------------------------


async def test_a_stalled_client_delays_no_other_and_gets_the_newest_event(tmp_path: Path) -> None:
    many: dict[str, Any] = {"DEMO_ORDERS": "4000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.001"}
    async with serve(tmp_path, **many) as service:
        sync_id = await started(service)
        async with Reader(service, PATH + sync_id, more=HANDSHAKE) as stalled:
            await until_streams(service, 1)
            async with socket(service, sync_id) as reading:
                seen = await reading.rest(25)
            assert seen[-1]["event"] == "complete"
            await stalled.until(b"\x88\x02\x03\xe8")
        assert stalled.read.count(b'"event":"complete"') == 1
        ids = [int(part.split(b'"')[0]) for part in stalled.read.split(b'"id":"')[1:]]
        assert ids == sorted(set(ids)) and ids[-1] == int(seen[-1]["id"])
        assert len(ids) < int(seen[-1]["id"]) / 2, "events were buffered instead of conflated"
        await until_streams(service, 0)


async def test_a_client_that_does_not_read_is_disconnected(tmp_path: Path) -> None:
    many: dict[str, Any] = {"DEMO_ORDERS": "100000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.001"}
    limits = Limits(window=0.5, tick=0.05)
    async with serve_within(limits, tmp_path, **many) as service:
        sync_id = await started(service)
        async with Reader(service, PATH + sync_id, more=HANDSHAKE):
            await until_streams(service, 1)
            await until_streams(service, 0, PATIENCE)


async def test_a_response_that_was_not_read_counts_against_the_socket(tmp_path: Path) -> None:
    """The transport reports a full buffer once, to the protocol that was in charge then."""
    async with serve(tmp_path, **TINY) as service:
        await service.user().connect()
        sync_id = (await service.user().whole_sync())["syncId"]
        many = [f"/openapi.json?{number}" for number in range(40)]
        async with Reader(service, many[0]) as reader:
            for path in many[1:]:
                await reader.send(request(path))
            with anyio.fail_after(PATIENCE):
                while not any(one.flow.write_paused for one in service.connections):
                    await anyio.sleep(0.01)
            (connection,) = [one for one in service.connections if one.flow.write_paused]
            assert isinstance(connection, Protocol)
            connection.cycle.response_complete = True  # as after a last, large write
            connection.pipeline.clear()
            connection.flow.resume_reading()
            await reader.send(request(PATH + sync_id, more=HANDSHAKE))
            with anyio.fail_after(PATIENCE):
                while not (sockets := _sockets(service)):
                    await anyio.sleep(0.01)
            assert not sockets[0].writable.is_set()


def _sockets(service: Serving) -> list[SocketProtocol]:
    return [one for one in service.connections if isinstance(one, SocketProtocol)]


def _protocols() -> set[int]:
    kinds = (SocketProtocol, Handshake, Protocol)
    return {id(item) for item in gc.get_objects() if type(item) in kinds}


async def test_a_closed_socket_is_freed_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        for headers in (bearer(), {}):
            gc.collect()
            gc.disable()
            earlier = _protocols()
            try:
                for _ in range(3):
                    async with socket(service, sync_id, headers) as opened:
                        if headers:
                            await opened.message()
                with anyio.fail_after(PATIENCE):
                    while _protocols() - earlier:
                        await anyio.sleep(0.01)
            finally:
                gc.enable()


async def test_streams_and_sockets_of_disconnected_clients_are_removed(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        for bytes_read in (0, 1):
            for _ in range(10):
                async with connection_to(service) as connection:
                    await connection.send(request(PATH + sync_id, more=HANDSHAKE))
                    if bytes_read:
                        await connection.receive()
        async with stream(service.user(), sync_id):
            await until_streams(service, 1)
        await until_streams(service, 0)
        hub = service.parts.hub
        assert hub._by_sync == {} and hub._by_user == {}
