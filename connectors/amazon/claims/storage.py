"""R21: storage charged for units beyond those that the ledger shows."""

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.facts import Facts, StorageCharge
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, evidence, key
from connectors.amazon.claims.values import CENT, Value, with_currency
from connectors.amazon.marketplaces import place

TOLERANCE_UNITS = Decimal(1)
TOLERANCE_SHARE = Decimal("0.10")
"""A tenth of the units equals three days of a month: Amazon may date a delivery of all units three
days differently."""
LATE_DAYS = 2
"""The ledger may lack the movements of the last days, which the inventory contains."""
READ_AGAIN = timedelta(days=99)
"""The whole days of the ledger that every sync reads. Older days may have gaps."""
DAY = timedelta(days=1)


class Shown(msgspec.Struct, frozen=True):
    """The figures of a product and month that the ledger shows."""

    #: The average number of units at the end of a day.
    average: Decimal
    #: Units by which it may differ from Amazon's own average.
    tolerance: Decimal


def storage_overcharge(facts: Facts) -> Iterator[Case]:
    """R21. Storage charged for more units of a product than the ledger shows in that month.

    Counts: the average number of units for which Amazon charged storage, over all warehouses, above
    the average of the month's days by the ledger: today's inventory, less all movements since then.
    The difference must exceed one unit, a tenth of the ledger's figure, and the units that leave in
    two days. The claim is for the difference's share of the month's fee, with low confidence.

    Does not count: months of which the ledger does not cover every day; products without a figure
    in the inventory, or whose ledger and inventory contradict each other, because the number of
    units would be negative; fees in several currencies. Units on the way between warehouses count
    as stored."""
    since = facts.ledger.since
    if since is None:
        return
    charges = grouped(facts.storage, lambda charge: (charge.fnsku, charge.month))
    for (fnsku, month), rows in charges.items():
        if month < max(since, facts.today - READ_AGAIN) or _end(month) >= facts.today:
            continue
        shown = _shown(facts, fnsku, month)
        if shown is None or len({row.currency for row in rows}) != 1:
            continue
        units, fee = sum(row.units for row in rows), sum(row.fee for row in rows)
        if fee > 0 and units - shown.average > shown.tolerance:
            yield _case(facts, rows, shown.average.quantize(CENT))


def _case(facts: Facts, rows: Sequence[StorageCharge], shown: Decimal) -> Case:
    first = rows[0]
    units, fee = sum(row.units for row in rows), sum(row.fee for row in rows)
    month, sku = f"{first.month:%Y-%m}", facts.on_hand[first.fnsku].sku
    basis = (
        f"The share of the month's storage fee of {with_currency(Decimal(fee), first.currency)} "
        f"for {units - shown} of {units} units, which the ledger does not show."
    )
    countries = {row.place for row in rows}
    return Case(
        key=key(first.fnsku, month),
        product=sku or first.fnsku,
        units=max(int(units - shown), 1),
        base=_end(first.month) + DAY,
        place=countries.pop() if len(countries) == 1 else place(currency=first.currency),
        value=Value(fee * (units - shown) / units, first.currency, basis),
        evidence=evidence(
            ("storage_fees", [row.id for row in rows]),
            ("inventory", facts.on_hand[first.fnsku].ids),
        ),
        details={
            "fnsku": first.fnsku,
            "sku": sku,
            "month": month,
            "charged": str(units),
            "shown": str(shown),
        },
    )


def _shown(facts: Facts, fnsku: str, month: date) -> Shown | None:
    """The ledger's figures of a product and month; None if the inventory does not list the product
    or contradicts the ledger."""
    stock = facts.on_hand.get(fnsku)
    if stock is None:
        return None
    moved = facts.ledger.moved.get(fnsku, {})
    balances = _balances(stock.units, moved, month, facts.today)
    if min(balances.values()) < 0:
        return None
    days = [balances[day] for day in balances if (day.year, day.month) == (month.year, month.month)]
    average = Decimal(sum(days)) / len(days)
    left = -sum(units for day, units in moved.items() if day >= month and units < 0)
    leaving = Decimal(left * LATE_DAYS) / (facts.today - month).days
    return Shown(average, max(TOLERANCE_UNITS, average * TOLERANCE_SHARE, leaving))


def _balances(
    units: int, moved: Mapping[date, int], month: date, today: date
) -> Mapping[date, int]:
    """The units at the end of each day from the first of the month to today, the newest first."""
    balances, day = {}, today
    while day >= month:
        balances[day] = units
        units -= moved.get(day, 0)
        day -= DAY
    return balances


def _end(month: date) -> date:
    return month.replace(day=monthrange(month.year, month.month)[1])
