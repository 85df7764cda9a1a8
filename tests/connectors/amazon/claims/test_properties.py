"""Properties that hold for every seller, whatever the order of its rows."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.amazon.claims import find_claims
from connectors.claims import Claim, Findings, Money

from .sellers import (
    DAY,
    ORDER,
    SHIPMENT,
    Seller,
    adjusted,
    find,
    noon,
    paid,
    preview,
    receipt,
    refund,
    removal,
    replaced,
    restocked,
    returned,
    reversed_,
    sale,
    shipment,
)

COSTS = {"SKU-1": Money("12.00", "USD")}
DAYS = st.integers(-100, 60)
COUNTS = st.integers(1, 4)
ORDERS = st.sampled_from([ORDER, "111-0000002-0000002"])
REASONS = ("Lost_Warehouse", "Damaged_Warehouse", "Lost_Inbound", "CustomerReturn")
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def rows_of(make: Callable[..., Any], *parts: Any, **named: Any) -> Any:
    return st.lists(st.builds(make, *parts, **named), max_size=5)


def joined(parts: Iterable[list[Any]]) -> list[Any]:
    return [row for part in parts for row in part]


def product() -> Any:
    return st.sampled_from(["X1", "X2"])


def figure() -> Any:
    return st.sampled_from(["", "0", "-1", "2"])


def _loss(day: int, reason: str, count: int, **more: Any) -> Any:
    return adjusted(day, reason, count if reason in "FN" else -count, **more)


def _paid(day: int, reason: str, count: int, order: str, **more: Any) -> Any:
    if reason == "CustomerReturn":
        more["amazonorderid"] = order
    return paid(day, reason, count, **more)


SELLERS = st.fixed_dictionaries(
    {
        "ledger": st.tuples(
            rows_of(
                _loss,
                DAYS,
                st.sampled_from("M5E67HKUFNDQP"),
                COUNTS,
                fnsku=product(),
                unreconciledquantity=figure(),
                disposition=st.sampled_from(["SELLABLE", "WAREHOUSE_DAMAGED", "DEFECTIVE"]),
            ),
            rows_of(
                receipt,
                DAYS,
                st.integers(-3, 4),
                fnsku=product(),
                disposition=st.sampled_from(["SELLABLE", "WAREHOUSE_DAMAGED"]),
            ),
            rows_of(
                adjusted,
                DAYS,
                st.just(""),
                st.integers(-3, 3),
                fnsku=product(),
                eventtype=st.just("WhseTransfers"),
                referenceid=st.sampled_from(["t1", "t2"]),
            ),
            rows_of(restocked, DAYS, COUNTS, fnsku=product()),
        ).map(joined),
        "reimbursements": st.tuples(
            rows_of(_paid, DAYS, st.sampled_from(REASONS), COUNTS, ORDERS, fnsku=product()),
            rows_of(
                reversed_,
                DAYS,
                st.integers(-5, 5).map(lambda day: f"pay-{day}"),
                COUNTS,
                st.sampled_from(REASONS),
                fnsku=product(),
            ),
        ).map(joined),
        "returns": rows_of(
            returned,
            DAYS,
            st.sampled_from(["SELLABLE", "DAMAGED", "DEFECTIVE"]),
            COUNTS,
            orderid=ORDERS,
            licenseplatenumber=st.sampled_from(["", "LPN1"]),
        ),
        "removals": rows_of(
            removal,
            DAYS,
            COUNTS,
            fnsku=product(),
            ordertype=st.sampled_from(["Disposal", "Return"]),
            shippedquantity=st.sampled_from(["", "0", "1"]),
        ),
        "replacements": rows_of(
            replaced, DAYS, COUNTS, originalamazonorderid=ORDERS, replacementamazonorderid=ORDERS
        ),
        "fees": rows_of(
            preview,
            DAYS,
            st.sampled_from(["3.00", "4,00", "--"]),
            estimatedreferralfeeperunit=st.sampled_from(["3.00", "--"]),
        ),
        "transactions": st.tuples(
            rows_of(
                refund,
                DAYS,
                st.sampled_from([-20.0, -7.77]),
                COUNTS,
                order=ORDERS,
                principal=st.sampled_from([None, -20.0, -45.0]),
                kept=st.sampled_from([None, 0.4, 6.0]),
                commission=st.sampled_from([None, -3.0]),
            ),
            rows_of(
                sale,
                DAYS,
                st.sampled_from([3.0, 4.0, 5.5]),
                COUNTS,
                order=ORDERS,
                principal=st.sampled_from([None, 20.0]),
                commission=st.sampled_from([None, 2.0, 5.0]),
            ),
        ).map(joined),
        "shipments": st.lists(
            st.builds(shipment, COUNTS, COUNTS, st.sampled_from(["CLOSED", "RECEIVING"])),
            max_size=1,
        ),
    }
)


def numbered(seller: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The rows with ids, so that a row keeps its id wherever it stands."""
    return {
        name: [row | {"_id": f"{name}-{number:03}"} for number, row in enumerate(rows)]
        for name, rows in seller.items()
    }


def run(seller: dict[str, list[Any]], at: int = 70) -> Findings:
    return find(seller, at=at, costs=COSTS)


@quick
@given(SELLERS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    seller: dict[str, list[Any]], order: random.Random
) -> None:
    rows = numbered(seller)
    shuffled = {name: order.sample(part, len(part)) for name, part in rows.items()}
    assert run(rows) == run(shuffled)


@quick
@given(SELLERS)
def test_detection_is_deterministic(seller: dict[str, list[Any]]) -> None:
    assert run(seller) == run(seller)


@quick
@given(SELLERS, DAYS)
def test_every_claim_has_a_unique_id_units_and_evidence(
    seller: dict[str, list[Any]], at: int
) -> None:
    findings = run(seller, at)
    ids = [*(claim.id for claim in findings.claims), *findings.settled]
    assert len(ids) == len(set(ids))
    for claim in findings.claims:
        assert claim.units > 0
        assert claim.opens <= claim.closes
        assert claim.evidence
        assert (claim.amount is None) == (claim.currency is None)
        assert claim.amount is None or float(claim.amount) >= 0


@quick
@given(SELLERS)
def test_claims_do_not_exceed_the_losses(seller: dict[str, list[Any]]) -> None:
    claims = run(seller).claims
    for rule, reasons in {"R1": "M5", "R2": "E67HKU", "R3": "D"}.items():
        lost = -sum(
            int(row["quantity"])
            for row in seller["ledger"]
            if row["eventtype"] == "Adjustments" and row["reason"] in [*reasons]
        )
        assert sum(claim.units for claim in claims if claim.rule == rule) <= lost
    refunded = sum(
        row["items"][0]["contexts"][0]["quantityShipped"]
        for row in seller["transactions"]
        if row["transactionType"] == "Refund"
    )
    assert sum(claim.units for claim in claims if claim.rule == "R4") <= refunded
    back = sum(int(row["quantity"]) for row in seller["returns"])
    assert sum(claim.units for claim in claims if claim.rule == "R5") <= back
    sent = sum(row["items"][0]["QuantityShipped"] for row in seller["shipments"])
    assert sum(claim.units for claim in claims if claim.rule == "R8") <= sent


@quick
@given(SELLERS)
def test_payments_for_all_open_units_settle_their_claims(seller: dict[str, list[Any]]) -> None:
    for row in seller["ledger"]:
        row.pop("unreconciledquantity", None)  # Amazon would update its own figure too
    before = run(seller)
    payments = [payment for claim in before.claims if (payment := _payment(claim))]
    seller["reimbursements"] = [*seller["reimbursements"], *payments]
    after = run(seller)
    due = {"R1", "R2", "R4", "R5", "R8"}
    assert not [claim.id for claim in after.claims if claim.rule in due]
    assert {claim.id for claim in before.claims if claim.rule in due} <= set(after.settled)


def by(claims: Iterable[Claim], *rules: str) -> Counter[tuple[str, ...]]:
    """Units that these rules claim, by SKU and by order, shipment or product."""
    units: Counter[tuple[str, ...]] = Counter()
    for claim in claims:
        if claim.rule in rules:
            details = claim.details
            subject = details.get("order") or details.get("shipment") or details["fnsku"]
            units[subject, details["sku"]] += claim.units
    return units


def counted(rows: Iterable[Any], thing: Callable[[Any], str], units: Callable[[Any], int]) -> Any:
    total: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        total[thing(row), "SKU-1"] += units(row)
    return total


def _fnsku(row: Any) -> str:
    return str(row["fnsku"])


def _quantity(row: Any) -> int:
    return int(row["quantity"])


@quick
@given(SELLERS, DAYS)
def test_claims_do_not_exceed_the_losses_of_any_product_order_or_shipment(
    seller: dict[str, list[Any]], at: int
) -> None:
    claims = run(seller, at).claims
    events = [row for row in seller["ledger"] if row["eventtype"] == "Adjustments"]
    for rule, reasons in {"R1": "M5", "R2": "E67HKU", "R3": "D"}.items():
        lost = counted(
            [row for row in events if row["reason"] in [*reasons]],
            _fnsku,
            lambda row: -_quantity(row),
        )
        assert by(claims, rule) <= lost
    refunds = [row for row in seller["transactions"] if row["transactionType"] == "Refund"]
    refunded = counted(
        refunds,
        lambda row: str(row["relatedIdentifiers"][0]["relatedIdentifierValue"]),
        lambda row: int(row["items"][0]["contexts"][0]["quantityShipped"]),
    )
    assert by(claims, "R4") <= refunded
    back = counted(seller["returns"], lambda row: str(row["orderid"]), _quantity)
    assert by(claims, "R5") <= back
    # Units that were not returned and units that came back damaged are different ones.
    assert by(claims, "R4", "R5") <= refunded | back
    sellable = [row for row in seller["returns"] if row["detaileddisposition"] == "SELLABLE"]
    assert by(claims, "R6") <= counted(sellable, _fnsku, _quantity)
    taken = [row for row in seller["reimbursements"] if row["reason"] == "Reimbursement_Reversal"]
    backs = counted(taken, _fnsku, lambda row: -int(row["quantityreimbursedtotal"]))
    assert by(claims, "R9") <= backs


@quick
@given(
    st.lists(st.tuples(st.integers(0, 9), COUNTS), max_size=4),
    st.lists(st.tuples(st.integers(10, 30), COUNTS), max_size=4),
    st.lists(st.tuples(st.integers(0, 40), COUNTS), max_size=3),
)
def test_a_unit_that_was_damaged_and_then_disposed_of_is_claimed_once(
    damages: list[tuple[int, int]],
    disposals: list[tuple[int, int]],
    payments: list[tuple[int, int]],
) -> None:
    damaged = {"disposition": "WAREHOUSE_DAMAGED"}
    ledger = [
        *(adjusted(day, "E", -units) for day, units in damages),
        *(adjusted(day, "D", -units, **damaged) for day, units in disposals),
    ]
    rows = [paid(day, "Damaged_Warehouse", units) for day, units in payments]
    claims = find({"ledger": ledger, "reimbursements": rows}, at=70).claims
    most = max(sum(units for _, units in damages), sum(units for _, units in disposals))
    assert sum(claim.units for claim in claims) <= most


@quick
@given(
    st.lists(st.tuples(st.integers(0, 9), COUNTS), max_size=3),
    st.lists(st.tuples(st.integers(10, 19), COUNTS), max_size=3),
    st.data(),
)
def test_a_loss_with_a_reversal_is_claimed_once(
    losses: list[tuple[int, int]], payments: list[tuple[int, int]], data: st.DataObject
) -> None:
    rows, back = [], 0
    for number, (day, units) in enumerate(payments):
        rows.append(paid(day, "Lost_Warehouse", units, _id=f"pay-{number}"))
        if taken := data.draw(st.integers(0, units)):
            back += taken
            rows.append(reversed_(20 + number, f"pay-{number}", taken, "Lost_Warehouse"))
    ledger = [adjusted(-90, "", -1, eventtype="Shipments")]
    ledger += [adjusted(day, "M", -units) for day, units in losses]
    claims = find({"ledger": ledger, "reimbursements": rows}, at=70).claims
    lost = sum(units for _, units in losses)
    assert sum(claim.units for claim in claims if claim.rule in ("R1", "R9")) <= max(lost, back)


@quick
@given(SELLERS, COUNTS, product())
def test_a_payment_reduces_the_claims_by_its_units(
    seller: dict[str, list[Any]], units: int, fnsku: str
) -> None:
    for row in seller["ledger"]:
        row.pop("unreconciledquantity", None)  # Amazon would update its own figure too
    before = by(run(seller).claims, "R1")
    payment = paid(60, "Lost_Warehouse", units, _id="one-more", fnsku=fnsku)
    seller["reimbursements"] = [*seller["reimbursements"], payment]
    after = by(run(seller).claims, "R1")
    assert before - after == +Counter({(fnsku, "SKU-1"): min(units, before[fnsku, "SKU-1"])})
    assert not after - before


@quick
@given(rows_of(_loss, st.integers(-30, 20), st.just("D"), COUNTS, fnsku=product()))
def test_a_payment_for_a_disposal_settles_it(ledger: list[Any]) -> None:
    before = find({"ledger": ledger}, at=70)
    payments = [
        paid(
            (claim.opens - DAY).days,
            "Damaged_Warehouse",
            claim.units,
            _id=f"paid-{claim.id}",
            fnsku=claim.details["fnsku"],
        )
        for claim in before.claims
    ]
    after = find({"ledger": ledger, "reimbursements": payments}, at=70)
    assert not [claim for claim in after.claims if claim.rule == "R3"]
    assert {claim.id for claim in before.claims} <= set(after.settled)


@quick
@given(SELLERS)
def test_detection_does_not_change_the_records(
    seller: dict[str, list[Any]],
) -> None:
    stored = Seller(numbered(seller), costs=COSTS)
    before = {name: list(records) for name, records in stored.records.items()}
    first, second = find_claims(stored, noon(70)), find_claims(stored, noon(70))
    assert first == second
    assert before == stored.records


@quick
@given(SELLERS, DAYS, DAYS)
def test_the_status_of_a_claim_never_moves_back(
    seller: dict[str, list[Any]], one: int, other: int
) -> None:
    order = ("waiting", "claimable", "expired")
    early, late = (
        {claim.id: claim for claim in run(seller, at).claims} for at in sorted((one, other))
    )
    for id in early.keys() & late.keys():
        if late[id].opens == early[id].opens:  # R7 may have moved on to newer charges
            assert order.index(early[id].status) <= order.index(late[id].status)


@quick
@given(SELLERS, st.integers(1, 4))
def test_a_ledger_without_its_last_columns_shows_the_same_losses(
    seller: dict[str, list[Any]], missing: int
) -> None:
    later = ("unreconciledquantity", "country", "store", "dateandtime")[:missing]
    for row in seller["ledger"]:
        row["unreconciledquantity"] = ""
    bare = [{k: v for k, v in row.items() if k not in later} for row in seller["ledger"]]
    rules = ("R1", "R2", "R3", "R8")
    assert by(run(seller).claims, *rules) == by(run(seller | {"ledger": bare}).claims, *rules)


def _payment(claim: Any) -> Any:
    more = {"_id": f"paid-{claim.id}", "reimbursementid": f"paid-{claim.id}"}
    more |= {"fnsku": claim.details.get("fnsku", "X1")}
    day = (claim.opens - DAY).days
    if claim.rule == "R1":
        return paid(60, "Lost_Warehouse", claim.units, **more)
    if claim.rule == "R2":
        return paid(day - 7, "Damaged_Warehouse", claim.units, **more)
    if claim.rule == "R8":
        return paid(60, "Lost_Inbound", claim.units, caseid=SHIPMENT, **more)
    if claim.rule in ("R4", "R5"):
        order = claim.details["order"]
        return paid(60, "CustomerReturn", claim.units, amazonorderid=order, **more)
    return None
