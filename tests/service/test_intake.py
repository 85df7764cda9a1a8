"""Bad text, bytes, numbers and times from any connector cost at most one record each."""

import json
import tempfile
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connectors.base import Account, Cursor, Page, Record, SourceError, Way
from connectors.claims import Claim, Findings
from service.intake import calls_of, fit_account, fit_page, seconds_of
from tests.cases import each
from tests.service.scripted import Script, scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

HOSTILE = "a\0b\ud800c"
USERS = count()
GOOD = b'{"value": 1}'
FAILED = {"status": "failed", "limit": 100}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


async def failures(user: User, sync: Json) -> dict[str, str]:
    """The reason of each failed record, by the id under which it is listed."""
    answer = await user.get(f"/api/sync/history/{sync['syncId']}/items", params=FAILED)
    assert answer.status_code == 200, answer.text
    return {item["recordId"]: item["error"] for item in read(answer)["items"]}


async def stored_data(user: User, dataset: str = "orders") -> dict[str, Any]:
    return {record["id"]: record["data"] for record in await user.records(dataset)}


async def connect_and_sync(service: Serving, name: str = "ann") -> tuple[User, Json]:
    ann = service.user(name)
    await ann.connect()
    return ann, await ann.whole_sync()


# Records ------------------------------------------------------------------------------------------


async def test_records_with_u0000_in_their_ids_fail_separately(
    script: Script, service: Serving
) -> None:
    script.records["orders"] = [Record(f"same\0{n}", GOOD) for n in range(20)]
    script.records["orders"] += [Record("same", GOOD)]
    ann, done = await connect_and_sync(service)
    orders = done["datasets"][0]
    assert (orders["processed"], orders["failed"], orders["created"]) == (21, 20, 1)
    assert set(await stored_data(ann)) == {"same"}
    reasons = await failures(ann, done)
    assert len(reasons) == 20
    assert all("U+0000" in why for why in reasons.values())


@each(
    "record, why",
    [
        (Record("", GOOD), "the id is empty"),
        (Record("x" * 1_001, GOOD), "1,001 characters"),
        (Record("x\ud800", GOOD), "surrogate"),
        (Record("x\0", GOOD), "U+0000"),
        (Record("x", b""), "JSON"),
        (Record("x", b'{"a": "\xff"}'), "UTF-8"),
        (Record("x", b'{"a": "\xed\xa0\x80"}'), "UTF-8"),
        (Record("x", b'{"a": "\\ud800"}'), "JSON"),
        (Record("x", b'{"a": "\\udc00\\ud800"}'), "JSON"),
        (Record("x", b'{"a": "\0"}'), "JSON"),
        (Record("x", b'{"a": NaN}'), "JSON"),
        (Record("x", b'{"a": 1e999}'), "JSON"),
        (Record("x", b"9" * 5_000), "JSON"),
        (Record("x", b"[" * 5_000 + b"]" * 5_000), "JSON"),
        (Record("x", b"{} {}"), "JSON"),
        (Record("x", b'"' + b"x" * 2**22 + b'"'), "4,194,306 bytes"),
        (Record("x", GOOD, at=datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))), "time"),
        (Record("x", GOOD, at=datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))), "time"),
        (Record(HOSTILE, b"\xff", HOSTILE, error=HOSTILE), "a\\x00b\\ud800c"),
    ],
)
async def test_a_record_that_cannot_be_stored_fails_with_the_reason(
    script: Script, service: Serving, record: Record, why: str
) -> None:
    script.records["orders"] = [Record("before", GOOD), record, Record("after", GOOD)]
    ann, done = await connect_and_sync(service, f"user-{next(USERS)}")
    orders = done["datasets"][0]
    assert done["status"] == "complete"
    assert (orders["status"], orders["created"], orders["failed"]) == ("partial", 2, 1)
    assert set(await stored_data(ann)) == {"before", "after"}
    [(record_id, reason)] = (await failures(ann, done)).items()
    assert why in reason
    assert record_id == "x" or record_id.startswith("unreadable-")


async def test_a_record_that_cannot_be_stored_fails_under_the_same_id_every_time(
    script: Script, service: Serving
) -> None:
    script.records["orders"] = [Record(f"\ud800{n}", GOOD) for n in range(3)]
    ann, first = await connect_and_sync(service)
    second = await ann.whole_sync(overwrite=True)
    assert await failures(ann, first) == await failures(ann, second)
    assert len(await failures(ann, second)) == 3


async def test_a_bad_name_or_version_is_repaired(script: Script, service: Serving) -> None:
    script.records["orders"] = [
        Record("1", GOOD, HOSTILE, version="\ud800"),
        Record("2", GOOD, "x" * 70_000, version="\0" * 70_000),
    ]
    ann = service.user()
    await ann.connect()
    done = await ann.whole_sync(items="all")
    answer = await ann.get(f"/api/sync/history/{done['syncId']}/items")
    names = [item["name"] for item in read(answer)["items"]]
    assert names == ["a\\x00b\\ud800c", "x" * 1_000]
    assert (await ann.whole_sync())["datasets"][0]["unchanged"] == 2


async def test_a_time_of_any_year_and_zone_is_stored(script: Script, service: Serving) -> None:
    moments = [datetime.min, datetime.max, datetime(999, 1, 1, tzinfo=UTC)]
    script.records["orders"] = [Record(str(n), GOOD, at=at) for n, at in enumerate(moments)]
    _, done = await connect_and_sync(service)
    assert done["datasets"][0]["created"] == 3
    rows = await service.parts.store._engine.read("SELECT at FROM records ORDER BY at", {})
    assert [row["at"][:10] for row in rows] == ["0001-01-01", "0999-01-01", "9999-12-31"]


# Pages, accounts, errors and claims ---------------------------------------------------------------


async def test_a_cursor_that_cannot_be_stored_costs_no_record(
    script: Script, service: Serving
) -> None:
    script.set_records("orders", *(f"{n:02}" for n in range(30)))
    script.edit = lambda page: msgspec.structs.replace(
        page, cursor=page.cursor and Cursor(f"\ud800{page.cursor}")
    )
    ann, done = await connect_and_sync(service)
    assert (done["status"], len(await stored_data(ann))) == ("complete", 30)


async def test_a_resume_continues_from_the_last_cursor_that_could_be_stored(
    script: Script, service: Serving
) -> None:
    script.set_records("orders", *(f"{n:02}" for n in range(40)))
    script.edit = lambda page: (
        msgspec.structs.replace(page, cursor=Cursor("\ud800")) if page.cursor == "20" else page
    )
    script.errors["orders"] = [None, None, SourceError("Broken.")]
    ann, done = await connect_and_sync(service)
    assert done["datasets"][0]["processed"] == 20
    await ann.post(f"/api/sync/resume/{done['syncId']}")
    assert len(await stored_data(ann)) == 20
    script.edit = lambda page: page
    second = await ann.whole_sync()
    assert (second["datasets"][0]["processed"], len(await stored_data(ann))) == (40, 40)


async def test_invalid_numbers_of_a_page_are_ignored(script: Script, service: Serving) -> None:
    script.set_records("orders", *(f"{n:02}" for n in range(30)))
    odd = iter([float("nan"), float("inf"), -1.0])
    totals = iter([10**30, -5, 30])

    def edit(page: Page) -> Page:
        if len(page.records) < 10:
            return page
        number = next(odd)
        return msgspec.structs.replace(
            page, share=number, seconds_left=number, total=next(totals), warning=HOSTILE
        )

    script.edit = edit
    ann, done = await connect_and_sync(service)
    assert (done["status"], len(await stored_data(ann))) == ("complete", 30)
    assert [warning["message"] for warning in done["warnings"]] == ["a\\x00b\\ud800c"]
    stored = await service.parts.store.sync(done["syncId"])
    assert stored is not None
    assert stored.dataset("orders").total == 30


async def test_learned_values_that_cannot_be_stored_are_left_out(
    script: Script, service: Serving
) -> None:
    script.set_records("orders", "1")
    script.edit = lambda page: msgspec.structs.replace(
        page, learned={"good": "1", "bad": HOSTILE, "\ud800": "2", "\0": "3"}
    )
    ann, done = await connect_and_sync(service)
    assert done["status"] == "complete"
    [connection] = (await ann.get("/api/connections")).json()["connections"]
    assert await service.parts.connections._store.learned(connection["id"]) == {"good": "1"}


async def test_an_account_with_any_name_can_be_connected(script: Script, service: Serving) -> None:
    script.store = HOSTILE + "x" * 70_000
    connection = await service.user().connect()
    assert connection["name"].startswith("a\\x00b\\ud800cxx")
    assert len(connection["name"]) == 1_000


async def test_an_error_with_any_text_fails_only_its_dataset(
    script: Script, service: Serving
) -> None:
    script.set_records("stock", "1")
    script.errors["orders"] = [SourceError(HOSTILE * 10_000)]
    ann, done = await connect_and_sync(service)
    assert (done["status"], done["datasets"][0]["status"]) == ("complete", "failed")
    assert done["datasets"][0]["error"].startswith("a\\x00b\\ud800c")
    assert len(done["datasets"][0]["error"]) <= 2_000
    assert set(await stored_data(ann, "stock")) == {"1"}


def claim(key: str, text: str = "text", amount: str | None = "1.00") -> Claim:
    return Claim(
        id=key,
        rule="R1",
        title=text,
        status="claimable",
        units=1,
        amount=amount,
        currency="USD",
        opens=date(2020, 1, 1),
        closes=date(2100, 1, 1),
        confidence="high",
        valuation=text,
        evidence={"orders": [text]},
        details={text: text},
    )


async def test_claims_with_any_text_are_stored_and_counted(
    script: Script, service: Serving
) -> None:
    script.set_records("orders", "1")
    amounts = ("NaN", "1e400", "twelve", "Infinity", "9" * 30, "9e999999")
    claims = [claim("good"), claim("\ud800", HOSTILE), claim("\0"), claim("\ud801")]
    claims += [claim(amount, amount=amount) for amount in amounts]
    script.findings = Findings(claims, ["R1", "\ud800"], ["\ud800 settled"], {"\ud802": HOSTILE})
    with capture_logs() as logged:
        ann, done = await connect_and_sync(service)
    assert not [line for line in logged if line["log_level"] == "error"]
    assert (done["status"], done["claimsDetected"]) == ("complete", len(claims))
    answer = await ann.get("/api/recoveries", params={"limit": 100})
    stored = read(answer)["recoveries"]
    assert len({recovery["id"] for recovery in stored}) == len(claims)
    assert sorted({recovery["amount"] or "" for recovery in stored}) == ["", "1.00"]
    assert len([1 for recovery in stored if recovery["amount"] is None]) == len(amounts)


# Random records -----------------------------------------------------------------------------------

TEXT = st.one_of(
    st.text(st.characters(), max_size=8),  # surrogates and U+0000 among them
    st.text("a\0\ud800\udc00\n\x1f\x7f\u2028\ufeff\uffff\U0010ffff", max_size=4),
    st.sampled_from(["", "x" * 1_000, "x" * 1_001, HOSTILE]),
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def random_data(draw: st.DrawFn) -> bytes:
    value = draw(JSONS)
    encoding = draw(st.integers(0, 3))
    if encoding == 0:
        return draw(st.binary(max_size=20))
    text = json.dumps(value, ensure_ascii=encoding == 1)
    return text.encode("utf-8", "surrogatepass")


RECORDS = st.lists(
    st.builds(
        Record,
        TEXT,
        random_data(),
        TEXT,
        st.none() | TEXT,
        TEXT,
        st.none()
        | st.datetimes()
        | st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=14)))),
    ),
    max_size=25,
    unique_by=lambda record: record.id,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(RECORDS, TEXT)
def test_every_record_is_stored_or_fails_alone(records: list[Record], cursor: str) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        script = scripted(patch)
        script.records["orders"] = records
        script.records["stock"] = [Record("kept", GOOD)]
        script.edit = lambda page: msgspec.structs.replace(
            page, cursor=page.cursor and Cursor(cursor), warning=cursor, learned={cursor: cursor}
        )
        anyio.run(_stored_or_failed, Path(folder), records)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(RECORDS, st.datetimes())
def test_a_record_is_repaired_in_the_same_way_with_a_time_of_any_kind(
    records: list[Record], at: datetime
) -> None:
    def fit(at: datetime) -> list[Record]:
        timed = [msgspec.structs.replace(record, at=at) for record in records]
        fit = anyio.run(fit_page, Page(timed), None).records
        return [msgspec.structs.replace(record, at=None) for record in fit]

    # Records with a time in UTC are checked in a quicker way than those without a zone.
    assert fit(at.replace(tzinfo=UTC)) == fit(at)


async def _stored_or_failed(folder: Path, records: list[Record]) -> None:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync(items="all")
        assert done["status"] == "complete", done
        orders = done["datasets"][0]
        stored, failed = await stored_data(ann), await failures(ann, done)
        assert orders["processed"] == len(records)
        assert (orders["created"], orders["failed"]) == (len(stored), len(failed))
        assert len(stored) + len(failed) == len(records)
        by_id = {record.id: record for record in records}
        assert not set(stored) & set(failed)
        for key, data in stored.items():
            assert msgspec.json.decode(by_id[key].data) == data
        assert all(failed.values())
        for record in records:
            assert record.id in stored or record.id in failed or _is_invalid_id(record.id)
        second = (await ann.whole_sync())["datasets"][0]
        assert (second["unchanged"], second["failed"]) == (len(stored), len(failed))
        assert (await stored_data(ann, "stock")) == {"kept": {"value": 1}}


def _is_invalid_id(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return True
    return not key or "\0" in key or len(key) > 1_000


# Accounts and plans -------------------------------------------------------------------------------


def test_the_end_of_an_authorisation_is_in_utc_or_unknown() -> None:
    naive, last = (
        datetime(2031, 5, 6, 7),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))),
    )
    for given_end, fitted in ((naive, naive.replace(tzinfo=UTC)), (last, None), (None, None)):
        assert fit_account(Account("", authorised_until=given_end)).authorised_until == fitted


def test_a_plan_has_the_calls_of_all_its_datasets_if_all_are_known() -> None:
    assert calls_of({"a": Way("x", 2, 3), "b": Way("x", None, 0)}) == 3
    assert calls_of({"a": Way("x", 2, 3), "b": Way("x", 2)}) is None
    assert calls_of({"a": Way("x", 2, -3)}) is None
    assert calls_of({}) is None


def test_a_plan_takes_as_long_as_its_slowest_dataset_if_all_are_known() -> None:
    assert seconds_of({"a": Way("x", 2), "b": Way("x", 0.5)}) == 2
    for unknown in (None, -1.0, float("nan"), float("inf")):
        assert seconds_of({"a": Way("x", 2), "b": Way("x", unknown)}) is None
    assert seconds_of({}) is None
