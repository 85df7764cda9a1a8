"""Bodies over the limit, endless bodies and incomplete ones."""

from collections.abc import AsyncIterator

import anyio
import pytest

from tests.service.api.answers import (
    CONNECT,
    START,
    connection_to,
    problem,
    send,
    visible_state,
)
from tests.serving import PATIENCE, Serving, User, token

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


async def test_a_body_over_a_mebibyte_is_413_and_the_client_receives_the_response(
    ann: User,
) -> None:
    before = await visible_state(ann)
    for path in (START, CONNECT):
        for body in (b" " * (MIB + 1), b" " * (8 * MIB), chunks(2 * MIB), chunks(8 * MIB)):
            answer = await send(ann, path, body)
            assert "1 MiB" in problem(answer, 413, "body_too_large")["detail"]
    assert await visible_state(ann) == before


async def test_a_body_of_a_mebibyte_is_read_whole_or_in_chunks(ann: User) -> None:
    problem(await send(ann, CONNECT, b"{" + b" " * (MIB - 1)), 400, "invalid_json")
    problem(await send(ann, CONNECT, chunks(MIB)), 400, "invalid_json")
    assert (await send(ann, START, chunks(MIB))).status_code == 202


async def test_an_endless_body_is_cut_off_and_the_service_keeps_running(
    service: Serving, ann: User
) -> None:
    before = await visible_state(ann)
    head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    sent = 0
    async with connection_to(service) as stream:
        await stream.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        with (
            anyio.fail_after(PATIENCE),
            pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)),
        ):
            while sent < 64 * MIB:
                await stream.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
            await stream.receive()
            await stream.receive()
    assert sent < 64 * MIB
    assert await visible_state(ann) == before


async def test_an_incomplete_body_logs_no_warning(
    service: Serving, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    before = await visible_state(ann)
    head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    for _ in range(5):
        async with connection_to(service) as stream:
            await stream.send(head.encode() + b"Content-Length: 100\r\n\r\n{")
    assert await visible_state(ann) == before
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
