"""The stored records: listed in pages, downloaded as a file, counted, or one by its id."""

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio.lowlevel
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connectors.base import Dataset
from service.api.parts import actor, parts
from service.errors import Invalid, NotFound
from service.store import selections
from service.store.connections import StoredConnection
from service.store.engine import Source, stamp
from service.store.selections import COLUMNS, Row, Selection
from service.streams.downloads import Chunks, DownloadResponse, OpenFile
from service.wire import record_shapes, responses, serialize
from service.wire.fields import Time
from service.wire.paging import Page, Paged
from service.wire.reading import Query, moment, read_query
from service.wire.record_files import NDJSON, CsvFile, NdjsonFile, RecordFile

#: The first part of the ETags of files. A new layout of the files needs a new number.
LAYOUT = 2
NO_PAGES = "A download has all records and no pages. Leave this out."


class RecordsQuery(Paged, frozen=True):
    """Filters and page of the stored records. A download has all of them, and no pages."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    connection_id: str = ""
    #: Only records whose id begins with this text.
    q: Annotated[str, Meta(max_length=1000)] = ""
    #: Only records that were stored or changed at this time or later, in the order of these times.
    updated_since: Time | None = None

    def selection(self, dataset: str, connection_ids: Sequence[str]) -> Selection:
        """The selected records. Raises Invalid."""
        if "\0" in self.q:
            raise Invalid.field("q", "Must not contain U+0000, which no id has.")
        since = moment(self.updated_since, "updatedSince")
        return Selection(dataset, sorted(connection_ids), self.q, stamp(since) if since else "")


class RecordQuery(Query, frozen=True):
    """The connection in which to find a record."""

    #: Required only if several connections have the record.
    connection_id: str = ""


async def counts(request: Request) -> Response:
    """Count the stored records of each dataset of the user's connections. Forgotten connections
    are not counted."""
    connections = await parts(request).connections.list(actor(request))
    records = await selections.counts(
        parts(request).records.source, [connection.id for connection in connections]
    )
    labels: dict[str, str] = {}
    for connection in connections:
        for dataset in _datasets(request, connection):
            labels.setdefault(dataset.name, dataset.label)
    return responses.JSON(
        record_shapes.DatasetCounts(
            datasets=[
                record_shapes.DatasetCount(
                    dataset=name, label=label, records=max(0, records.get(name, 0))
                )
                for name, label in sorted(labels.items())
            ]
        )
    )


async def list_all(request: Request) -> Response:
    """List the stored records of a dataset, each with its data as the source sent it. With `Accept:
    application/x-ndjson` or `text/csv`, return all of them as a file: a snapshot, which a sync that
    runs meanwhile does not change."""
    dataset, query = _dataset(request), read_query(request, RecordsQuery)
    connections = await _connections(request, query.connection_id)
    selection = query.selection(dataset, [connection.id for connection in connections])
    file = _requested_file(request, dataset, connections)
    if file is not None:
        return await _download(request, selection, file)
    list_name = "changed data" if selection.since else "data"
    page = query.page(list_name, key_length=selection.key_length)
    batches = selection.batches(parts(request).records.source, page.read_limit, page.after)
    # Read before the head of the response is sent, while a failure can still become a problem.
    batch = await _next(batches)
    body = _listing(batch, batches, selection, page)
    return StreamingResponse(body, media_type="application/json", headers={"Vary": "Accept"})


async def one(request: Request) -> Response:
    """Get a stored record: when it was first seen and last changed, by which syncs, and the claims
    that it proves."""
    dataset, query = _dataset(request), read_query(request, RecordQuery)
    connections = [one.id for one in await _connections(request, query.connection_id)]
    user, record_id = actor(request).user, request.path_params["record_id"]
    store, today = parts(request).records, parts(request).clock.now().date()
    holders = await store.holders(connections, dataset, record_id)
    if len(holders) > 1:
        several = f"Several of your connections have this record: {', '.join(holders)}. Choose one."
        raise Invalid.field("connectionId", several)
    row = await store.one(holders[0], dataset, record_id) if holders else None
    if row is None:
        raise NotFound(
            f"You have no record {record_id} of {dataset}. GET /api/data/{dataset} lists yours."
        )
    account = [*holders, *await parts(request).connections.twins(holders[0])]
    claims = await parts(request).recoveries.proven_by(user, account, dataset, record_id, today)
    return responses.JSON(serialize.whole_record(row, claims))


def _dataset(request: Request) -> str:
    """The dataset in the path. Raises NotFound if no connector has it."""
    dataset, datasets = request.path_params["dataset"], parts(request).sources.datasets
    if dataset not in datasets:
        raise NotFound(f"Unknown dataset {dataset}. The datasets are: {', '.join(datasets)}.")
    return str(dataset)


def _datasets(request: Request, connection: StoredConnection) -> Sequence[Dataset]:
    """The datasets of a connection; none if this service no longer has its connector."""
    sources = parts(request).sources
    known = connection.connector in sources.names
    return sources.get(connection.connector).datasets if known else ()


async def _connections(request: Request, chosen: str) -> Sequence[StoredConnection]:
    """The caller's connections, also forgotten ones, or only the chosen one. Raises NotFound if the
    caller does not have it."""
    connections = await parts(request).connections.list_with_forgotten(actor(request))
    if not chosen:
        return connections
    found = [connection for connection in connections if connection.id == chosen]
    if not found:
        raise NotFound(f"You have no connection {chosen}. GET /api/connections lists yours.")
    return found


# Pages ----------------------------------------------------------------------------------------


async def _next(batches: AsyncIterator[Sequence[Row]]) -> Sequence[Row]:
    """The next batch; empty at the end. (`anext` of Python 3.11 fails with a tuple as default.)"""
    try:
        return await anext(batches)
    except StopAsyncIteration:
        return ()


async def _listing(
    rows: Sequence[Row], batches: AsyncIterator[Sequence[Row]], selection: Selection, page: Page
) -> AsyncIterator[bytes]:
    """`record_shapes.Records` as JSON, encoded only as fast as the client reads: a page may have
    tens of megabytes."""
    count, separator, last = 0, b'{"records":[', None
    while batch := rows[: page.limit - count]:
        yield separator + b",".join(map(_encoded, batch))
        count, separator, last = count + len(batch), b",", batch[-1]
        more = len(rows) > len(batch)
        rows = rows[len(batch) :] if more else await _next(batches)
    next_cursor = page.cursor(selection.position(last)) if last and rows else None
    start = b"" if count else separator
    yield start + b'],"nextCursor":' + msgspec.json.encode(next_cursor) + b"}"


def _encoded(row: Row) -> bytes:
    return msgspec.json.encode(serialize.record(dict(zip(COLUMNS, row, strict=True))))


# Downloads ------------------------------------------------------------------------------------


def _requested_file(
    request: Request, dataset: str, connections: Sequence[StoredConnection]
) -> RecordFile | None:
    """The file that the client accepts; None for pages of JSON. Raises Invalid for parameters of
    pages."""
    accepted = [part.partition(";")[0].strip() for part in _parts_of(request, "accept")]
    wanted = [media_type for media_type in accepted if media_type in (NDJSON, "text/csv")]
    if not wanted:
        return None
    for name in ("limit", "cursor"):
        if name in request.query_params:
            raise Invalid.field(name, NO_PAGES)
    if wanted[0] == NDJSON:
        return NdjsonFile()
    layouts = [
        tuple(one.columns)
        for connection in connections
        for one in _datasets(request, connection)
        if one.name == dataset
    ]
    columns = {column.name: column.path for layout in layouts for column in layout}
    return CsvFile(columns, whole=not all(layouts) or not layouts)


def _parts_of(request: Request, header: str) -> Sequence[str]:
    """The parts of a list in a header, in lower case."""
    return request.headers.get(header, "").lower().split(",")


async def _download(request: Request, selection: Selection, file: RecordFile) -> Response:
    """All records of a selection as a file, or 304 if the client has them."""
    store, user, downloads = parts(request).records, actor(request).user, parts(request).downloads
    tag = await _tag(store.source, selection, file)
    caching = {
        "Cache-Control": "private, no-cache",
        "ETag": tag,
        "Vary": "Accept, Accept-Encoding",
    }
    tags = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    if tag in tags or tag.removeprefix("W/") in tags or "*" in tags:
        return Response(status_code=304, headers=caching)

    @asynccontextmanager
    async def opened() -> AsyncIterator[OpenFile]:
        with downloads.admitted(user):
            async with store.snapshot() as snapshot:
                now = await _tag(snapshot, selection, file)
                yield OpenFile(now, _chunks(snapshot, selection, file))

    name = f"{selection.dataset}.{file.suffix}"
    return DownloadResponse(opened, name, file.media_type, caching, _accepts_gzip(request))


async def _tag(source: Source, selection: Selection, file: RecordFile) -> str:
    """A weak ETag, which changes when a record of the dataset is stored, changed or deleted."""
    rows = await selections.states(source, selection.dataset, selection.connection_ids)
    parts_of_tag: Any = (LAYOUT, file.media_type, file.columns, rows)
    digest = hashlib.blake2b(msgspec.json.encode(parts_of_tag), digest_size=12).hexdigest()
    return f'W/"{digest}"'


async def _chunks(snapshot: Source, selection: Selection, file: RecordFile) -> Chunks:
    """The bytes of a file, at least one chunk, the first with the first records."""
    waiting = file.head()
    async for rows in selection.batches(snapshot):
        pieces = [waiting]
        for begin in range(0, len(rows), file.at_once):
            pieces.append(file.lines(rows[begin : begin + file.at_once]))
            await anyio.lowlevel.checkpoint()
        waiting = b""
        yield b"".join(pieces)
    if waiting or not file.columns:
        yield waiting


def _accepts_gzip(request: Request) -> bool:
    for part in _parts_of(request, "accept-encoding"):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False
