"""What users received of removal orders: each line is taken or named, and reaches the rules."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest

from connectors.base import Record
from connectors.claims import RemovalArrival
from service.store import removals
from tests.service.api.answers import problem
from tests.service.scripted import Script, scripted
from tests.service.test_erasing import words_in_files
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

HEAD = "order-id,sku,fnsku,tracking-number,quantity-received,date"
PATH = "/api/removals/received"
GOOD = {"orderId": "rem-1", "quantityReceived": 2}
SHOWN = {
    "orderId": "rem-1",
    "sku": "",
    "fnsku": "",
    "trackingNumber": "",
    "quantityReceived": 2,
    "date": None,
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """A source with three parcels of two removal orders."""
    script = scripted(monkeypatch)
    script.records["stock"] = [
        sent("a", "rem-1", "MUG", "X1", "1Z-A"),
        sent("b", "rem-1", "CUP", "X2", "1Z-B"),
        sent("c", "rem-2", "MUG", "X1", ""),
        Record("d", b'{"order": null}'),
        Record("e", b'{"order": ["rem-3"]}'),
    ]
    return script


def sent(key: str, order: str, sku: str, fnsku: str, tracking: str) -> Record:
    row = {"order": order, "sku": sku, "fnsku": fnsku, "tracking": tracking}
    return Record(key, msgspec.json.encode(row))


@asynccontextmanager
async def synced(folder: Path) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        yield service, ann


async def put(user: User, body: bytes | str, kind: str = "text/csv") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return await user.http.put(PATH, content=content, headers={"Content-Type": kind})


async def stored(user: User, limit: int = 1000) -> list[Json]:
    received: list[Json] = []
    params: Json = {"limit": limit}
    while True:
        page = read(await user.get(PATH, params=params))
        received += page["received"]
        if page["nextCursor"] is None:
            return received
        params["cursor"] = page["nextCursor"]


# Lines ------------------------------------------------------------------------------------------

VALID = {
    "every column": f"{HEAD}\nrem-1,,,,2,\n",
    "only the required columns": "order-id,quantity-received\nrem-1,2\n",
    "other spellings": "Quantity Received;orderId\n2;rem-1\n",
    "the same line twice": "order_id,quantity_received\nrem-1,2\nrem-1,2\n",
}


@pytest.mark.parametrize("name", VALID)
async def test_csv_is_accepted(tmp_path: Path, script: Script, name: str) -> None:
    async with synced(tmp_path) as (_, ann):
        answer = await put(ann, VALID[name])
        assert (answer.status_code, read(answer)["rejected"]) == (200, 0), answer.text
        assert await stored(ann) == [SHOWN]


async def test_json_is_accepted_and_a_later_upload_replaces_the_line(
    tmp_path: Path, script: Script
) -> None:
    async with synced(tmp_path) as (_, ann):
        for _ in range(2):
            answer = await ann.http.put(PATH, json=[GOOD])
            assert read(answer) == {"accepted": 1, "rejected": 0, "errors": []}
            assert await stored(ann) == [SHOWN], "sending it again changes nothing"
        day = datetime.now(UTC).date().isoformat()
        await ann.http.put(PATH, json=[{**GOOD, "quantityReceived": "0", "date": day}])
        assert await stored(ann) == [{**SHOWN, "quantityReceived": 0, "date": day}]
        await ann.http.put(PATH, json=[{**GOOD, "trackingNumber": "1Z-B", "sku": "CUP"}])
        assert len(await stored(ann)) == 2, "a part of the order is a line of its own"


WRONG = {
    "an order that does not exist": ("rem-9,,,,2,", "no removal order rem-9 is known"),
    "no order": (",,,,2,", "order-id must have 1 to 200 characters"),
    "another SKU": ("rem-1,PEN,,,2,", "no such SKU: PEN"),
    "another FNSKU": ("rem-1,,X3,,2,", "no such FNSKU: X3"),
    "a product of another parcel": ("rem-1,MUG,,1Z-B,2,", "no such tracking number: 1Z-B"),
    "a parcel of another order": ("rem-2,,,1Z-A,2,", "no such tracking number: 1Z-A"),
    "a negative quantity": ("rem-1,,,,-1,", "must be a whole number from 0"),
    "a part of a unit": ("rem-1,,,,1.5,", "must be a whole number from 0"),
    "no quantity": ("rem-1,,,,,", "must be a whole number from 0"),
    "words": ("rem-1,,,,two,", "must be a whole number from 0"),
    "other digits": ("rem-1,,,,\u0662,", "must be a whole number from 0"),
    "too many units": ("rem-1,,,,1000001,", "must be a whole number from 0"),
    "a date of another form": ("rem-1,,,,2,03/31/2026", "must be a day like"),
    "a day that does not exist": ("rem-1,,,,2,2026-02-30", "is not a day"),
    "a day in the future": ("rem-1,,,,2,2999-01-01", "is in the future"),
    "a long text": (f"rem-1,{'x' * 201},,,2,", "sku must have 0 to 200 characters"),
    "too many cells": ("rem-1,,,,2,,7", "more cells than the header"),
    "another quantity for the same order": ("rem-2,,,,3,", "also on line 2, with a different"),
}


async def test_an_invalid_line_is_named_and_the_others_are_stored(
    tmp_path: Path, script: Script, subtests: pytest.Subtests
) -> None:
    async with synced(tmp_path) as (_, ann):
        for name, (line, message) in WRONG.items():
            with subtests.test(name):
                answer = read(await put(ann, f"{HEAD}\nrem-2,,,,1,\n{line}\nrem-1,,X1,,2,\n"))
                assert (answer["accepted"], answer["rejected"]) == (2, 1), answer
                (error,) = answer["errors"]
                assert (error["line"], error["orderId"]) == (3, line.partition(",")[0])
                assert message in error["message"]
                assert [row["orderId"] for row in await stored(ann)] == ["rem-1", "rem-2"]


async def test_a_file_without_a_valid_line_is_refused(tmp_path: Path, script: Script) -> None:
    async with synced(tmp_path) as (_, ann):
        body = f"{HEAD}\nrem-9,,,,2,\nrem-1,,,,-2,\nrem-9,,,,2,\n"
        refused = problem(await put(ann, body), 422, "invalid")
        assert [error["field"] for error in refused["errors"]] == ["line 2", "line 3", "line 4"]
        assert await stored(ann) == []


async def test_in_json_too_an_invalid_line_is_named(tmp_path: Path, script: Script) -> None:
    async with synced(tmp_path) as (_, ann):
        wrong = ({"quantityReceived": 1.5}, {"quantityReceived": -1}, {"orderId": "rem-9"})
        body = [GOOD, *({**GOOD, **fields} for fields in wrong)]
        answer = read(await ann.http.put(PATH, json=body))
        assert (answer["accepted"], [error["line"] for error in answer["errors"]]) == (1, [2, 3, 4])
        for bad in ({**GOOD, "quantityReceived": None}, {"orderId": "rem-1"}, {**GOOD, "x": 1}):
            problem(await ann.http.put(PATH, json=[bad]), 422, "invalid")
        assert await stored(ann) == [SHOWN]


@pytest.mark.parametrize("body", ["", "sku,quantity-received\nMUG,2\n", f'{HEAD}\n"rem-1,2\n'])
async def test_a_file_that_cannot_be_read_changes_nothing(
    tmp_path: Path, script: Script, body: str
) -> None:
    async with synced(tmp_path) as (_, ann):
        problem(await put(ann, body), 422, "invalid")
        assert await stored(ann) == []


async def test_an_order_is_known_only_once_it_was_read_and_only_to_its_user(
    tmp_path: Path, script: Script
) -> None:
    async with synced(tmp_path) as (service, ann):
        bob = service.user("bob")
        await bob.connect(refreshToken="other")
        refused = problem(await bob.http.put(PATH, json=[GOOD]), 422, "invalid")
        assert "start a sync first" in refused["detail"]
        assert read(await ann.http.put(PATH, json=[GOOD]))["accepted"] == 1
        assert await stored(bob) == []


async def test_at_most_a_limit_of_lines_is_stored(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "MAX_ARRIVALS", 2)
    async with synced(tmp_path) as (_, ann):
        assert read(await put(ann, f"{HEAD}\nrem-1,,,,2,\nrem-2,,,,2,\n"))["accepted"] == 2
        problem(await put(ann, f"{HEAD}\nrem-1,MUG,,,2,\n"), 422, "invalid")
        assert read(await put(ann, f"{HEAD}\nrem-1,,,,3,\n"))["accepted"] == 1, "it is replaced"
        assert [row["quantityReceived"] for row in await stored(ann)] == [3, 2]


# Listing ----------------------------------------------------------------------------------------


async def test_every_line_is_on_exactly_one_page(tmp_path: Path, script: Script) -> None:
    async with synced(tmp_path) as (_, ann):
        lines = ("rem-1,,,,1,", "rem-1,,,1Z-A,2,", "rem-1,MUG,,,3,", "rem-2,,X1,,4,")
        assert read(await put(ann, "\n".join((HEAD, *lines))))["accepted"] == 4
        assert [row["quantityReceived"] for row in await stored(ann, 1)] == [1, 2, 3, 4]
        for params in ({"limit": "0"}, {"limit": "1001"}, {"cursor": "x"}, {"page": "2"}):
            problem(await ann.get(PATH, params=params), 422, "invalid")


async def test_a_download_can_be_uploaded_unchanged(tmp_path: Path, script: Script) -> None:
    script.records["stock"].append(sent("f", "=rem", "-2+3", "@X", "+1"))
    async with synced(tmp_path) as (_, ann):
        line = {**GOOD, "orderId": "=rem", "sku": "-2+3", "fnsku": "@X", "trackingNumber": "+1"}
        await ann.http.put(PATH, json=[{**line, "date": "2026-01-31"}, GOOD])
        before = await stored(ann)
        answer = await ann.get(PATH, headers={"Accept": "text/csv"})
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0] == HEAD.split(",") and len(rows) == 3
        assert not [cell for row in rows[1:] for cell in row if cell[:1] in ("=", "+", "@")]
        assert read(await put(ann, answer.content)) == {"accepted": 2, "rejected": 0, "errors": []}
        assert await stored(ann) == before != []


# What becomes of it -----------------------------------------------------------------------------


async def test_the_next_detection_is_told_what_arrived(tmp_path: Path, script: Script) -> None:
    async with synced(tmp_path) as (service, ann):
        assert script.arrivals[-1] == []
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        await ann.http.put(
            PATH,
            json=[GOOD, {**GOOD, "trackingNumber": "1Z-A", "date": yesterday.isoformat()}],
        )
        await ann.whole_sync()
        expected = [
            RemovalArrival("rem-1", 2),
            RemovalArrival("rem-1", 2, tracking="1Z-A", day=yesterday),
        ]
        assert script.arrivals[-1] == expected
        bob = service.user("bob")
        await bob.connect(refreshToken="other")
        await bob.whole_sync()
        assert script.arrivals[-1] == []


async def test_it_is_erased_with_the_data_of_its_connection(tmp_path: Path, script: Script) -> None:
    script.records["stock"].append(sent("f", "removal-to-forget", "MUG", "X1", "1Z-C"))
    async with synced(tmp_path) as (_, ann):
        await ann.http.put(PATH, json=[{**GOOD, "orderId": "removal-to-forget"}])
        (connection,) = read(await ann.get("/api/connections"))["connections"]
        answer = await ann.http.delete(f"/api/connections/{connection['id']}?data=erase")
        assert answer.status_code == 204
        assert await stored(ann) == []
        assert not words_in_files(tmp_path, ["removal-to-forget"])


async def test_it_is_kept_if_the_data_of_the_connection_is_kept(
    tmp_path: Path, script: Script
) -> None:
    async with synced(tmp_path) as (_, ann):
        await ann.http.put(PATH, json=[{**GOOD, "date": date(2026, 1, 31).isoformat()}])
        (connection,) = read(await ann.get("/api/connections"))["connections"]
        await ann.http.delete(f"/api/connections/{connection['id']}")
        assert await stored(ann) == [{**SHOWN, "date": "2026-01-31"}]
