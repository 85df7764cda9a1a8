"""Edits of report documents and responses, and what was read of them."""

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.reports import desk
from connectors.amazon.reports.kinds import (
    DATASETS,
    LEDGER,
    REIMBURSEMENTS,
    REMOVALS,
    RETURNS,
)
from connectors.base import (
    Dataset,
    Page,
    Record,
)
from tests.connectors.amazon.bench import Bench

WIDE: Sequence[Dataset] = (REIMBURSEMENTS, LEDGER, RETURNS, REMOVALS)
EACH = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
DOCUMENT = "/_documents/"


def everything(pages: Sequence[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


def rows(pages: Sequence[Page]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(record.data) for record in everything(pages)]


def documents(
    bench: Bench, edit: Callable[[bytes, int], httpx.Response | bytes | None]
) -> list[httpx.Request]:
    """Replace every document from now on by what `edit` returns for its text and number."""
    seen: list[httpx.Request] = []
    inner = bench.wire.handle_async_request

    async def handle(request: httpx.Request) -> httpx.Response:
        response = await inner(request)
        if not request.url.path.startswith(DOCUMENT):
            return response
        seen.append(request)
        content = b"".join([part async for part in response.aiter_raw()])
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        made = edit(content, len(seen))
        if isinstance(made, httpx.Response):
            return made
        headers = {"content-type": response.headers["content-type"]}
        body = httpx.ByteStream(content if made is None else made)
        return httpx.Response(response.status_code, headers=headers, stream=body)

    bench.wire.handle_async_request = handle  # type: ignore[method-assign]
    bench.http._transport = bench.wire
    return seen


def plain(bench: Bench) -> None:
    """Remove the announced compression where documents are edited."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if "/documents/" not in request.url.path or response.status_code != 200:
            return None
        body = json.loads(response.content)
        body.pop("compressionAlgorithm", None)
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil


def looked(bench: Bench, edit: Callable[[dict[str, Any], int], None]) -> list[str]:
    """Edit every response of getReport from now on; `edit` also receives the report's number."""
    seen: list[str] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith(desk.GET_REPORTS.path + "/"):
            return None
        if response.status_code != 200:
            return None
        body = json.loads(response.content)
        if body["reportId"] not in seen:
            seen.append(body["reportId"])
        edit(body, seen.index(body["reportId"]))
        return httpx.Response(body.pop("status", 200), json=body)

    bench.wire.spoil = spoil
    return seen


def ledger(text: bytes) -> tuple[str, list[str]]:
    header, *lines = text.decode("latin-1").split("\r\n")[:-1]
    return header, lines


def text(header: str, lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [header, *lines]).encode("latin-1")
