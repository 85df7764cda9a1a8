"""Responses that exhaust memory or are not HTTP: each raises a connector error."""

import gzip

import pytest

from connectors.base import ConnectorError, Retryable
from connectors.http import open_http
from tests.connectors.clocks import JumpingClock
from tests.connectors.hostile import ServerConnection, listening

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("layers", [1, 2, 3])
async def test_a_small_response_that_decompresses_to_too_much_is_refused(layers: int) -> None:
    bomb = b"\0" * 100_000_000
    for _ in range(layers):
        bomb = gzip.compress(bomb, 9)
    encoding = b"Content-Encoding: " + b", ".join([b"gzip"] * layers)

    async def answer(line: bytes, server: ServerConnection) -> None:
        await server.reply(bomb, b"200 OK", encoding)

    async def before() -> dict[str, str]:
        return {}

    async def waiting(until: object, why: str) -> None: ...

    async with listening(answer) as url, open_http(JumpingClock(), "test", tries=1) as http:
        with pytest.raises(Retryable):
            await http.get(url, {}, before, waiting)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1000 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 103 Early\r\n\r\n" * 100 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: \xff\x00\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
    ids=lambda head: ascii(head)[:40],
)
async def test_an_invalid_http_response_raises_a_connector_error(head: bytes) -> None:
    async def answer(line: bytes, server: ServerConnection) -> None:
        await server.send(head)
        await server.stream.send_eof()

    async def before() -> dict[str, str]:
        return {}

    async def waiting(until: object, why: str) -> None: ...

    async with listening(answer) as url, open_http(JumpingClock(), "test", tries=2) as http:
        try:
            await http.get(url, {}, before, waiting)
        except ConnectorError as error:
            assert str(error).isprintable()
