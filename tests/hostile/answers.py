"""Hostile answers by name: broken transport, statuses, bodies, values, headers."""

import asyncio
import gzip
import json
import struct
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import msgspec

from tests.hostile.api import Answer, Exchange, reply

FOREVER = 3600.0
#: Seconds between the bytes of an answer that never ends.
DRIP = 0.2

Edit = Callable[[Any], Any]


def _raw(data: bytes) -> Answer:
    """Sends these bytes and closes the connection."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)

    return answer


def _status(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(status, body, named)

    return answer


def _headers(**headers: str) -> Answer:
    """The honest body with other headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(200, exchange.honest, named)

    return answer


def _body(edit: Callable[[bytes], bytes]) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(200, edit(exchange.honest))

    return answer


def _json(edit: Edit) -> Answer:
    """The honest answer with every value edited: in JSON every leaf, in a table every cell."""

    def edited(honest: bytes) -> bytes:
        if honest[:1] not in b"{[":
            head, *lines = honest.decode().splitlines()
            rows = [[_text(edit(cell)) for cell in line.split("\t")] for line in lines]
            text = "\n".join([head, *("\t".join(row) for row in rows), ""])
            return text.encode("utf-8", "surrogatepass")
        return json.dumps(_edited(json.loads(honest), edit)).encode("utf-8", "surrogatepass")

    return _body(edited)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _edited(value: Any, edit: Edit) -> Any:
    """The value with every leaf edited."""
    if isinstance(value, dict):
        return {name: _edited(inner, edit) for name, inner in value.items()}
    if isinstance(value, list):
        return [_edited(inner, edit) for inner in value]
    return edit(value)


def _lists(edit: Callable[[list[Any]], Any]) -> Answer:
    """The honest answer with every list edited; a table is one list of lines."""

    def inner(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: inner(item) for name, item in value.items()}
        return edit(value) if isinstance(value, list) else value

    def edited(honest: bytes) -> bytes:
        if honest[:1] not in b"{[":
            head, *lines = honest.decode().splitlines()
            changed = edit(lines)
            lines = [_text(line) for line in changed] if isinstance(changed, list) else []
            return "\n".join([head, *lines, ""]).encode()
        return json.dumps(inner(json.loads(honest))).encode()

    return _body(edited)


def _strings(edit: Callable[[str], Any]) -> Answer:
    return _json(lambda value: edit(value) if isinstance(value, str) else value)


def _numbers(edit: Callable[[Any], Any]) -> Answer:
    def number(value: Any) -> Any:
        if isinstance(value, str) and value.isdecimal():
            return str(edit(int(value)))
        return edit(value) if type(value) in (int, float) else value

    return _json(number)


def _dates(text: str) -> Answer:
    return _strings(lambda value: text if value[:2] == "20" and "T" in value else value)


def _token(make: Callable[[int], Any], records: bool = True) -> Answer:
    """The honest page with a token for a next page."""

    async def answer(exchange: Exchange) -> None:
        if exchange.honest[:1] != b"{":
            await exchange.reply(200, exchange.honest * 2)
            return
        page: dict[str, Any] = msgspec.json.decode(exchange.honest)
        token = make(exchange.number)
        for holder in (page, page.get("payload"), page.get("pagination")):
            if isinstance(holder, dict):
                holder |= {"nextToken": token, "NextToken": token}
                for name, value in holder.items():
                    if isinstance(value, list) and not records:
                        holder[name] = []
        await exchange.reply(200, msgspec.json.encode(page))

    return answer


async def _nothing(exchange: Exchange) -> None:
    await asyncio.sleep(FOREVER)


async def _reset(exchange: Exchange) -> None:
    sock = exchange.writer.get_extra_info("socket")
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    exchange.writer.transport.abort()


async def _drip_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    for _ in range(int(FOREVER / DRIP)):
        await exchange.send(b"X")
        await asyncio.sleep(DRIP)


async def _drip_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(int(FOREVER / DRIP)):
        await exchange.send(b" ")
        await asyncio.sleep(DRIP)


async def _endless_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        await exchange.send(f"X-{number}: {'x' * 1000}\r\n".encode())


async def _endless_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(10_000):
        await exchange.send(piece)


async def _endless_rows(exchange: Exchange) -> None:
    """Repeats the honest rows; in JSON, opening brackets."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    head, _, rows = exchange.honest.partition(b"\n")
    await exchange.send(b"%x\r\n%s\n\r\n" % (len(head) + 1, head))
    rows = (rows or b"[") * 200
    for _ in range(2_000):
        await exchange.send(b"%x\r\n%s\r\n" % (len(rows), rows))


async def _continues(exchange: Exchange) -> None:
    for _ in range(100_000):
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _cut_chunks(exchange: Exchange) -> None:
    half = exchange.honest[: len(exchange.honest) // 2]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    await exchange.send(head + b"%x\r\n%s\r\n" % (len(half), half))


async def _short_body(exchange: Exchange) -> None:
    whole = reply(200, exchange.honest)
    await exchange.send(whole[: -len(exchange.honest) // 2])


async def _too_long(exchange: Exchange) -> None:
    body = exchange.honest
    await exchange.send(reply(200, body, {"Content-Length": str(10**9)}))


async def _two_lengths(exchange: Exchange) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(exchange.honest)}\r\nContent-Length: 3\r\n\r\n"
    await exchange.send(head.encode() + exchange.honest)


async def _bomb(exchange: Exchange) -> None:
    packed = gzip.compress(b" " * (200 * 2**20), 9)
    await exchange.reply(200, packed, {"Content-Encoding": "gzip"})


async def _blank_lines(exchange: Exchange) -> None:
    packed = gzip.compress(b"\n" * (60 * 2**20), 9)
    await exchange.reply(200, packed)


def _fault(code: str, message: str, details: str = "") -> bytes:
    return msgspec.json.encode({"errors": [{"code": code, "message": message, "details": details}]})


_OBJECT = b"[" * 100_000
_LONG = "x" * 70_000
_REFUSAL = _fault("InvalidInput", "Invalid Input")

ANSWERS: dict[str, Answer] = {
    # Transport
    "closed without an answer": _raw(b""),
    "reset": _reset,
    "not HTTP": _raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "random bytes": _raw(bytes(range(256)) * 20),
    "half a status line": _raw(b"HTTP/1.1 20"),
    "half a head": _raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "a body that is shorter than announced": _short_body,
    "a body announced as a gigabyte": _too_long,
    "chunks that end early": _cut_chunks,
    "an invalid chunk size": _raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a negative length": _headers(Content_Length="-1"),
    "two lengths": _two_lengths,
    "an unknown transfer coding": _headers(Transfer_Encoding="rot13"),
    "no answer at all": _nothing,
    "a head byte by byte": _drip_head,
    "a body byte by byte": _drip_body,
    "a head without end": _endless_head,
    "a body without end": _endless_body,
    "rows without end": _endless_rows,
    "100 Continue without end": _continues,
    "101 Switching Protocols": _raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "an HTTP/0.9 answer": _raw(b"<html>hello</html>"),
    "an HTTP/2 preface": _raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    # Statuses
    **{
        f"status {status}": _status(status)
        for status in (201, 203, 204, 205, 206, 226, 300, 304, 400, 401, 402, 403, 404, 405, 406)
    },
    **{
        f"status {status} with an error": _status(status, _fault("Whatever", "No."))
        for status in (408, 409, 410, 411, 413, 414, 415, 418, 421, 422, 423, 451, 500, 501, 502)
    },
    "status 503 with a web page": _status(503, b"<html>busy</html>", Content_Type="text/html"),
    "status 503, retry in eleven days": _status(503, Retry_After="999999"),
    "status 504": _status(504),
    "status 600": _status(600),
    "status 999": _status(999),
    "429 forever": _status(429),
    "429, retry in eleven days": _status(429, Retry_After="999999"),
    "a redirect to itself": _status(302, Location="/"),
    "a redirect to the metadata service": _status(302, Location="http://169.254.169.254/latest/"),
    "400 InvalidInput": _status(400, _REFUSAL),
    "403 expired token": _status(403, _fault("Unauthorized", "Denied", "The token has expired")),
    "403 missing role": _status(403, _fault("Unauthorized", "Access to resource is denied.")),
    # Bodies
    "an empty body": _body(lambda honest: b""),
    "white space": _body(lambda honest: b" \r\n\t "),
    "null": _body(lambda honest: b"null"),
    "an empty list": _body(lambda honest: b"[]"),
    "an empty object": _body(lambda honest: b"{}"),
    "true": _body(lambda honest: b"true"),
    "a string": _body(lambda honest: b'"text"'),
    "a huge number": _body(lambda honest: b"1e400"),
    "a number of 100,000 digits": _body(lambda honest: b"9" * 100_000),
    "a web page": _body(lambda honest: b"<html><body>Sorry!</body></html>"),
    "a byte order mark": _body(lambda honest: b"\xef\xbb\xbf" + honest),
    "UTF-16": _body(lambda honest: honest.decode().encode("utf-16")),
    "bytes that are not UTF-8": _body(lambda honest: honest.replace(b"0", b"\xff\xfe")),
    "NUL bytes": _body(lambda honest: honest.replace(b"0", b"\x00")),
    "nested lists": _body(lambda honest: _OBJECT),
    "nested objects": _body(lambda honest: b'{"payload":' * 100_000),
    "half of the body": _body(lambda honest: honest[: len(honest) // 2]),
    "the body twice": _body(lambda honest: honest * 2),
    "33 MiB of blanks": _body(lambda honest: b" " * (33 * 2**20)),
    "60 MB of line ends": _blank_lines,
    # Values
    "null in every field": _json(lambda value: None),
    "a list in every field": _json(lambda value: [value]),
    "an object in every field": _json(lambda value: {"value": value}),
    "numbers for text": _strings(lambda value: 12),
    "text for numbers": _numbers(lambda value: "twelve"),
    "empty text": _strings(lambda value: ""),
    "text with U+0000": _strings(lambda value: value[:2] + "\0" + value[2:]),
    "text with a lone surrogate": _strings(lambda value: value + "\ud800"),
    "text with line ends": _strings(lambda value: value + "\r\nX-Evil: 1"),
    "text of 70,000 characters": _strings(lambda value: value + _LONG),
    "text that is markup": _strings(lambda value: "<script>alert(1)</script>"),
    "text that is a formula": _strings(lambda value: "=1+1"),
    "the same text everywhere": _strings(lambda value: "same"),
    "negative numbers": _numbers(lambda value: -value),
    "numbers of 300 digits": _numbers(lambda value: 10**300),
    "the number 1e308": _numbers(lambda value: 1e308),
    "invalid dates": _dates("2026-02-31T25:61:61Z"),
    "dates of the year 1": _dates("0001-01-01T00:00:00Z"),
    "dates of the year 9999": _dates("9999-12-31T23:59:59Z"),
    "dates without a zone": _dates("2026-01-01T00:00:00"),
    "NaN": _body(lambda honest: honest.replace(b"1", b"NaN")),
    "objects for lists": _lists(lambda items: {"0": items}),
    "null for lists": _lists(lambda items: None),
    "lists of nulls": _lists(lambda items: [None] * 3),
    "lists of lists": _lists(lambda items: [items, items]),
    "lists repeated ten times": _lists(lambda items: items * 10),
    "the same token on every page": _token(lambda number: "token"),
    "a token cycle of two": _token(lambda number: f"token {number % 2}"),
    "new tokens, the same page": _token(lambda number: f"token {number}"),
    "new tokens, empty pages": _token(lambda number: f"token {number}", records=False),
    "a token of 70,000 characters": _token(lambda number: _LONG),
    "a token that is a number": _token(lambda number: number),
    # Encodings and headers
    "announced as gzip, but not compressed": _headers(Content_Encoding="gzip"),
    "announced as br, but not compressed": _headers(Content_Encoding="br"),
    "an unknown encoding": _headers(Content_Encoding="rot13, gzip"),
    "a gzip bomb": _bomb,
    **{
        f"charset {charset}": _headers(Content_Type=f"text/plain; charset={charset}")
        for charset in ("rot13", "zlib", "hex", "idna", "undefined", "utf-16", "x" * 300)
    },
    "a rate of almost zero": _headers(x_amzn_RateLimit_Limit="0.0001"),
    "a rate of a billion": _headers(x_amzn_RateLimit_Limit="1e9"),
    "a rate that is not a number": _headers(x_amzn_RateLimit_Limit="NaN"),
    "a date of 1970": _headers(Date="Thu, 01 Jan 1970 00:00:00 GMT"),
    "a date of 9999": _headers(Date="Fri, 31 Dec 9999 23:59:59 GMT"),
    "an invalid date": _headers(Date="yesterday"),
    "a header of 60 KB": _headers(X_Long="x" * 60_000),
    "a header with odd bytes": _headers(X_Odd="\x01\x7f\xff"),
    "a thousand cookies": _headers(Set_Cookie="a=b; " * 1000),
}
