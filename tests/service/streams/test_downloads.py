"""Downloads: whole snapshots as NDJSON and CSV, their tags, their limits, and what cuts them."""

import csv
import gzip
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from connectors.base import Column, Dataset
from service.edge.limits import Limits
from service.store import selections
from service.store.engine import Unavailable
from service.streams import downloads
from tests.databases import DATABASES
from tests.service import scripted as scripts
from tests.service.api.answers import problem
from tests.service.api.streams import ENDED, Reader
from tests.service.scripted import Script, scripted
from tests.serving import PATIENCE, Json, Serving, User, serve, serve_within

pytestmark = pytest.mark.anyio

NDJSON, CSV = "application/x-ndjson", "text/csv"
PATH = "/api/data/orders"
LARGE = 400
"""Records of 10 KB: more than all buffers between the service and a client hold."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


async def get(user: User, accept: str = NDJSON, path: str = PATH, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await user.get(path, headers={"Accept": accept, **headers})


def objects(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == NDJSON
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


@asynccontextmanager
async def stored(folder: Path, script: Script, count: int = 3) -> AsyncIterator[Serving]:
    """A service with some orders of a user."""
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        script.set_records("orders", *(f"order-{number:04}" for number in range(count)))
        await ann.whole_sync()
        yield service


@asynccontextmanager
async def large(
    folder: Path, script: Script, limits: Limits | None = None
) -> AsyncIterator[Serving]:
    names = [f"order-{number:04}" for number in range(LARGE)]
    script.set_records("orders", *names, value="x" * 10_000)
    async with serve_within(limits or Limits(tick=0.02), folder) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        yield service


async def until_downloads(service: Serving, count: int) -> None:
    with anyio.fail_after(PATIENCE):
        while service.parts.downloads.count != count:
            await anyio.sleep(0.01)


# Files ----------------------------------------------------------------------------------------


async def test_ndjson_has_every_record_as_the_listing_shows_it(
    tmp_path: Path, script: Script
) -> None:
    async with stored(tmp_path, script, 700) as service:
        ann = service.user()
        answer = await get(ann)
        assert objects(answer) == await ann.records("orders")
        assert answer.headers["content-disposition"] == 'attachment; filename="orders.ndjson"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert objects(await get(ann, path=f"{PATH}?q=order-01")) == [
            record for record in await ann.records("orders") if record["id"][:8] == "order-01"
        ]
        assert objects(await get(ann, path="/api/data/stock")) == []


async def test_csv_has_the_columns_of_the_connector(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = Dataset(
        "orders", "orders", columns=[Column(name, name, name) for name in ("value", "lacking")]
    )
    monkeypatch.setattr(scripts, "ORDERS", orders)
    async with stored(tmp_path, script) as service:
        ann = service.user()
        answer = await get(ann, CSV)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == 'attachment; filename="orders.csv"'
        assert answer.content.startswith(b"\xef\xbb\xbf")
        header, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
        assert header == ["id", "connectionId", "updatedAt", "value", "lacking"]
        assert rows == [
            [record["id"], record["connectionId"], record["updatedAt"], "1", ""]
            for record in await ann.records("orders")
        ]
        empty = await get(ann, CSV, "/api/data/stock")
        assert empty.content.decode("utf-8-sig") == "id,connectionId,updatedAt,data\r\n"


async def test_the_first_accepted_format_is_sent_compressed_if_the_client_asks(
    tmp_path: Path, script: Script
) -> None:
    async with stored(tmp_path, script, 700) as service:
        ann = service.user()
        for accept, kind in (
            (f"{CSV}, {NDJSON}", CSV),
            (f"{NDJSON};q=0.9, */*", NDJSON),
            ("application/json", "application/json"),
            ("*/*", "application/json"),
        ):
            answer = await get(ann, accept)
            assert answer.headers["content-type"].partition(";")[0] == kind
        for coding, packed in (
            ("gzip", True),
            ("br, GZIP;q=0.5", True),
            ("*", True),
            ("gzip;q=0", False),
            ("gzip; q=0.000, br", False),
            ("identity", False),
        ):
            request = ann.http.build_request(
                "GET", PATH, headers={"Accept": NDJSON, "Accept-Encoding": coding}
            )
            sent = await ann.http.send(request, stream=True)
            raw = b"".join([piece async for piece in sent.aiter_raw()])
            assert (sent.headers.get("content-encoding") == "gzip") == packed, coding
            whole = gzip.decompress(raw) if packed else raw
            assert whole.count(b"\n") == 700
            assert not packed or len(raw) < len(whole) / 3


async def test_a_download_of_one_connection_has_only_its_records(
    tmp_path: Path, script: Script
) -> None:
    async with stored(tmp_path, script) as service:
        ann, bob = service.user("ann"), service.user("bob")
        other = (await ann.connect(refreshToken="other"))["id"]
        await ann.whole_sync(connectionId=other)
        assert len(objects(await get(ann))) == 6
        assert len(objects(await get(ann, path=f"{PATH}?connectionId={other}"))) == 3
        problem(await get(bob, path=f"{PATH}?connectionId={other}"), 404, "not_found")
        assert objects(await get(bob)) == []


# Tags -----------------------------------------------------------------------------------------


async def test_the_tag_changes_when_the_records_change(tmp_path: Path, script: Script) -> None:
    async with stored(tmp_path, script) as service:
        ann = service.user()
        tags = [(await get(ann)).headers["etag"]]
        assert tags[0].startswith('W/"') and tags[0] != (await get(ann, CSV)).headers["etag"]
        await ann.whole_sync()
        for tag in (tags[0], tags[0].removeprefix("W/"), f'"x", {tags[0]}', "*"):
            answer = await get(ann, if_none_match=tag)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == tags[0]
        for names, value in (("abc", "1"), ("abc", "2"), ("ab", "2")):
            script.set_records("orders", *names, value=value)
            await ann.whole_sync(overwrite=True, allowMassDelete=True)
            answer = await get(ann, if_none_match=tags[-1])
            assert len(objects(answer)) == len(names)
            tags.append(answer.headers["etag"])
        assert len(set(tags)) == 4


async def test_head_sends_the_headers_and_opens_no_snapshot(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stored(tmp_path, script) as service:
        ann = service.user()
        expected = (await get(ann, CSV)).headers
        monkeypatch.setattr(downloads, "MAX_DOWNLOADS", 0)
        answer = await ann.http.head(PATH, headers={"Accept": CSV})
        assert (answer.status_code, answer.content) == (200, b"")
        for name in ("content-type", "content-disposition", "etag", "vary"):
            assert answer.headers[name] == expected[name]


# Snapshots ------------------------------------------------------------------------------------


async def test_a_sync_that_writes_meanwhile_does_not_change_a_running_download(
    tmp_path: Path, script: Script
) -> None:
    async with large(tmp_path, script) as service:
        ann = service.user()
        before = await ann.records("orders")
        async with Reader(service, PATH, more=f"Accept: {NDJSON}\r\n") as reader:
            await reader.until(b"order-0000")
            kept = [f"order-{number:04}" for number in range(LARGE // 2)]
            script.set_records("orders", *kept, "order-0000-new", "zzz", value="2")
            done = await ann.whole_sync(overwrite=True, allowMassDelete=True)
            assert done["status"] == "complete"
            assert len(await ann.records("orders")) == LARGE // 2 + 2
            assert await _rest(reader)
            body = _unchunked(reader.read)
        assert [msgspec.json.decode(line) for line in body.splitlines()] == before
        await until_downloads(service, 0)


def _unchunked(response: bytes) -> bytes:
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return body
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


# Limits ---------------------------------------------------------------------------------------


async def test_too_many_downloads_are_refused_until_one_has_ended(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_DOWNLOADS", 3)
    more = f"Accept: {NDJSON}\r\n"
    async with large(tmp_path, script) as service, AsyncExitStack() as stack:
        ann, bob = service.user("ann"), service.user("bob")
        readers = [
            await stack.enter_async_context(Reader(service, PATH, more=more))
            for _ in range(downloads.MAX_OF_USER)
        ]
        for reader in readers:
            await reader.until(b"order-0000")
        refused = await get(ann)
        problem(refused, 429, "too_many_downloads")
        assert int(refused.headers["retry-after"]) > 0
        assert (await get(bob)).status_code == 200
        monkeypatch.setattr(downloads, "MAX_DOWNLOADS", 2)
        refused = await get(bob)
        problem(refused, 503, "downloads_busy")
        assert int(refused.headers["retry-after"]) > 0
        for reader in readers:
            assert await _rest(reader)
        await until_downloads(service, 0)
        assert len(objects(await get(ann))) == LARGE


async def test_a_client_that_leaves_frees_its_download(tmp_path: Path, script: Script) -> None:
    async with large(tmp_path, script) as service:
        for more in (f"Accept: {NDJSON}\r\n", f"Accept: {CSV}\r\nAccept-Encoding: gzip\r\n"):
            async with Reader(service, PATH, more=more) as reader:
                await reader.until(b"HTTP/1.1 200")
                await until_downloads(service, 1 if "gzip" not in more else 0)
            await until_downloads(service, 0)
        assert (await service.user().get("/healthz")).status_code == 200


async def test_a_client_that_stops_reading_is_cut_off(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with large(tmp_path, script) as service:
        monkeypatch.setattr(downloads, "IDLE", 0.3)
        async with Reader(service, PATH, more=f"Accept: {NDJSON}\r\n") as reader:
            await reader.until(b"order-0000")
            await until_downloads(service, 0)
            assert await _rest(reader) is False
        with DATABASES.opened(tmp_path) as database:  # no reader is left to prevent a write
            database.execute("UPDATE records SET seen = 'x'")


async def test_a_download_that_takes_too_long_is_cut_off(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with large(tmp_path, script) as service:
        monkeypatch.setattr(downloads, "LONGEST", 0.5)
        async with Reader(service, PATH, more=f"Accept: {NDJSON}\r\n") as reader:
            await until_downloads(service, 1)
            await until_downloads(service, 0)
            assert await _rest(reader) is False


async def _rest(reader: Reader) -> bool:
    """Read to the end of the response; whether it was complete."""
    try:
        with anyio.fail_after(PATIENCE):
            while not reader.read.endswith(ENDED) and await reader.read_some():
                pass
    except ConnectionError:
        return False
    return reader.read.endswith(ENDED)


# Failures -------------------------------------------------------------------------------------


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches after which the database fails, if any is given."""
    allowed: list[int] = []
    page = selections.Selection._page

    async def limited(*args: Any) -> Any:
        if allowed:
            allowed[0] -= 1
            if allowed[0] < 0:
                raise Unavailable("away")
        return await page(*args)

    monkeypatch.setattr(selections.Selection, "_page", limited)
    return allowed


async def test_a_failure_before_the_first_record_is_a_problem(
    tmp_path: Path, script: Script, failing: list[int]
) -> None:
    async with stored(tmp_path, script) as service:
        failing.append(0)
        problem(await get(service.user()), 503, "store_unavailable")
        await until_downloads(service, 0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_failure_in_the_middle_is_visible_to_the_client(
    tmp_path: Path, script: Script, failing: list[int], version: str
) -> None:
    async with large(tmp_path, script) as service:
        failing.append(30)
        reader = Reader(service, PATH, more=f"Accept: {NDJSON}\r\n")
        reader._request = reader._request.replace(b"HTTP/1.1", f"HTTP/{version}".encode())
        async with reader:
            with anyio.fail_after(PATIENCE), pytest.raises(ConnectionResetError):
                while await reader.read_some():
                    pass
            assert b" 200 OK" in reader.read and b"Unavailable" not in reader.read
        await until_downloads(service, 0)
        failing.clear()
        failing.append(30)
        with pytest.raises(httpx.HTTPError):
            await get(service.user())
