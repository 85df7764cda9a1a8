"""Postings to a seller's account: from orders, from reimbursements, and monthly charges."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from connectors.amazon_sandbox.generator.journal import Reimbursement
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.refunds import RefundPart
from connectors.amazon_sandbox.generator.sales import SPAN, Sale
from connectors.amazon_sandbox.generator.times import DAY, HOUR

PostingKind = Literal["Shipment", "Refund", "Subscription", "StorageFee", "Reimbursement"]
PostingStatus = Literal["RELEASED", "DEFERRED", "DEFERRED_RELEASED"]

POSTING_HISTORY = 127 * DAY  # older postings are no longer listed

_DEFERRAL = 14 * DAY
_EARLY = 4 * DAY


class Posting(msgspec.Struct, frozen=True, gc=False):
    kind: PostingKind
    posted: int
    #: The id of its marketplace.
    marketplace: str
    status: PostingStatus = "RELEASED"
    sale: Sale | None = None
    #: The amount in cents. That of a sale follows from its lines.
    amount: int = 0
    #: The id of the reimbursement it pays.
    reimbursement_id: str = ""
    refund: RefundPart | None = None

    @property
    def maturity(self) -> int:
        """When a deferred posting is paid out."""
        return self.posted + _DEFERRAL


class PostingDates(msgspec.Struct, frozen=True):
    """The dates of an order's postings."""

    posted: int
    #: When the order is refunded, if it is.
    refunded: int
    #: Seconds until the postings become visible: some appear later than their date.
    lag: int

    @property
    def early(self) -> int:
        """When an order is replaced, or when a refund is posted that is meaningful only with its
        sale. This is early, so that both stay listed until the claim window has closed, although
        the posting of the sale is dropped first."""
        return self.posted + _EARLY

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


def refund_posting(sale: Sale, refund: RefundPart) -> Posting:
    return Posting("Refund", refund.posted, sale.marketplace, sale=sale, refund=refund)


def reimbursement_postings(
    reimbursements: Iterable[Reimbursement], horizon: int, home: str
) -> Iterator[Posting]:
    """One posting for each reimbursement in cash, with all its lines, and each reversal."""
    amounts: Counter[tuple[int, str]] = Counter()
    for reimbursement in reimbursements:
        if reimbursement.at > horizon - POSTING_HISTORY:
            amount = reimbursement.units * reimbursement.unit_cents
            amounts[reimbursement.at, reimbursement.id] += amount
    for (at, id), amount in amounts.items():
        if amount:
            yield Posting("Reimbursement", at, home, amount=amount, reimbursement_id=id)


def recurring_charges(root: str, orders: int, horizon: int, home: str) -> Iterator[Posting]:
    """Monthly charges."""
    for day in range((horizon - SPAN) // DAY + 1, horizon // DAY + 1):
        noon = day * DAY + 12 * HOUR
        if day % 30 == 0:
            yield Posting("Subscription", noon, home, amount=-3_999)
        if day % 30 == 7:
            fee = 100 + orders * seeded_random(root, "day", day).randrange(3, 9)
            yield Posting("StorageFee", noon + 1, home, amount=-fee)


def _status(sale: Sale, posted: int, horizon: int) -> PostingStatus:
    """Payments of business orders are deferred for two weeks."""
    if not sale.business:
        return "RELEASED"
    return "DEFERRED" if posted + _DEFERRAL > horizon else "DEFERRED_RELEASED"
