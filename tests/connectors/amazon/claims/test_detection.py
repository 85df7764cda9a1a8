"""Which rules run, and what all claims have in common."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from connectors.amazon.claims import RULES, find_claims
from connectors.amazon.emptiness import Emptiness, empty_key
from connectors.base import Record
from connectors.claims import Money, Paid, ValuationStep

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
    receipt,
    refund,
    restocked,
    returned,
    reversed_,
    sale,
    shipment,
    stored,
)

CODES = tuple(rule.code for rule in RULES)
DAY_LONG = timedelta(days=1)


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
    seller = Seller({"returns": [returned(0)], "storage_fees": [stored("1.00")]})
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


# Closed and paid cases ----------------------------------------------------------------------------


def test_a_reconciled_loss_without_a_payment_is_closed_until_the_payment_is_there() -> None:
    lost = adjusted(0, "M", -1, unreconciledquantity="1")
    reconciled = lost | {"unreconciledquantity": "0"}
    claim_id = only_claim({"ledger": [lost]}, "R1").id
    findings = find({"ledger": [reconciled]})
    assert (findings.claims, findings.settled) == ([], ())
    assert findings.closed == {claim_id: "reconciled"}
    payment = paid(9, "Lost_Warehouse", 1, "12.50", _id="pay-1")
    findings = find({"ledger": [reconciled], "reimbursements": [payment]})
    assert (findings.settled, findings.closed) == ((claim_id,), {})
    assert findings.payments == {claim_id: Paid("12.50", "USD", on(9), "pay-1")}


def test_units_that_turned_up_close_a_claim_as_found() -> None:
    short, whole = shipment(5, 3), shipment(5, 5)
    for before, after, rule in (
        ({"ledger": [adjusted(0, "M", -1)]}, {"ledger": [adjusted(5, "F", 1)]}, "R1"),
        ({"transactions": [refund(0)]}, {"returns": [returned(5)]}, "R4"),
        (
            {
                "reimbursements": [
                    paid(0, "Lost_Warehouse", 1),
                    reversed_(5, "pay-0", 1, "Lost_Warehouse"),
                ]
            },
            {"ledger": [adjusted(4, "F", 1)]},
            "R9",
        ),
        (
            {"returns": [returned(0)], "ledger": [receipt(-1, 1)]},
            {"ledger": [restocked(1, 1)]},
            "R6",
        ),
        ({"shipments": [short], "ledger": [receipt(0, 3)]}, {"shipments": [whole]}, "R8"),
    ):
        claim_id = only_claim(before, rule, at=40).id
        later = {
            name: [
                *(() if name == "shipments" and name in after else before.get(name, ())),
                *after.get(name, ()),
            ]
            for name in (*before, *after)
        }
        findings = find(later, at=40)
        assert not [claim for claim in findings.claims if claim.rule == rule], rule
        assert findings.closed[claim_id] == "found", rule


def test_goodwill_that_was_claimed_once_is_no_longer_supported() -> None:
    """No reason is given: the service closes what its rule no longer finds."""
    sold = sale(-5, 3.0, principal=40.0)
    goodwill = refund(0, -2.0, principal=-2.0)
    findings = find({"transactions": [sold, goodwill]}, at=70)
    assert not [claim for claim in findings.claims if claim.rule == "R4"]
    assert not [claim_id for claim_id in findings.closed if claim_id.startswith("R4")]


def test_a_claim_says_when_it_happened_what_it_is_worth_and_how_to_file_it() -> None:
    costs = {"SKU-1": Money("4.20", "USD")}
    claim = only_claim({"ledger": [adjusted(0, "M", -2)]}, "R1", costs=costs)
    assert claim.happened_at == on(0)
    assert claim.summary == (
        f"2 units of SKU-1 lost in the warehouse; day of the loss: {on(0)}. It is worth 8.40 USD. "
        f"It can be claimed from {on(7)} to {on(60)}."
    )
    assert claim.steps == [
        ValuationStep("Your cost: 4.20 USD per unit."),
        ValuationStep("For 2 units: 8.40 USD.", "8.40", "USD"),
    ]
    for line in (
        "Subject: Reimbursement request (2 units of SKU-1 lost in the warehouse)",
        f"Day of the loss: {on(0)}",
        "Units: 2",
        "FNSKU: X1",
        "Reference ID: ref-0",
        "Amount: 8.40 USD",
        "Records (ledger): 1",
    ):
        assert line in claim.case_text.splitlines()


def test_a_claim_without_an_amount_says_why() -> None:
    claim = only_claim({"ledger": [adjusted(0, "M", -1)]}, "R1")
    assert claim.steps == [ValuationStep(claim.valuation)]
    assert "Its amount is not known." in claim.summary
    assert "Amount:" not in claim.case_text


def test_losses_are_looked_for_from_a_day_on_and_other_events_always() -> None:
    since = find({}).searched_since
    assert set(since) == {rule.code for rule in RULES if rule.counts_from == "loss"}
    (oldest,) = set(since.values())
    first, before = (adjusted((day - on(0)).days, "M", -1) for day in (oldest, oldest - DAY_LONG))
    assert find({"ledger": [first]}).claims
    assert not find({"ledger": [before]}).claims


# What was paid ------------------------------------------------------------------------------------


def test_only_the_units_of_a_payment_that_were_for_the_case_count() -> None:
    losses = [adjusted(0, "M", -1), adjusted(1, "M", -2)]
    payment = paid(9, "Lost_Warehouse", 3, "12.50", _id="pay-1")
    payments = find({"ledger": losses, "reimbursements": [payment]}).payments
    assert sorted(paid.amount or "" for paid in payments.values()) == ["12.50", "25.00"]


def test_several_lines_and_payments_of_a_case_add_up() -> None:
    lines = [
        paid(9, "Lost_Warehouse", 1, "10.00", reimbursementid="801"),
        paid(9, "Lost_Warehouse", 1, "12.00", reimbursementid="801"),
        paid(12, "Lost_Warehouse", 1, "11.00", reimbursementid="802"),
    ]
    findings = find({"ledger": [adjusted(0, "M", -3)], "reimbursements": lines})
    assert list(findings.payments.values()) == [Paid("33.00", "USD", on(12), "801, 802")]


def test_units_replaced_by_inventory_have_no_amount() -> None:
    replaced = paid(
        9, "Lost_Warehouse", 1, quantityreimbursedcash="0", quantityreimbursedinventory="1"
    )
    findings = find({"ledger": [adjusted(0, "M", -1)], "reimbursements": [replaced]})
    assert list(findings.payments.values()) == [Paid(None, None, on(9), "pay-9")]
