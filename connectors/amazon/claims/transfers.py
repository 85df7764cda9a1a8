"""R20: units that left one warehouse and did not arrive in another."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from connectors.amazon.claims.codes import FOUND, LOST
from connectors.amazon.claims.credits import EARLY, Credit, Offset, since, total, use
from connectors.amazon.claims.facts import Facts, LedgerEvent, Transfer
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key, records_of
from connectors.amazon.claims.values import unit_value
from connectors.amazon.claims.warehouse import reconcile

ARRIVES_WITHIN = timedelta(days=45)
TIME_ZONES = timedelta(days=1)
"""How much earlier the ledger may date an arrival, because it uses another time zone."""


def transfer_lost(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R20. Units that left a warehouse for another one and have not arrived after 45 days.

    Counts: the ledger's transfers, by product: units that left under a reference, less those that
    arrived under it, less other arrivals since then, the oldest first. It is not documented that
    both rows have one reference, so every claim has low confidence. The window counts from the 45th
    day.

    Does not count: units that the ledger shows as lost since then, which R1 claims; units found,
    and payments for Lost_Warehouse that no loss needed."""
    arrived = [transfer for transfer in facts.ledger.transfers if transfer.units > 0]
    left = [transfer for transfer in facts.ledger.transfers if transfer.units < 0]
    arrivals, payments = grouped(arrived, _fnsku), reconcile(facts).unused_payments()
    by_fnsku = grouped(facts.ledger.adjustments, _fnsku)
    for fnsku, transfers in grouped(left, _fnsku).items():
        arriving = [_credit(transfer.day, transfer.units) for transfer in arrivals.get(fnsku, ())]
        events = by_fnsku.get(fnsku, ())
        lost = [_credit(event.day, -event.units) for event in events if event.reason in LOST]
        found = [_credit(event.day, event.units) for event in events if event.reason in FOUND]
        for transfer in transfers:
            units = -transfer.units
            since_then = since(transfer.day - EARLY)
            turned_up = total(use(arriving, units, since(transfer.day - TIME_ZONES)))
            units -= turned_up + total(use(lost, units - turned_up, since_then))
            turned_up += (found_units := total(use(found, units, since_then)))
            paid = use(payments.get(fnsku, ()), units - found_units, since_then)
            units -= found_units + total(paid)
            if transfer.day + ARRIVES_WITHIN > facts.today:
                continue
            if units > 0 or paid:
                yield _case(facts, transfer, units, paid)
            elif turned_up == -transfer.units:
                yield ClosedCase(_natural(transfer), "found", unpaid=True)


def _natural(transfer: Transfer) -> str:
    return key(transfer.fnsku, transfer.day.isoformat(), transfer.reference)


def _case(facts: Facts, transfer: Transfer, units: int, paid: Sequence[Offset]) -> Case:
    sku = transfer.sku or facts.products.skus.get(transfer.fnsku, "")
    return Case(
        key=_natural(transfer),
        product=sku or transfer.fnsku,
        units=units,
        base=transfer.day + ARRIVES_WITHIN,
        place=transfer.place,
        value=unit_value(facts, transfer.fnsku, sku, transfer.place).times(units),
        evidence=evidence(("ledger", transfer.ids), *records_of(paid)),
        details={
            "fnsku": transfer.fnsku,
            "sku": sku,
            "reference": transfer.reference,
            "left": transfer.day.isoformat(),
            "paid": str(total(paid)),
        },
    )


def _fnsku(row: Transfer | LedgerEvent) -> str:
    return row.fnsku


def _credit(day: date, units: int) -> Credit:
    return Credit(day, "ledger", "", max(units, 0))
