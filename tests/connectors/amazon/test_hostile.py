"""Invalid responses: each one fails one dataset at most, with a connector error."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.amazon import shipment_items, shipments
from connectors.amazon.account import PARTICIPATIONS
from connectors.amazon.client import Operation
from connectors.amazon.inventory import INVENTORY, INVENTORY_SUMMARIES
from connectors.amazon.orders.search import ORDERS, SEARCH_ORDERS
from connectors.amazon.reports import desk, watch
from connectors.amazon.reports.kinds import REIMBURSEMENTS
from connectors.amazon.reports.tables import _codec
from connectors.amazon.transactions import LIST_TRANSACTIONS, TRANSACTIONS
from connectors.amazon_sandbox import Settings
from connectors.base import ConnectorError, InvalidConnection, Retryable, SourceError
from connectors.http import open_http
from connectors.quota import SLOWEST
from tests.connectors.clocks import JumpingClock

from .bench import UNLIMITED, Bench, connect, with_settings

pytestmark = pytest.mark.anyio

FEW = Settings(orders=20, quotas=UNLIMITED)
"""Thousands of reads: one page of each dataset suffices."""
UNFINISHED = timedelta(minutes=5)
"""How long a report with an unknown status is polled, instead of two hours."""
DEEP = b"[" * 100_000 + b"]" * 100_000
DEEP_OBJECT = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
LONG = "x" * 70_000

BODIES: dict[str, bytes] = {
    "empty": b"",
    "html": b"<html><body>Service Unavailable</body></html>",
    "null": b"null",
    "number": b"1",
    "string": b'"x"',
    "list": b"[]",
    "object": b"{}",
    "cut": b'{"payload": {',
    "no utf-8": b'{"payload": "\xff\xfe"}',
    "surrogate": b'{"payload": {"transactions": [{"transactionId": "\\ud800"}]}, "x": "\\ud800"}',
    "NaN": b'{"payload": NaN}',
    "huge number": b'{"payload": 1' + b"0" * 5_000 + b"}",
    "deep": DEEP,
    "deep object": DEEP_OBJECT,
    "deep payload": b'{"payload":' + DEEP + b"}",
    "deep orders": b'{"orders":[' + DEEP + b"]}",
    "deep report": b'{"reports":[' + DEEP + b"]}",
    "deep unknown field": b'{"orders":[],"reports":[],"reportId":"1","x":' + DEEP + b"}",
}
STATUSES = [199, 201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 405, 409, 418, 451, 599]
HEADERS: dict[str, list[tuple[bytes, bytes]]] = {
    "odd bytes": [(b"x-amzn-RequestId", b"\xff\xfe\x00\x1b[31m"), (b"\xff", b"\xff")],
    "long": [(b"x-amzn-RequestId", b"x" * 70_000)],
    "rates": [(b"x-amzn-RateLimit-Limit", b"\xb2"), (b"x-amzn-RateLimit-Limit", b"1e999")],
    "retry": [(b"Retry-After", b"9" * 5_000)],
    "encoding": [(b"Content-Encoding", b"rot13")],
    "type": [(b"Content-Type", b"text/html; charset=undefined")],
    "date": [(b"Date", b"Thu, 99 Foo 99999 99:99:99 GMT")],
}

OPERATIONS = {
    SEARCH_ORDERS: ORDERS,
    INVENTORY_SUMMARIES: INVENTORY,
    LIST_TRANSACTIONS: TRANSACTIONS,
    shipments.GET_SHIPMENTS: shipments.SHIPMENTS,
    shipment_items.GET_SHIPMENT_ITEMS: shipments.SHIPMENTS,
    desk.CREATE_REPORT: REIMBURSEMENTS,
    desk.GET_REPORTS: REIMBURSEMENTS,
    desk.GET_REPORT: REIMBURSEMENTS,
    desk.GET_DOCUMENT: REIMBURSEMENTS,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "DEADLINE", UNFINISHED)


def is_of(operation: Operation, request: httpx.Request) -> bool:
    method = "POST" if operation is desk.CREATE_REPORT else "GET"
    prefix, _, suffix = operation.path.partition("{}")
    path = request.url.path
    if request.method != method or not path.startswith(prefix) or not path.endswith(suffix):
        return False
    return suffix != "" or "{}" in operation.path or path == prefix


def spoilt(bench: Bench, operation: Operation, response: Callable[[], httpx.Response]) -> None:
    """Every call of this operation gets this response."""
    bench.wire.spoil = lambda request, _: response() if is_of(operation, request) else None


async def reads(bench: Bench, operation: Operation) -> None:
    """Read the dataset that needs the operation, to its end or to a connector error."""
    try:
        await bench.sync(OPERATIONS[operation])
    except ConnectorError as error:
        text = str(error)
        assert 0 < len(text) < 2_000 and text.isprintable()
        text.encode()
        assert DEEP[:100].decode() not in text


def table() -> Iterator[Any]:
    for operation in OPERATIONS:
        for name, body in BODIES.items():
            yield pytest.param(operation, 200, [], body, id=f"{operation.name}-{name}")
            if name.startswith(("deep", "html", "surrogate")):
                yield pytest.param(operation, 400, [], body, id=f"{operation.name}-400-{name}")
        for status in STATUSES:
            yield pytest.param(operation, status, [], b"{}", id=f"{operation.name}-{status}")
        for name, headers in HEADERS.items():
            for status in (200, 404):
                yield pytest.param(
                    operation, status, headers, b"{}", id=f"{operation.name}-{status}-{name}"
                )


@pytest.mark.parametrize(("operation", "status", "headers", "body"), list(table()))
async def test_any_response_is_read_or_raises_a_connector_error(
    operation: Operation, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    bench = Bench(FEW)
    spoilt(
        bench,
        operation,
        lambda: httpx.Response(status, headers=httpx.Headers(headers), stream=Bytes(body)),
    )
    await reads(bench, operation)


class Bytes(httpx.AsyncByteStream):
    """A body that the HTTP library has not decoded yet."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> Any:
        yield self.body


# Each value of an answer --------------------------------------------------------------------------

VALUES: list[Any] = [
    *(None, True, -1, 0, 1.5, 1e300, 10**30, "", " ", "\0", "x\r\ny", LONG, "ä", "../..", "\u202e"),
    *([], [None], {}, {"a": 1}, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"),
    *("2026-01-01T00:00:00", "2026-01-01"),
]


def replaced(value: Any, new: Any) -> Iterator[Any]:
    """Copies of a JSON value with one field replaced in each; the first item of a list stands for
    all."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield {**value, name: new}
            for variant in replaced(inner, new):
                yield {**value, name: variant}
    elif isinstance(value, list) and value:
        for variant in replaced(value[0], new):
            yield [variant, *value[1:]]


@pytest.mark.parametrize("new", VALUES, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("operation", list(OPERATIONS), ids=lambda operation: operation.name)
async def test_a_value_of_another_type_fails_one_dataset_at_most(
    operation: Operation, new: Any
) -> None:
    answers: list[httpx.Response] = []
    bench = Bench(FEW)

    def keep(request: httpx.Request, response: httpx.Response) -> None:
        if is_of(operation, request) and response.status_code < 300:
            answers.append(response)

    bench.wire.spoil = keep
    await bench.sync(OPERATIONS[operation])
    answer = json.loads(answers[-1].content) if answers else {}
    for body in shortened(replaced(short(answer), new), VALUES.index(new)):
        bench = Bench(FEW)
        content = json.dumps(body).encode()
        spoilt(bench, operation, lambda: httpx.Response(200, content=content))  # noqa: B023
        await reads(bench, operation)


def short(value: Any) -> Any:
    """With one item per list."""
    if isinstance(value, dict):
        return {name: short(inner) for name, inner in value.items()}
    return [short(first) for first in value[:1]] if isinstance(value, list) else value


def shortened(bodies: Iterator[Any], turn: int) -> list[Any]:
    """Some six, spread over all and different in each turn: most fields of a record are not
    read."""
    variants = list(bodies)
    step = max(1, len(variants) // 6)
    return variants[turn % step :: step]


# Documents ----------------------------------------------------------------------------------------

ADDRESSES = [
    "",
    "x",
    "/report",
    "https://",
    "http://xn--/",
    "https://xn--a/",
    "https://a..b/",
    "https://" + "a" * 300 + "/",
    "https://sandbox/" + "x" * 65_000,
    "https://sandbox/" + LONG,
    "http://sandbox/\r\nX: y",
    "http://sandbox/a\nb",
    "http://sandbox/\0",
    "http://sandbox:0/",
    "http://sandbox:99999/",
    "http://sandbox:x/",
    "http://[::1/",
    "http://[v1.x]/",
    "http://ex\u00e4mple/\u20ac",
    "ftp://sandbox/",
    "file:///etc/passwd",
    "javascript:1",
    "data:text/plain,x",
    "\ud800",
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda value: ascii(value)[:30])
async def test_an_invalid_address_of_a_document_fails_one_dataset(
    bench: Bench, address: str
) -> None:
    body = json.dumps({"reportDocumentId": "1", "url": address, "compressionAlgorithm": "GZIP"})
    spoilt(bench, desk.GET_DOCUMENT, lambda: httpx.Response(200, content=body.encode()))
    with pytest.raises(ConnectorError):
        await bench.sync(OPERATIONS[desk.GET_DOCUMENT])


@pytest.mark.parametrize("address", ["http://a..b/", "http://" + "a" * 70 + ".example/"])
async def test_a_host_name_that_no_resolver_accepts_fails_one_dataset(address: str) -> None:
    """With the real HTTP client."""
    async with open_http(JumpingClock(), "test") as http:
        with pytest.raises(ConnectorError):
            async with http.download(address):
                pass


@pytest.mark.parametrize(
    "charset",
    [
        *("rot13", "rot_13", "zlib", "zip", "bz2", "hex", "base64", "quopri", "uu", "idna"),
        *("punycode", "undefined", "unicode_escape", "raw_unicode_escape", "charmap", "mbcs"),
        *("oem", "string_escape", "x" * 70_000, "\0", "a\0b", "..", "utf_8\0", "\ud800", "ä", " "),
        *("utf-7", "unknown"),
    ],
    ids=lambda value: ascii(value)[:20],
)
async def test_a_name_that_is_not_a_charset_is_read_as_windows_1252(charset: str) -> None:
    assert _codec(charset) == "cp1252"


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        *(("UTF-8", "utf-8-sig"), ("Cp1252", "cp1252"), ("ISO-8859-1", "iso8859-1")),
        *(("windows-31j", "cp932"), ("Shift_JIS", "cp932"), ("utf-16", "utf-16"), (None, "cp1252")),
        *(("GB18030", "gb18030"), ("EUC-JP", "euc_jp"), ("Big5", "big5"), ("us-ascii", "ascii")),
    ],
)
async def test_a_known_charset_is_used(charset: str | None, codec: str) -> None:
    assert _codec(charset) == codec


@pytest.mark.parametrize("charset", ["undefined", "idna", "zlib", "hex", "*=zlib''x", "\xff"])
async def test_a_document_with_an_unusual_charset_is_read(bench: Bench, charset: str) -> None:
    def spoil(request: httpx.Request, response: httpx.Response) -> None:
        if request.url.path.startswith("/_documents/"):
            response.headers["content-type"] = f"text/plain; charset={charset}"

    bench.wire.spoil = spoil
    pages = await bench.sync(OPERATIONS[desk.GET_DOCUMENT])
    assert sum(len(page.records) for page in pages) > 0


# The login ----------------------------------------------------------------------------------------

LIVES: list[Any] = [1e12, -1, -1e300, 1e300, 10**40, 0, 1e-9, 3600.0, "3600", None, True, [], {}]
TOKENS: list[Any] = ["", "ä", "a\r\nX: y", "a b", "a\0", LONG, None, 1, []]
GRANTS: list[Any] = [
    *({"expires_in": life} for life in LIVES),
    *({"access_token": token} for token in TOKENS),
    {"access_token": "\ud800"},
]


@pytest.mark.parametrize("grant", GRANTS, ids=lambda value: ascii(value)[:40])
async def test_an_invalid_grant_is_retryable(bench: Bench, grant: Any) -> None:
    body = json.dumps({"access_token": "Atza|1", "token_type": "bearer", "expires_in": 9, **grant})

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if "auth" in request.url.path:
            return httpx.Response(200, content=body.encode())
        return None

    bench.wire.spoil = spoil
    try:
        token = await bench.tokens.get("Atzr|sandbox-1")
    except Retryable as error:
        assert LONG[:100] not in str(error) and "Atza" not in str(error)
        return
    assert token == "Atza|1"
    until = bench.tokens._tokens["Atzr|sandbox-1"].until
    assert until - bench.clock.now() <= timedelta(days=1)


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_any_response_of_the_login_raises_a_connector_error(
    bench: Bench, status: int, body: bytes
) -> None:
    bench.wire.spoil = lambda request, _: httpx.Response(status, content=body)
    with pytest.raises(ConnectorError):
        await bench.tokens.get("Atzr|sandbox-1")
    with pytest.raises(ConnectorError):
        await bench.connector.exchange({"spapi_oauth_code": "code"}, "https://near/")


@pytest.mark.parametrize("token", ["a\nb", "ä", "\ud800", LONG, " "])
async def test_an_invalid_refresh_token_is_refused(bench: Bench, token: str) -> None:
    connection = with_settings(connect(), refresh_token=token)
    with pytest.raises(InvalidConnection) as caught:
        await bench.connector.check(connection, bench.waiting)
    assert "refreshToken" in caught.value.fields


# The account --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
async def test_any_response_about_the_account_raises_a_connector_error(
    bench: Bench, body: bytes
) -> None:
    spoilt(bench, PARTICIPATIONS, lambda: httpx.Response(200, content=body))
    with pytest.raises(ConnectorError):
        await bench.connector.check(connect(), bench.waiting)


async def test_an_id_that_is_too_long_to_send_fails_one_dataset(bench: Bench) -> None:
    """A report id and a page token of 70 KB."""
    spoilt(bench, desk.CREATE_REPORT, lambda: httpx.Response(202, json={"reportId": LONG}))
    with pytest.raises(SourceError):
        await bench.sync(OPERATIONS[desk.CREATE_REPORT])
    page = {"orders": [], "pagination": {"nextToken": LONG}}
    spoilt(bench, SEARCH_ORDERS, lambda: httpx.Response(200, json=page))
    with pytest.raises(SourceError):
        await bench.read(ORDERS)


# The announced rate -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["0.0001", "0.00002", "1e-9", "1e9", "100000", "nan"])
async def test_an_announced_rate_neither_stalls_a_reader_nor_floods_the_source(rate: str) -> None:
    bench = Bench(FEW)
    operation = SEARCH_ORDERS

    def spoil(request: httpx.Request, response: httpx.Response) -> None:
        response.headers["x-amzn-RateLimit-Limit"] = rate

    bench.wire.spoil = spoil
    bucket = bench.client.bucket(connect(), operation)
    params = {"marketplaceIds": "ATVPDKIKX0DER", "lastUpdatedAfter": "2026-02-01T00:00:00Z"}
    for _ in range(25):
        await bench.client.call(connect(), operation, params, bench.waiting)
    assert max(bench.jumping.slept, default=0) <= SLOWEST / operation.rate + 1

    def silent(request: httpx.Request, response: httpx.Response) -> None:
        response.headers.pop("x-amzn-RateLimit-Limit", None)

    bench.wire.spoil = silent
    for _ in range(3):
        await bench.client.call(connect(), operation, params, bench.waiting)
    assert bucket.rate >= operation.rate
