"""What a seller was paid and charged: postings that follow from orders, payments, the calendar."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from connectors.amazon_sandbox.generator.book import Payment
from connectors.amazon_sandbox.generator.draw import DAY, HOUR, dice
from connectors.amazon_sandbox.generator.sales import SPAN, Sale

Kind = Literal["Shipment", "Refund", "Subscription", "StorageFee", "Reimbursement"]
Status = Literal["RELEASED", "DEFERRED", "DEFERRED_RELEASED"]

TOLD = 127 * DAY  # older postings are not told any more

_DEFERRAL = 14 * DAY
_REPLACED = 4 * DAY


class Posting(msgspec.Struct, frozen=True, gc=False):
    """A movement of money; `amount` in cents where no order tells it, `about` names its reason.

    `place` is the marketplace.
    """

    kind: Kind
    posted: int
    place: str
    status: Status = "RELEASED"
    sale: Sale | None = None
    amount: int = 0
    about: str = ""

    @property
    def maturity(self) -> int:
        """When it is paid out, if it is deferred."""
        return self.posted + _DEFERRAL


class Dates(msgspec.Struct, frozen=True):
    """When an order is paid to the seller and, if that happens to it, refunded; and since when
    that is known: some of it only later than the moment it says it was posted at."""

    posted: int
    refunded: int
    lag: int

    @property
    def replaced(self) -> int:
        """When it is replaced, if that happens to it instead: soon, so that what came back is told
        of until it can no longer be claimed, though its sale is forgotten first."""
        return self.posted + _REPLACED

    @classmethod
    def of(cls, root: str, sale: Sale, shipped: int) -> "Dates":
        rng = dice(root, "money", sale.serial)
        lag = rng.randrange(48) * HOUR if rng.random() < 0.2 else 0
        posted = shipped + rng.randrange(HOUR, 30 * HOUR)
        return cls(posted, posted + rng.randrange(4 * DAY, 30 * DAY), lag)


def shipments(root: str, sales: Iterable[Sale], horizon: int) -> Iterator[Posting]:
    """What was paid for the orders that were shipped."""
    for sale in sales:
        if sale.shipped is None:
            continue
        dates = Dates.of(root, sale, sale.shipped)
        if horizon - TOLD < dates.posted <= horizon - dates.lag:
            status = _status(sale, dates.posted, horizon)
            yield Posting("Shipment", dates.posted, sale.marketplace, status, sale)


def refund(sale: Sale, posted: int) -> Posting:
    return Posting("Refund", posted, sale.marketplace, sale=sale)


def reimbursements(payments: Iterable[Payment], horizon: int, home: str) -> Iterator[Posting]:
    """One for every payment in cash, and for what was taken back."""
    for each in payments:
        amount = each.units * each.each
        if amount and each.at > horizon - TOLD:
            yield Posting("Reimbursement", each.at, home, amount=amount, about=each.id)


def standing(root: str, orders: int, horizon: int, home: str) -> Iterator[Posting]:
    """What is charged by the month."""
    for day in range((horizon - SPAN) // DAY + 1, horizon // DAY + 1):
        noon = day * DAY + 12 * HOUR
        fee = 100 + orders * dice(root, "day", day).randrange(3, 9)
        if day % 30 == 0:
            yield Posting("Subscription", noon, home, amount=-3_999)
        if day % 30 == 7:
            yield Posting("StorageFee", noon + 1, home, amount=-fee)


def _status(sale: Sale, posted: int, horizon: int) -> Status:
    """Payments of business orders are held back for two weeks."""
    if not sale.business:
        return "RELEASED"
    return "DEFERRED" if posted + _DEFERRAL > horizon else "DEFERRED_RELEASED"
