"""Which rules run, and what all claims have in common."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from connectors.amazon.claims import RULES, find_claims
from connectors.amazon.emptiness import Emptiness, empty_key
from connectors.base import Record

from .sellers import (
    DATASETS,
    ORDER,
    Seller,
    adjusted,
    find,
    noon,
    on,
    only_claim,
    paid,
    refund,
    returned,
)

CODES = tuple(rule.code for rule in RULES)


def test_an_account_without_rows_has_no_claims_and_every_rule_runs() -> None:
    findings = find({})
    assert (findings.claims, findings.settled, findings.skipped) == ([], (), {})
    assert findings.ran == CODES


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_rule_runs_only_if_all_its_inputs_are_complete(dataset: str) -> None:
    findings = find({"ledger": [adjusted(0, "M", -1)]}, missing=[dataset])
    skipped = {rule.code for rule in RULES if dataset in rule.inputs}
    assert set(findings.skipped) == skipped
    assert set(findings.ran) == set(CODES) - skipped
    assert all(dataset in reason for reason in findings.skipped.values())
    assert not {claim.rule for claim in findings.claims} & skipped


def test_each_dataset_is_read_once_and_only_if_a_rule_that_runs_needs_it() -> None:
    seller = Seller({"returns": [returned(0)]})
    find_claims(seller, noon(0))
    assert sorted(seller.reads) == sorted(DATASETS)
    seller = Seller({}, missing=["reimbursements", "ledger"])
    find_claims(seller, noon(0))
    assert sorted(seller.reads) == ["fees", "transactions"]


def test_the_status_changes_at_midnight_utc() -> None:
    rows = {"ledger": [adjusted(0, "M", -1)]}
    east = timezone(timedelta(hours=9))
    for at, status in [
        (datetime(2026, 6, 8, 8, 59, tzinfo=east), "waiting"),
        (datetime(2026, 6, 8, 9, 0, tzinfo=east), "claimable"),
        (datetime(2026, 6, 8, tzinfo=UTC), "claimable"),
        (datetime(2026, 6, 8), "claimable"),
    ]:
        assert find_claims(Seller(rows), at).claims[0].status == status


def test_an_unusable_row_is_skipped_and_counted() -> None:
    loss = adjusted(0, "M", -1)
    rows = [loss, loss | {"quantity": ""}, loss | {"date": "?"}]
    payment = paid(0, "Lost_Warehouse", 1, fnsku="X2", approvaldate="")
    claim = only_claim({"ledger": rows, "reimbursements": [payment]}, "R1")
    assert claim.units == 1
    assert claim.details["unusableRows"] == "ledger: 2, reimbursements: 1"


def test_an_unreadable_record_is_skipped_and_counted() -> None:
    seller = Seller({"ledger": [adjusted(0, "M", -1)]})
    seller.records["ledger"] += [
        Record("bad", b"{}", error="Cannot be read."),
        Record("worse", b"[["),
        Record("list", b"[]"),
    ]
    claim = find_claims(seller, noon(30)).claims[0]
    assert (claim.units, claim.details["unusableRows"]) == (1, "ledger: 3")


EMPTY = Emptiness(
    first=noon(30) - timedelta(hours=9), last=noon(30) - timedelta(hours=9), report="1"
)
TWICE = msgspec.structs.replace(EMPTY, last=noon(30) - timedelta(hours=4), confirmed=True)


def remembered(**empty: Emptiness) -> dict[str, str]:
    return {empty_key(name): msgspec.json.encode(value).decode() for name, value in empty.items()}


@pytest.mark.parametrize(
    ("known", "confidence", "detail"),
    [
        (
            EMPTY,
            "low",
            "reimbursements: none in Amazon's report of 2026-07-01 03:00 UTC, which no later "
            "report has confirmed yet",
        ),
        (
            TWICE,
            "high",
            "reimbursements: none in Amazon's report of 2026-07-01 03:00 UTC, nor in that of "
            "2026-07-01 08:00 UTC",
        ),
    ],
)
def test_a_claim_that_rests_on_an_empty_dataset_says_so(
    known: Emptiness, confidence: str, detail: str
) -> None:
    rows = {"ledger": [adjusted(0, "M", -1)]}
    claim = only_claim(rows, "R1", learned=remembered(reimbursements=known))
    assert (claim.confidence, claim.details["emptyInputs"]) == (confidence, detail)
    assert "emptyInputs" not in only_claim(rows, "R1").details


def test_several_empty_datasets_are_named_and_one_unconfirmed_one_is_enough_for_doubt() -> None:
    learned = remembered(reimbursements=TWICE, removals=EMPTY)
    claim = only_claim({"ledger": [adjusted(0, "D", -1)]}, "R3", learned=learned)
    assert claim.confidence == "low"
    assert [part.split(":")[0] for part in claim.details["emptyInputs"].split("; ")] == [
        *("reimbursements", "removals"),
    ]


def test_a_dataset_that_the_rule_does_not_need_causes_no_doubt() -> None:
    learned = remembered(removals=EMPTY, returns=EMPTY, stock=EMPTY)
    claim = only_claim({"ledger": [adjusted(0, "M", -1)]}, "R1", learned=learned)
    assert (claim.confidence, "emptyInputs" in claim.details) == ("high", False)


@pytest.mark.parametrize("stored", ["", "{}", "null", '{"first":"yesterday"}', "[" * 9])
def test_a_memory_of_another_version_is_ignored(stored: str) -> None:
    rows = {"ledger": [adjusted(0, "M", -1)]}
    claim = only_claim(rows, "R1", learned={empty_key("reimbursements"): stored})
    assert (claim.confidence, "emptyInputs" in claim.details) == ("high", False)


def test_an_id_is_valid_in_a_url_path() -> None:
    odd = find({"transactions": [refund(0, sku="a/b:c d?ü")]}, at=70).claims[0]
    assert odd.id == f"R4:{ORDER}:a%2Fb%3Ac%20d%3F%C3%BC"


def test_a_claim_keeps_its_id_while_its_status_and_units_change() -> None:
    rows = {"ledger": [adjusted(0, "M", -2)]}
    early, late = only_claim(rows, "R1", at=1), only_claim(rows, "R1", at=99)
    part = only_claim(rows | {"reimbursements": [paid(3, "Lost_Warehouse", 1)]}, "R1")
    assert early.id == late.id == part.id == f"R1:X1:{on(0)}:ref-0"
    assert (early.status, late.status) == ("waiting", "expired")
