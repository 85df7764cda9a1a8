"""Postings to a seller's account: from orders, from reimbursements, and monthly charges."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from connectors.amazon_sandbox.generator.journal import Reimbursement
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.sales import SPAN, Sale
from connectors.amazon_sandbox.generator.times import DAY, HOUR

PostingKind = Literal["Shipment", "Refund", "Subscription", "StorageFee", "Reimbursement"]
PostingStatus = Literal["RELEASED", "DEFERRED", "DEFERRED_RELEASED"]

POSTING_HISTORY = 127 * DAY  # older postings are no longer listed

_DEFERRAL = 14 * DAY
_REPLACEMENT = 4 * DAY


class Posting(msgspec.Struct, frozen=True, gc=False):
    kind: PostingKind
    posted: int
    #: The id of its marketplace.
    marketplace: str
    status: PostingStatus = "RELEASED"
    sale: Sale | None = None
    #: In cents. The amount of a sale follows from its lines.
    amount: int = 0
    #: The id of the reimbursement it pays.
    reimbursement_id: str = ""

    @property
    def maturity(self) -> int:
        """When a deferred posting is paid out."""
        return self.posted + _DEFERRAL


class PostingDates(msgspec.Struct, frozen=True):
    """The dates of an order's postings."""

    posted: int
    #: When it is refunded, if it is.
    refunded: int
    #: Seconds until the postings become visible: some appear later than their date.
    lag: int

    @property
    def replaced(self) -> int:
        """When it is replaced instead of refunded. Early, so that its return stays listed until the
        claim window has closed, although the posting of the sale is dropped first."""
        return self.posted + _REPLACEMENT

    @classmethod
    def of(cls, root: str, sale: Sale, shipped: int) -> "PostingDates":
        rng = seeded_random(root, "money", sale.serial)
        lag = rng.randrange(48) * HOUR if rng.random() < 0.2 else 0
        posted = shipped + rng.randrange(HOUR, 30 * HOUR)
        return cls(posted, posted + rng.randrange(4 * DAY, 30 * DAY), lag)


def shipment_postings(root: str, sales: Iterable[Sale], horizon: int) -> Iterator[Posting]:
    """One posting for each shipped order."""
    for sale in sales:
        if sale.shipped is None:
            continue
        dates = PostingDates.of(root, sale, sale.shipped)
        if horizon - POSTING_HISTORY < dates.posted <= horizon - dates.lag:
            status = _status(sale, dates.posted, horizon)
            yield Posting("Shipment", dates.posted, sale.marketplace, status, sale)


def refund_posting(sale: Sale, posted: int) -> Posting:
    return Posting("Refund", posted, sale.marketplace, sale=sale)


def reimbursement_postings(
    reimbursements: Iterable[Reimbursement], horizon: int, home: str
) -> Iterator[Posting]:
    """One posting for each reimbursement in cash and each reversal."""
    for reimbursement in reimbursements:
        amount = reimbursement.units * reimbursement.unit_cents
        if amount and reimbursement.at > horizon - POSTING_HISTORY:
            yield Posting(
                "Reimbursement",
                reimbursement.at,
                home,
                amount=amount,
                reimbursement_id=reimbursement.id,
            )


def recurring_charges(root: str, orders: int, horizon: int, home: str) -> Iterator[Posting]:
    """Monthly charges."""
    for day in range((horizon - SPAN) // DAY + 1, horizon // DAY + 1):
        noon = day * DAY + 12 * HOUR
        fee = 100 + orders * seeded_random(root, "day", day).randrange(3, 9)
        if day % 30 == 0:
            yield Posting("Subscription", noon, home, amount=-3_999)
        if day % 30 == 7:
            yield Posting("StorageFee", noon + 1, home, amount=-fee)


def _status(sale: Sale, posted: int, horizon: int) -> PostingStatus:
    """Payments of business orders are deferred for two weeks."""
    if not sale.business:
        return "RELEASED"
    return "DEFERRED" if posted + _DEFERRAL > horizon else "DEFERRED_RELEASED"
