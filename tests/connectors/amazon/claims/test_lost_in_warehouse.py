"""R1: units that Amazon lost in its warehouse."""

from typing import Any

import pytest

from connectors.amazon.claims import Days, rule_windows
from connectors.claims import Money

from .sellers import adjusted, claims_of, find, on, only_claim, paid, reversed_, units


def lost(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"ledger": list(rows), **more}


def test_a_lost_unit_is_owed() -> None:
    claim = only_claim(lost(adjusted(0, "M", -2)), "R1", costs={"SKU-1": Money("4.125", "USD")})
    assert (claim.units, claim.amount, claim.currency) == (2, "8.25", "USD")
    assert (claim.id, claim.confidence) == (f"R1:X1:{on(0)}:ref-0", "high")
    assert (claim.opens, claim.closes) == (on(7), on(60))
    assert claim.evidence == {"ledger": ("ledger-0000",)}


def test_reason_5_is_a_loss_too() -> None:
    assert units(lost(adjusted(0, "5", -1)), "R1") == 1


@pytest.mark.parametrize(
    ("day", "status"),
    [(6, "waiting"), (7, "claimable"), (60, "claimable"), (61, "expired")],
)
def test_the_window_includes_the_day_it_opens_and_the_day_it_closes(day: int, status: str) -> None:
    assert only_claim(lost(adjusted(0, "M", -1)), "R1", day).status == status


@pytest.mark.parametrize(
    "row",
    [
        adjusted(0, "Q", -1),
        adjusted(0, "P", -1),
        adjusted(0, "O", -1),
        adjusted(0, "G", -1),
        adjusted(0, "M", 1),
        adjusted(0, "", -1, eventtype="Shipments"),
        adjusted(0, "M", -1, eventtype="WhseTransfers"),
    ],
)
def test_other_movements_are_not_losses(row: dict[str, Any]) -> None:
    assert not find(lost(row)).claims


def test_a_change_of_disposition_is_not_a_loss() -> None:
    rows = [adjusted(0, "Q", -1), adjusted(0, "P", 1, disposition="WAREHOUSE_DAMAGED")]
    assert not find(lost(*rows)).claims


@pytest.mark.parametrize(("day", "left"), [(-8, 1), (-7, 0), (0, 0), (50, 0)])
def test_a_unit_found_from_a_week_before_the_loss_on_offsets_it(day: int, left: int) -> None:
    assert units(lost(adjusted(0, "M", -1), adjusted(day, "F", 1)), "R1") == left


@pytest.mark.parametrize(("day", "left"), [(-8, 1), (-7, 0), (0, 0), (90, 0)])
def test_a_payment_from_a_week_before_the_loss_on_offsets_it(day: int, left: int) -> None:
    rows = lost(adjusted(0, "M", -1), reimbursements=[paid(day, "Lost_Warehouse", 1)])
    assert units(rows, "R1") == left


def test_a_paid_loss_is_settled_and_a_found_one_is_not_reported() -> None:
    payment = lost(adjusted(0, "M", -1), reimbursements=[paid(5, "Lost_Warehouse", 1)])
    assert find(payment).settled == (f"R1:X1:{on(0)}:ref-0",)
    assert find(lost(adjusted(0, "M", -1), adjusted(3, "F", 1))).settled == ()


@pytest.mark.parametrize(
    "other",
    [
        {"fnsku": "X2"},
        {"amazonorderid": "111-2222222-3333333"},
        {"reason": "Lost_Inbound"},
        {"reason": "Damaged_Warehouse"},
    ],
)
def test_a_payment_for_something_else_leaves_the_loss_open(other: dict[str, str]) -> None:
    payment = paid(5, "Lost_Warehouse", 1) | other
    assert units(lost(adjusted(0, "M", -1), reimbursements=[payment]), "R1") == 1


def test_a_payment_with_only_a_sku_counts_if_the_sku_has_one_product() -> None:
    payment = paid(5, "Lost_Warehouse", 1, fnsku="")
    rows = lost(adjusted(0, "M", -1), reimbursements=[payment])
    one, other = ({"sku": "SKU-1", "fnsku": fnsku} for fnsku in ("X1", "X2"))
    assert units(rows | {"stock": [one]}, "R1") == 0
    assert units(rows | {"stock": [one, other]}, "R1") == 1


def test_units_replaced_by_inventory_are_paid() -> None:
    payment = paid(
        5, "Lost_Warehouse", 1, quantityreimbursedcash="0", quantityreimbursedinventory="1"
    )
    assert units(lost(adjusted(0, "M", -1), reimbursements=[payment]), "R1") == 0
    for total in ({"quantityreimbursedtotal": "0"}, {"quantityreimbursedtotal": ""}):
        rows = lost(adjusted(0, "M", -1), reimbursements=[payment | total])
        assert units(rows, "R1") == 0


def test_a_partial_payment_closes_the_oldest_units_first() -> None:
    rows = lost(
        adjusted(10, "M", -2), adjusted(0, "M", -2), reimbursements=[paid(12, "Lost_Warehouse", 3)]
    )
    claim = only_claim(rows, "R1")
    assert (claim.units, claim.opens) == (1, on(17))
    assert claim.evidence["reimbursements"] == ("reimbursements-0000",)
    assert find(rows).settled == (f"R1:X1:{on(0)}:ref-0",)


def test_a_found_or_paid_unit_offsets_one_loss_only() -> None:
    rows = lost(
        adjusted(0, "M", -1),
        adjusted(35, "M", -1),
        adjusted(40, "F", 1),
        reimbursements=[paid(5, "Lost_Warehouse", 1)],
    )
    assert units(rows, "R1", at=50) == 0
    assert units(lost(adjusted(0, "M", -1), adjusted(5, "M", -1), adjusted(6, "F", 1)), "R1") == 1


@pytest.mark.parametrize(("day", "owed"), [(-80, 0), (-79, 1)])
def test_a_found_unit_does_not_offset_a_loss_that_closed_long_ago(day: int, owed: int) -> None:
    rows = lost(adjusted(day, "M", -1), adjusted(0, "M", -1), adjusted(4, "F", 1))
    assert units(rows, "R1", at=22) == owed


def test_a_longer_window_keeps_older_losses() -> None:
    rows = lost(adjusted(-400, "M", -1), adjusted(0, "M", -1))
    assert len(claims_of(rows, "R1")) == 1
    assert len(claims_of(rows, "R1", windows=rule_windows({"US": {"R1": Days(7, 540)}}))) == 2


def test_a_found_unit_of_another_product_does_not_offset_a_loss() -> None:
    rows = lost(adjusted(0, "M", -1), adjusted(1, "F", 1, fnsku="X2"))
    assert units(rows, "R1") == 1


@pytest.mark.parametrize(
    ("figure", "found", "left"),
    [("-1", 2, 1), ("0", 2, 0), ("2", 1, 2), ("-9", 0, 3), ("-1", 3, 0), ("-9", 1, 2)],
)
def test_amazons_unreconciled_figure_is_an_upper_bound(figure: str, found: int, left: int) -> None:
    row = adjusted(0, "M", -3, unreconciledquantity=figure)
    assert units(lost(row, adjusted(1, "F", found)), "R1") == left


@pytest.mark.parametrize(
    ("lost_units", "figure", "paid_units", "left", "confidence"),
    [
        (2, "2", 2, 0, None),
        (3, "3", 1, 2, "low"),
        (3, "3", 0, 3, "high"),
        (3, "2", 1, 2, "high"),
        (3, "2", 0, 2, "low"),
    ],
)
def test_a_payment_counts_although_the_unreconciled_figure_does_not_fall(
    lost_units: int, figure: str, paid_units: int, left: int, confidence: str | None
) -> None:
    rows = lost(
        adjusted(0, "M", -lost_units, unreconciledquantity=figure),
        reimbursements=[paid(9, "Lost_Warehouse", paid_units)] if paid_units else [],
    )
    claims = claims_of(rows, "R1")
    assert sum(claim.units for claim in claims) == left
    assert [claim.confidence for claim in claims] == ([confidence] if confidence else [])
    assert left or find(rows).settled == (f"R1:X1:{on(0)}:ref-0",)


def test_a_find_offsets_the_loss_that_amazon_reconciled_before_an_older_open_one() -> None:
    rows = lost(
        adjusted(0, "M", -1, unreconciledquantity="-1"),
        adjusted(2, "M", -1, unreconciledquantity="0"),
        adjusted(4, "F", 1),
    )
    assert [claim.id for claim in claims_of(rows, "R1")] == [f"R1:X1:{on(0)}:ref-0"]


def test_every_line_of_a_reimbursement_counts() -> None:
    lines = [paid(5, "Lost_Warehouse", count, reimbursementid="801") for count in (1, 2)]
    assert not find(lost(adjusted(0, "M", -3), reimbursements=lines)).claims
    equal_lines = [paid(5, "Lost_Warehouse", 1, reimbursementid="801") for _ in range(3)]
    assert not find(lost(adjusted(0, "M", -3), reimbursements=equal_lines)).claims


@pytest.mark.parametrize("figure", ["", "n/a", None])
def test_an_empty_unreconciled_figure_is_ignored(figure: str | None) -> None:
    row = adjusted(0, "M", -3, unreconciledquantity=figure)
    assert units(lost(row, adjusted(1, "F", 1)), "R1") == 2


def test_units_that_amazon_reconciled_use_up_found_units() -> None:
    rows = lost(
        adjusted(0, "M", -2, unreconciledquantity="0"),
        adjusted(5, "M", -1),
        adjusted(6, "F", 2),
    )
    assert units(rows, "R1") == 1


def test_a_loss_that_amazon_reconciled_by_paying_is_settled() -> None:
    rows = lost(
        adjusted(0, "M", -1, unreconciledquantity="0"),
        reimbursements=[paid(5, "Lost_Warehouse", 1)],
    )
    assert find(rows).settled == (f"R1:X1:{on(0)}:ref-0",)


def test_reason_n_counts_as_found_and_leaves_low_confidence() -> None:
    assert units(lost(adjusted(0, "M", -1), adjusted(1, "N", 1)), "R1") == 0
    claim = only_claim(lost(adjusted(0, "M", -2), adjusted(1, "N", 1)), "R1")
    assert (claim.units, claim.confidence) == (1, "low")


def test_amazons_unreconciled_figure_has_high_confidence() -> None:
    row = adjusted(0, "M", -2, unreconciledquantity="-1")
    claim = only_claim(lost(row, adjusted(1, "N", 1)), "R1")
    assert (claim.units, claim.confidence) == (1, "high")


def test_rows_of_one_event_are_one_claim_and_equal_rows_add_up() -> None:
    claim = only_claim(lost(adjusted(0, "M", -1), adjusted(0, "M", -1)), "R1")
    assert claim.units == 2
    assert len(claim.evidence["ledger"]) == 2


def test_a_reversed_payment_reopens_the_loss() -> None:
    rows = lost(
        adjusted(0, "M", -2),
        reimbursements=[
            paid(5, "Lost_Warehouse", 2, _id="pay"),
            reversed_(20, "pay", 1, "Lost_Warehouse"),
        ],
    )
    assert units(rows, "R1") == 1
    assert not claims_of(rows, "R9")


def test_a_ledger_in_an_old_layout_is_enough() -> None:
    row = adjusted(0, "M", -1)
    del row["country"]
    del row["msku"]
    assert units(lost(row), "R1") == 1


def test_the_day_may_come_from_the_date_and_time_column() -> None:
    row = adjusted(0, "M", -1, date="", dateandtime=f"{on(0)}T00:00:00-0700")
    assert only_claim(lost(row), "R1").opens == on(7)
