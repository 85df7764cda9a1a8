"""Monthly storage fees, some of them for more units than were stored (R21)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product, Stock
from connectors.amazon_sandbox.generator.goods.placement import CENTERS
from connectors.amazon_sandbox.generator.journal import Journal, Movement, PlantedClaim
from connectors.amazon_sandbox.generator.marketplaces import MarketplaceInfo
from connectors.amazon_sandbox.generator.times import DAY, day

_MONTHS = 5  # the listed ones
_CHARGED_ON = 8  # the day of the next month
_COVERED = 99  # whole days of the ledger that a client reads every time

# The wrong charges, by the product's number modulo _STEP. Sellers of few orders have no wrong
# charge.
_STEP = 17
_WRONG = {4: "overcharged", 9: "tolerated"}
_FEW = 100


class WarehouseStorage(msgspec.Struct, frozen=True):
    """The storage of a product in one warehouse."""

    center: str
    #: The average units of the month, in hundredths.
    units: int
    #: The fee in cents.
    fee: int


class StorageMonth(msgspec.Struct, frozen=True):
    """The storage of a product in one month."""

    product: Product
    #: The first day.
    month: date
    #: The average number of units at the end of a day, by the ledger.
    stored: Fraction
    #: Whether the ledger and today's stock contradict each other.
    contradicted: bool
    #: overcharged, tolerated, or empty.
    wrong: str
    rows: tuple[WarehouseStorage, ...]

    @property
    def ended_at(self) -> int:
        return _seconds(_next(self.month))

    @property
    def charged_at(self) -> int:
        return self.ended_at + (_CHARGED_ON - 1) * DAY + DAY // 2

    @property
    def units(self) -> int:
        return sum(row.units for row in self.rows)

    @property
    def fee(self) -> int:
        return sum(row.fee for row in self.rows)


def storage_months(
    orders: int, stock: Sequence[Stock], ledger: Iterable[Movement], horizon: int
) -> Sequence[StorageMonth]:
    """The months that were charged by the horizon, by product."""
    moved: dict[Product, Counter[int]] = defaultdict(Counter)
    for row in ledger:
        if row.event != "WhseTransfers":  # units in transit count as stored
            moved[row.product][row.at // DAY] += row.quantity
    today = day(horizon)
    months = list(_months(today))
    entries = []
    for item in stock:
        ends = _ends(item, moved[item.product], horizon // DAY, (today - months[-1]).days)
        entries += [_month(item.product, month, ends, today, orders >= _FEW) for month in months]
    return [entry for entry in entries if entry.charged_at <= horizon and entry.units]


def plant(journal: Journal, months: Iterable[StorageMonth], home: MarketplaceInfo) -> None:
    """Add the claims and the decoys."""
    for entry in months:
        key = f"{entry.product.fn_sku}|{entry.month:%Y-%m}"
        if entry.wrong == "tolerated":
            journal.add_decoy("R21", key, "within the tolerance")
        elif entry.wrong and journal.days_since(_seconds(entry.month)) > _COVERED:
            journal.add_decoy("R21", key, "the ledger does not cover the whole month")
        elif entry.wrong and entry.contradicted:
            journal.add_decoy("R21", key, "the ledger and the inventory contradict each other")
        elif entry.wrong:
            journal.claims.append(_claim(entry, key, home))
        elif not entry.contradicted:
            journal.add_decoy("R21", key, "charged for what was stored")


def _claim(entry: StorageMonth, key: str, home: MarketplaceInfo) -> PlantedClaim:
    beyond = entry.units - _hundredths(entry.stored)
    return PlantedClaim(
        rule="R21",
        key=key,
        product=entry.product,
        units=max(1, beyond // 100),
        base=entry.ended_at,
        country=home.country,
        amount=(2 * entry.fee * beyond + entry.units) // (2 * entry.units),
        valued_by="fees",
        currency=home.currency,
        low=True,
    )


def _ends(stock: Stock, moved: Mapping[int, int], today: int, days: int) -> Sequence[int]:
    """The units at the end of today and of that many days before, newest first. `moved` and `today`
    are in days since 1970; `stock` is that at the end of today."""
    units = _on_hand(stock)
    ends = [units]
    for number in range(today, today - days, -1):
        units -= moved.get(number, 0)
        ends.append(units)
    return ends


def _month(
    product: Product, month: date, ends: Sequence[int], today: date, may_be_wrong: bool
) -> StorageMonth:
    """The storage of a product in a month. `ends`: its units at the end of each day."""
    last = _next(month)
    since = ends[: (today - month).days + 1]
    stored = Fraction(sum(since[(today - last).days + 1 :]), (last - month).days)
    wrong = _WRONG.get(product.number % _STEP, "") if may_be_wrong else ""
    charged = _charged(wrong, max(0, _hundredths(stored)))
    rate = 9 + product.number % 20  # cents for a unit
    parts = (charged * 3 // 5, charged - charged * 3 // 5)
    rows = tuple(
        WarehouseStorage(CENTERS[(product.number + place) % len(CENTERS)], part, part * rate // 100)
        for place, part in enumerate(parts)
        if part
    )
    return StorageMonth(product, month, stored, min(since) < 0, wrong, rows)


def _charged(wrong: str, stored: int) -> int:
    """The charged units, in hundredths."""
    if wrong == "overcharged":
        return stored + stored // 2 + 800
    return stored + stored // 25 if wrong == "tolerated" else stored


def _on_hand(stock: Stock) -> int:
    """The units in the warehouses, in any state; inbound units are left out."""
    unsellable = stock.customer_damaged + stock.warehouse_damaged + stock.defective
    reserved = stock.ordered + stock.moving + stock.processing
    return stock.fulfillable + reserved + unsellable + stock.researching


def _hundredths(units: Fraction) -> int:
    return int((units * 200 + 1) // 2)


def _months(today: date) -> Iterator[date]:
    """The first days of the months before this one, the newest first."""
    month = today.replace(day=1)
    for _ in range(_MONTHS):
        month = (month - timedelta(1)).replace(day=1)
        yield month


def _next(month: date) -> date:
    return (month + timedelta(31)).replace(day=1)


def _seconds(at: date) -> int:
    return int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp())
