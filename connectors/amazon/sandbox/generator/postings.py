"""What a seller was paid and charged: postings that follow from the orders and the calendar."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

import msgspec

from connectors.amazon.sandbox.generator.draw import DAY, HOUR, dice
from connectors.amazon.sandbox.generator.sales import SPAN, Sale

Kind = Literal["Shipment", "Refund", "Subscription", "StorageFee", "Reimbursement"]
Status = Literal["RELEASED", "DEFERRED", "DEFERRED_RELEASED"]

_DEFERRAL = 14 * DAY


class Posting(msgspec.Struct, frozen=True, gc=False):
    """A movement of money; `amount` in cents where no order tells it."""

    kind: Kind
    posted: int
    status: Status = "RELEASED"
    sale: Sale | None = None
    amount: int = 0

    @property
    def maturity(self) -> int:
        """When it is paid out, if it is deferred."""
        return self.posted + _DEFERRAL


def postings(root: str, orders: int, horizon: int, sales: Iterable[Sale]) -> Iterator[Posting]:
    """All that is known at the horizon, in no order."""
    return chain(
        chain.from_iterable(_of_sale(root, sale, horizon) for sale in sales),
        chain.from_iterable(
            _of_day(root, orders, day)
            for day in range((horizon - SPAN) // DAY + 1, horizon // DAY + 1)
        ),
    )


def _of_sale(root: str, sale: Sale, horizon: int) -> Iterator[Posting]:
    if sale.shipped is None:
        return
    rng = dice(root, "money", sale.serial)
    # Some become known only later than the moment they say they were posted at.
    lag = rng.randrange(48) * HOUR if rng.random() < 0.2 else 0
    posted = sale.shipped + rng.randrange(HOUR, 30 * HOUR)
    refunded = posted + rng.randrange(4 * DAY, 30 * DAY)
    if posted + lag <= horizon:
        yield Posting("Shipment", posted, _status(sale, posted, horizon), sale)
    if refunded + lag <= horizon and rng.random() < 0.06:
        yield Posting("Refund", refunded, sale=sale)


def _status(sale: Sale, posted: int, horizon: int) -> Status:
    """Payments of business orders are held back for two weeks."""
    if not sale.business:
        return "RELEASED"
    return "DEFERRED" if posted + _DEFERRAL > horizon else "DEFERRED_RELEASED"


def _of_day(root: str, orders: int, day: int) -> Iterator[Posting]:
    rng = dice(root, "day", day)
    noon = day * DAY + 12 * HOUR
    if day % 30 == 0:
        yield Posting("Subscription", noon, amount=-3_999)
    if day % 30 == 7:
        yield Posting("StorageFee", noon + 1, amount=-(100 + orders * rng.randrange(3, 9)))
    if rng.random() < min(0.5, orders / 10_000):
        yield Posting("Reimbursement", noon - rng.randrange(HOUR), amount=rng.randrange(499, 8_999))
