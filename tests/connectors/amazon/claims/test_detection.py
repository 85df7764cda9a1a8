"""Which rules run, what they share, and what holds of all of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from connectors.amazon.claims import RULES, find_claims
from connectors.base import Record

from .sellers import (
    DATASETS,
    ORDER,
    Seller,
    adjusted,
    claim,
    find,
    noon,
    on,
    paid,
    refund,
    returned,
)

CODES = tuple(rule.code for rule in RULES)


def test_there_are_ten_rules_each_with_a_sentence_and_a_source() -> None:
    assert [*CODES] == [f"R{number}" for number in range(1, 11)]
    assert len({rule.name for rule in RULES}) == 10
    for rule in RULES:
        assert rule.sentence.endswith(".")
        assert rule.source.startswith("Amazon's")
        assert rule.confidence in ("high", "low")
        assert {*rule.inputs, *rule.also} <= set(DATASETS)


def test_with_everything_read_and_nothing_there_nothing_is_owed() -> None:
    found = find({})
    assert (found.claims, found.settled, found.skipped) == ([], (), {})
    assert found.ran == CODES


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_rule_runs_only_if_all_its_inputs_are_complete(dataset: str) -> None:
    found = find({"ledger": [adjusted(0, "M", -1)]}, missing=[dataset])
    skipped = {rule.code for rule in RULES if dataset in rule.inputs}
    assert set(found.skipped) == skipped
    assert set(found.ran) == set(CODES) - skipped
    assert all(dataset in reason for reason in found.skipped.values())
    assert not {each.rule for each in found.claims} & skipped


def test_every_dataset_is_read_once_and_none_in_vain() -> None:
    seller = Seller({"returns": [returned(0)]})
    find_claims(seller, noon(0))
    assert sorted(seller.reads) == sorted(DATASETS)
    seller = Seller({}, missing=["reimbursements", "ledger"])
    find_claims(seller, noon(0))
    assert sorted(seller.reads) == ["fees", "transactions"]


def test_the_day_is_that_of_utc() -> None:
    rows = {"ledger": [adjusted(0, "M", -1)]}
    east = timezone(timedelta(hours=9))
    for at, status in [
        (datetime(2026, 6, 8, 8, 59, tzinfo=east), "waiting"),
        (datetime(2026, 6, 8, 9, 0, tzinfo=east), "claimable"),
        (datetime(2026, 6, 8, tzinfo=UTC), "claimable"),
        (datetime(2026, 6, 8), "claimable"),
    ]:
        assert find_claims(Seller(rows), at).claims[0].status == status


def test_a_row_that_cannot_be_used_costs_itself_and_is_told() -> None:
    loss = adjusted(0, "M", -1)
    rows = [loss, loss | {"quantity": ""}, loss | {"date": "?"}]
    payment = paid(0, "Lost_Warehouse", 1, fnsku="X2", approvaldate="")
    found = claim({"ledger": rows, "reimbursements": [payment]}, "R1")
    assert found.units == 1
    assert found.details["unusableRows"] == "ledger: 2, reimbursements: 1"


def test_a_record_that_was_never_readable_costs_itself() -> None:
    seller = Seller({"ledger": [adjusted(0, "M", -1)]})
    seller.records["ledger"] += [
        Record("bad", b"{}", error="Cannot be read."),
        Record("worse", b"[["),
        Record("list", b"[]"),
    ]
    found = find_claims(seller, noon(30)).claims[0]
    assert (found.units, found.details["unusableRows"]) == (1, "ledger: 3")


def test_an_id_can_be_part_of_an_address() -> None:
    odd = find({"transactions": [refund(0, sku="a/b:c d?ü")]}, at=70).claims[0]
    assert odd.id == f"R4:{ORDER}:a%2Fb%3Ac%20d%3F%C3%BC"


def test_a_claim_keeps_its_id_while_its_state_changes() -> None:
    rows = {"ledger": [adjusted(0, "M", -2)]}
    early, late = claim(rows, "R1", at=1), claim(rows, "R1", at=99)
    part = claim(rows | {"reimbursements": [paid(3, "Lost_Warehouse", 1)]}, "R1")
    assert early.id == late.id == part.id == f"R1:X1:{on(0)}:ref-0"
    assert (early.status, late.status) == ("waiting", "expired")
