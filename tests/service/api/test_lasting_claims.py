"""A claim once shown never vanishes, and its evidence lasts."""

import csv
import io
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.base import Record
from connectors.claims import Findings, Paid
from service.credentials import read_keys
from tests.connectors.amazon.claims import sellers
from tests.databases import DATABASES
from tests.service.api.test_recoveries import claim
from tests.service.scripted import Script, scripted
from tests.service.store.test_migrations import AT, insert, old_database
from tests.service.test_erasing import words_in_files
from tests.serving import KEY, PATIENCE, Json, User, read, serve

pytestmark = pytest.mark.anyio

TODAY = datetime.now(UTC).date()
NOW = (TODAY - sellers.DAY).days
"""Today, as the hand-written sellers count days."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[User]:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect(skipHistoricalSync=True)
        yield ann


async def detect(user: User, script: Script, found: Findings) -> Json:
    """A sync whose detection finds this; its status."""
    script.findings = found
    done = await user.whole_sync()
    assert done["status"] == "complete", done
    return done


async def the_claim(user: User) -> Json:
    (recovery,) = read(await user.get("/api/recoveries"))["recoveries"]
    shown: Json = read(await user.get(f"/api/recoveries/{recovery['id']}"))
    return shown


# The life of a claim ------------------------------------------------------------------------------


async def test_a_reconciled_loss_is_closed_and_a_later_payment_makes_it_reimbursed(
    tmp_path: Path, script: Script
) -> None:
    lost = sellers.adjusted(NOW - 20, "M", -1, unreconciledquantity="1")
    reconciled = lost | {"unreconciledquantity": "0"}
    payment = sellers.paid(NOW - 2, "Lost_Warehouse", 1, "12.50", _id="pay-1")
    async with connected(tmp_path) as ann:
        await detect(ann, script, sellers.find({"ledger": [lost]}, at=NOW))
        first = await the_claim(ann)
        assert (first["status"], first["closedReason"], first["paid"]) == ("claimable", None, None)
        assert first["happenedAt"] == str(TODAY - timedelta(days=20))
        assert "Reference ID: ref-" in first["caseText"] and "SKU-1" in first["summary"]

        await detect(ann, script, sellers.find({"ledger": [reconciled]}, at=NOW))
        second = await the_claim(ann)
        assert (second["id"], second["status"]) == (first["id"], "closed")
        assert (second["closedReason"], second["paid"]) == ("reconciled", None)

        rows = {"ledger": [reconciled], "reimbursements": [payment]}
        await detect(ann, script, sellers.find(rows, at=NOW))
        third = await the_claim(ann)
        assert (third["id"], third["status"]) == (first["id"], "reimbursed")
        assert third["closedReason"] is None
        assert third["paid"] == {
            "amount": "12.50",
            "currency": "USD",
            "at": str(TODAY - timedelta(days=2)),
            "reimbursementId": "pay-1",
        }
        assert third["foundAt"] == first["foundAt"]


async def test_a_found_unit_closes_its_claim_and_a_new_loss_of_it_opens_it_again(
    tmp_path: Path, script: Script
) -> None:
    lost = sellers.adjusted(NOW - 20, "M", -1)
    turned_up = sellers.adjusted(NOW - 5, "F", 1)
    async with connected(tmp_path) as ann:
        for rows, status, reason in (
            ([lost], "claimable", None),
            ([lost, turned_up], "closed", "found"),
            ([lost], "claimable", None),
        ):
            await detect(ann, script, sellers.find({"ledger": rows}, at=NOW))
            shown = await the_claim(ann)
            assert (shown["status"], shown["closedReason"]) == (status, reason)


async def test_a_payment_that_is_taken_back_leaves_no_claim_reimbursed(
    tmp_path: Path, script: Script
) -> None:
    """Amazon's figure stays balanced: what it took back is a claim of its own until Amazon gives it
    back."""
    early = sellers.adjusted(NOW - 100, "", -1, eventtype="Shipments", fnsku="X9")
    lost = sellers.adjusted(NOW - 40, "M", -1, unreconciledquantity="1")
    reconciled = lost | {"unreconciledquantity": "0"}
    payment = sellers.paid(NOW - 30, "Lost_Warehouse", 1, "12.50", _id="pay-1")
    taken = sellers.reversed_(NOW - 20, "pay-1", 1, "Lost_Warehouse", reimbursementid="taken")
    back = sellers.reversed_(NOW - 5, "taken", -1, "Reimbursement_Reversal", _id="back")
    open_again = {"R1": ("claimable", None)}
    async with connected(tmp_path) as ann:
        for ledger, payments, states in (
            (lost, [], open_again),
            (reconciled, [payment], {"R1": ("reimbursed", None)}),
            (
                reconciled,
                [payment, taken],
                {"R1": ("closed", "reversed"), "R9": ("claimable", None)},
            ),
            (
                reconciled,
                [payment, taken, back],
                {"R1": ("reimbursed", None), "R9": ("closed", "reversed")},
            ),
            (lost, [payment, taken], open_again | {"R9": ("closed", "reversed")}),
        ):
            rows = {"ledger": [early, ledger], "reimbursements": payments}
            await detect(ann, script, sellers.find(rows, at=NOW))
            page = read(await ann.get("/api/recoveries"))
            shown = {row["rule"]: row for row in page["recoveries"]}
            assert {
                rule: (row["status"], row["closedReason"]) for rule, row in shown.items()
            } == states
            unpaid = [row for row in shown.values() if row["status"] != "reimbursed"]
            assert not [row for row in unpaid if row["paid"]]
            reimbursed = sum(row["claims"] for row in page["totals"] if "reimb" in row["status"])
            assert reimbursed == len(shown) - len(unpaid)


async def test_a_claim_that_its_rule_no_longer_supports_is_closed_and_keeps_a_better_reason(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        await detect(ann, script, Findings([claim(1)], ran=["R1"]))
        await detect(ann, script, Findings([], ran=["R2"]))
        assert (await the_claim(ann))["status"] == "claimable", "its rule did not run"
        await detect(ann, script, Findings([], ran=["R1"]))
        assert (await the_claim(ann))["closedReason"] == "no longer supported"
        await detect(ann, script, Findings([], ran=["R1"], closed={claim(1).id: "reversed"}))
        assert (await the_claim(ann))["closedReason"] == "reversed"
        await detect(ann, script, Findings([], ran=["R1"]))
        assert (await the_claim(ann))["closedReason"] == "reversed"


async def test_a_claim_that_is_older_than_its_rule_looks_for_stays_expired(
    tmp_path: Path, script: Script
) -> None:
    old = claim(1, happened_at=TODAY - timedelta(200), closes=TODAY - timedelta(140))
    since = {"R1": TODAY - timedelta(100)}
    async with connected(tmp_path) as ann:
        await detect(ann, script, Findings([old], ran=["R1"]))
        await detect(ann, script, Findings([], ran=["R1"], searched_since=since))
        assert (await the_claim(ann))["status"] == "expired"


async def test_the_id_of_a_claim_leads_to_that_of_the_account_connected_again(
    tmp_path: Path, script: Script
) -> None:
    script.set_records("orders", "orders-0000001")
    async with connected(tmp_path) as ann:
        await detect(ann, script, Findings([claim(1)], ran=["R1"]))
        before = await the_claim(ann)
        connection = before["connectionId"]
        assert (await ann.http.delete(f"/api/connections/{connection}")).status_code == 204
        script.set_records("orders", "orders-0000001", value="changed")
        await ann.connect(skipHistoricalSync=True)
        await detect(ann, script, Findings([claim(1)], ran=["R1"]))
        after = await the_claim(ann)
        assert after["id"] != before["id"] and after["foundAt"] == before["foundAt"]
        assert read(await ann.get(f"/api/recoveries/{before['id']}")) == after
        (proof,) = after["evidence"]["orders"]
        assert (proof["data"], proof["state"]) == ({"value": "1"}, "changed")


# Evidence -----------------------------------------------------------------------------------------


async def test_evidence_stays_as_it_was_found_and_later_changes_are_beside_it(
    tmp_path: Path, script: Script
) -> None:
    def stored(**data: Any) -> None:
        script.records["orders"] = [Record("orders-0000001", msgspec.json.encode(data))]

    found = Findings([claim(1, evidence={"orders": ["orders-0000001"]})], ran=["R1"])
    async with connected(tmp_path) as ann:
        stored(quantity=2, state="lost", note="x")
        await detect(ann, script, found)
        (proof,) = (await the_claim(ann))["evidence"]["orders"]
        assert (proof["state"], proof["changes"], proof["now"]) == ("unchanged", [], None)

        stored(quantity=1, state="lost", more=True)
        await detect(ann, script, found)
        (proof,) = (await the_claim(ann))["evidence"]["orders"]
        assert (proof["id"], proof["state"]) == ("orders-0000001", "changed")
        assert proof["data"] == {"quantity": 2, "state": "lost", "note": "x"}
        assert proof["now"]["data"] == {"quantity": 1, "state": "lost", "more": True}
        assert proof["changes"] == [
            {"field": "quantity", "before": 2, "after": 1},
            {"field": "note", "before": "x", "after": None},
            {"field": "more", "before": None, "after": True},
        ]

        script.records["orders"] = []
        script.findings = Findings([], ran=["R1"])
        await ann.whole_sync(overwrite=True, allowMassDelete=True)
        shown = await the_claim(ann)
        (proof,) = shown["evidence"]["orders"]
        assert (shown["status"], proof["state"], proof["now"]) == ("closed", "deleted", None)
        assert proof["data"] == {"quantity": 2, "state": "lost", "note": "x"}


async def test_the_evidence_that_a_claim_keeps_is_bounded(tmp_path: Path, script: Script) -> None:
    names = [f"order-{number:03}" for number in range(130)]
    script.set_records("orders", *names)
    script.records["orders"][0] = Record(names[0], msgspec.json.encode({"long": "x" * 70_000}))
    found = Findings([claim(1, evidence={"orders": names})], ran=["R1"])
    async with connected(tmp_path) as ann:
        await detect(ann, script, found)
        shown = (await the_claim(ann))["evidence"]["orders"]
        assert [proof["id"] for proof in shown] == names, "the others are shown as they are now"
        with DATABASES.opened(tmp_path) as database:
            (count,) = database.execute("SELECT COUNT(*) FROM claim_evidence").fetchone()
        assert count == 99, "a hundred, without the one that is too large"


# Exports and erasing ------------------------------------------------------------------------------


async def test_closed_and_reimbursed_claims_are_in_the_download_and_are_erased_with_the_data(
    tmp_path: Path, script: Script
) -> None:
    """Three cases of one connection; another connection's claims stay."""
    paid = Paid("12.50", "USD", TODAY, "pay-of-ann")
    found = [claim(number, title=f"case-of-ann-{number}") for number in (1, 2, 3)]
    ended = Findings(
        found[2:],
        ran=["R1"],
        closed={found[0].id: "reversed"},
        settled=[found[1].id],
        payments={found[1].id: paid},
    )
    script.set_records("orders", "orders-0000001", value="proof-of-ann")
    async with serve(tmp_path) as service:
        ann, bob = service.user(), service.user("bob")
        connection = (await ann.connect())["id"]
        await detect(ann, script, Findings(found, ran=["R1"]))
        await detect(ann, script, ended)
        answer = await ann.get("/api/recoveries", headers={"Accept": "text/csv"})
        rows = {row["title"]: row for row in csv.DictReader(io.StringIO(answer.text))}
        columns = ("status", "closedReason", "paidAmount", "paidCurrency", "reimbursementId")
        assert [[rows[case.title][name] for name in columns] for case in found] == [
            ["closed", "reversed", "", "", ""],
            ["reimbursed", "", "12.50", "USD", "pay-of-ann"],
            ["claimable", "", "", "", ""],
        ]
        await bob.connect()
        script.set_records("orders", "orders-0000001")
        await detect(bob, script, Findings([claim(1)], ran=["R1"]))

        ids = [row["id"] for row in rows.values()]
        traces = [*ids, "case-of-ann", "pay-of-ann", "proof-of-ann"]
        assert words_in_files(tmp_path, traces) == traces
        path = f"/api/connections/{connection}?data=erase"
        assert (await ann.http.delete(path, timeout=PATIENCE)).status_code == 204
        assert words_in_files(tmp_path, traces) == []
        page = read(await ann.get("/api/recoveries"))
        assert (page["recoveries"], page["totals"], page["closing"]) == ([], [], [])
        assert {(await ann.get(f"/api/recoveries/{id}")).status_code for id in ids} == {404}
        assert (await the_claim(bob))["status"] == "claimable"


# Databases of before ------------------------------------------------------------------------------


def before_states(path: Path) -> None:
    """A database of schema 0008 with three claims: two that will be found again, one of which was
    paid, and one that will not."""
    with old_database(path, "0008") as database:
        insert(
            database,
            "connections",
            **{"id": "conn_a", "user_id": "acme/ann", "tenant_id": "acme", "connector": "demo"},
            **{"settings": '{"environment":"production","marketplaceIds":["ONE"],"region":"NA"}'},
            **{"realm": '{"environment":"production"}', "name": "Shop", "created_at": AT},
            credentials="refreshToken:" + read_keys(KEY).encrypt(b"good").decode(),
        )
        insert(
            database,
            "records",
            **{"connection_id": "conn_a", "dataset": "orders", "id": "order-1", "sync_id": "s"},
            **{"seen": "s", "hash": "h", "updated_at": AT, "data": '{"value":"then"}'},
        )
        for number in (1, 2, 3):
            old_claim(database, number)
    database.close()


def old_claim(database: sqlite3.Connection, number: int) -> None:
    opens, closes = TODAY - timedelta(5), TODAY + timedelta(5)
    body = {
        **{"id": f"R1:case-{number}", "rule": "R1", "title": "Lost", "status": "claimable"},
        **{"units": 1, "amount": "10.50", "currency": "USD", "opens": opens, "closes": closes},
        **{"confidence": "high", "valuation": "Your cost.", "details": {"sku": "MUG"}},
        "evidence": {"orders": ["order-1"]},
    }
    insert(
        database,
        "claims",
        **{"id": f"claim_{number}", "user_id": "acme/ann", "connection_id": "conn_a"},
        **{"rule": "R1", "currency": "USD", "hundredths": 1050, "opens": str(opens)},
        **{"closes": str(closes), "reimbursed": int(number == 2), "sync_id": "s"},
        **{"updated_at": AT, "body": msgspec.json.encode(body).decode()},
    )


@pytest.mark.sqlite  # no earlier version has stored anything in PostgreSQL
async def test_claims_of_before_keep_their_ids_and_unsupported_ones_are_closed(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_states(tmp_path / "sync.db")
    ids = {f"R1:case-{number}": f"claim_{number}" for number in (1, 2, 3)}
    monkeypatch.setattr("service.store.findings.claim_id", lambda _, key: ids[key])
    async with serve(tmp_path) as service:
        ann = service.user("ann", tenant="acme")
        listed = read(await ann.get("/api/recoveries", params={"q": "mug"}))["recoveries"]
        assert {row["id"]: row["status"] for row in listed} == {
            "claim_1": "claimable",
            "claim_2": "reimbursed",
            "claim_3": "claimable",
        }
        shown = read(await ann.get("/api/recoveries/claim_3"))
        assert shown["evidence"]["orders"][0]["data"] == {"value": "then"}
        step = {"text": "Your cost.", "amount": "10.50", "currency": "USD"}
        assert (shown["valuation"], shown["happenedAt"]) == ([step], None)
        again = claim(1, id="R1:case-1", happened_at=date(2026, 1, 1))
        await detect(ann, script, Findings([again], ran=["R1"]))
        listed = read(await ann.get("/api/recoveries"))["recoveries"]
        assert {row["id"]: (row["status"], row["closedReason"]) for row in listed} == {
            "claim_1": ("claimable", None),
            "claim_2": ("reimbursed", None),
            "claim_3": ("closed", "no longer supported"),
        }
        assert read(await ann.get("/api/recoveries/claim_1"))["happenedAt"] == "2026-01-01"
