"""The ground truth: the claims that a correct client detects in a seller's data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median

import msgspec

from connectors.amazon_sandbox.generator.amounts import amount_text
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.goods.parcels import Receipt, parcel_claims, receipts
from connectors.amazon_sandbox.generator.journal import (
    DAMAGED,
    DAMAGED_INBOUND,
    LOST,
    LOST_OUTBOUND,
    NAMES,
    SHORT,
    Decoy,
    Ending,
    Journal,
    PlantedClaim,
)
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES, NON_AMAZON
from connectors.amazon_sandbox.generator.overcharges import ShippedLine, overcharges
from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import MARGIN, Seller
from connectors.amazon_sandbox.generator.sizes import TRUE_SIZE
from connectors.amazon_sandbox.generator.storage import plant
from connectors.amazon_sandbox.generator.times import day
from connectors.amazon_sandbox.generator.windows import claim_window

_PARTS_WITHIN = timedelta(days=14)  # all shipments of an order
_LOST_OR_DAMAGED = (LOST, DAMAGED, SHORT, DAMAGED_INBOUND, LOST_OUTBOUND)


class ExpectedClaim(msgspec.Struct, frozen=True, rename="camel"):
    """A claim that a client must detect. Days are UTC days, the last one included."""

    rule: str
    name: str
    key: str
    fnsku: str
    sku: str
    order_id: str | None
    shipment_id: str | None
    reference_id: str | None
    units: int
    amount: str | None
    currency: str
    #: cost, reimbursements (their median), sales (their median net proceeds), price (less fees: an
    #: upper bound), refund, fees or reversal; null without an amount.
    valued_by: str | None
    status: str
    base: date
    opens: date
    closes: date
    confidence: str


class EndedClaim(msgspec.Struct, frozen=True, rename="camel"):
    """How and when a claim has ended; with its payment, if it was paid."""

    rule: str
    key: str
    #: found, reconciled, reversed or reimbursed.
    reason: str
    #: The first UTC day whose data shows it.
    since: date
    units: int | None = None
    amount: str | None = None
    currency: str | None = None
    paid: date | None = None
    reimbursement_id: str | None = None


def claims(seller: Seller, with_costs: bool, with_receipts: bool = False) -> list[ExpectedClaim]:
    """All claims that are visible on the seller's day in the data that a client usually reads.

    `with_costs`, `with_receipts`: as detected by a client that has the cost table, and the seller's
    reports on the parcels of removal orders.
    """
    shipped = _ShippedSales(seller)
    valuation = _Valuation(seller, with_costs, shipped)
    planted = [claim for claim in seller.journal.claims if with_costs or claim.rule != "R10"]
    parcels = parcel_claims(seller.journal, with_receipts)
    merged = _merged([*planted, *_fee_journal(seller, shipped).claims, *parcels.claims])
    expected = [_expected(seller, claim, valuation) for claim in merged]
    return sorted(expected, key=lambda claim: (int(claim.rule[1:]), claim.key))


def decoys(seller: Seller, with_receipts: bool = False) -> list[Decoy]:
    """Data that resembles a claim, with the reason why it is not one."""
    fees = _fee_journal(seller, _ShippedSales(seller))
    parcels = parcel_claims(seller.journal, with_receipts)
    claimed = {(claim.rule, claim.key) for claim in (*seller.journal.claims, *fees.claims)}
    claimed |= {(claim.rule, claim.product.sku) for claim in fees.claims}
    planted = [*seller.journal.decoys, *fees.decoys, *parcels.decoys]
    unique = {(decoy.rule, decoy.key): decoy for decoy in planted}
    unclaimed = [decoy for key, decoy in unique.items() if key not in claimed]
    return sorted(unclaimed, key=lambda decoy: (int(decoy.rule[1:]), decoy.key))


def endings(seller: Seller) -> list[EndedClaim]:
    """Claims that have ended, and that a client has shown if it read the data early enough.

    They are sorted by day. A claim may end twice: reconciled, then reimbursed."""
    open_claims = {(claim.rule, claim.key) for claim in seller.journal.claims if not claim.paid}
    return [
        _ended(seller, ending)
        for ending in sorted(seller.journal.endings, key=lambda ending: (ending.at, ending.key))
        if (ending.rule, ending.key) not in open_claims
    ]


def costs(seller: Seller) -> list[dict[str, str]]:
    """The seller's cost table."""
    currency = seller.home.currency
    return [
        {"sku": product.sku, "cost": amount_text(product.cost, currency), "currency": currency}
        for product in seller.products
    ]


def dimensions(seller: Seller) -> list[dict[str, str]]:
    """The seller's own table of dimensions and weights."""
    size = TRUE_SIZE
    lengths = zip(
        ("length", "width", "height"), (size.longest, size.median, size.shortest), strict=True
    )
    own = {name: f"{length / 100:.2f}" for name, length in lengths}
    own |= {"lengthUnit": "in", "weight": f"{size.weight / 100:.2f}", "weightUnit": "lb"}
    return [{"sku": product.sku, **own} for product in seller.products]


def received(seller: Seller) -> Sequence[Receipt]:
    """The seller's reports on the parcels of removal orders."""
    return receipts(seller.journal)


def find(seller: Seller, rule: str, key: str) -> ExpectedClaim | None:
    matches = (claim for claim in claims(seller, True) if (claim.rule, claim.key) == (rule, key))
    return next(matches, None)


class _ShippedSales:
    """The seller's own shipped orders. The fees of other shops' orders are left out: no preview
    announces them."""

    def __init__(self, seller: Seller) -> None:
        #: From the home marketplace, of products with a fee anomaly.
        self.units: list[ShippedLine] = []
        #: Cents net of fees, for each unit of a product that was not restocked after a return.
        self.net_proceeds: dict[tuple[Product, str], list[int]] = defaultdict(list)
        unstocked = {claim.product for claim in seller.journal.claims if claim.by_sale}
        for posting in seller.postings:
            sale = posting.sale
            if posting.kind == "Shipment" and sale and posting.marketplace != NON_AMAZON.id:
                self._add(seller, posting, sale, unstocked)

    def _add(self, seller: Seller, posting: Posting, sale: Sale, unstocked: set[Product]) -> None:
        marketplace, fees = MARKETPLACES[posting.marketplace], seller.fees
        for line in seller.lines(sale):
            product, price, at = line.product, line.price, posting.posted
            if not line.fulfilled:
                continue
            if marketplace == seller.home and fees.anomaly(product):
                units = ShippedLine(at, product, line.fulfilled, price, sale.by_amazon)
                self.units.append(units)
            if product in unstocked and sale.by_amazon:
                fee = fees.charged(product, at, marketplace.country, price)
                rate = fees.charged_rate(product, at, marketplace.country)
                net = price - price * rate // 100 - fee
                self.net_proceeds[product, marketplace.currency].append(net)


def _fee_journal(seller: Seller, shipped: _ShippedSales) -> Journal:
    """A journal of the claims and decoys of fees, those for storage among them."""
    journal = Journal(seller.journal.horizon, {})
    currency = seller.home.currency
    overcharges(journal, seller.fees, shipped.units, seller.midnight, currency)
    plant(journal, seller.storage, seller.home)
    return journal


def _merged(claims: Sequence[PlantedClaim]) -> Sequence[PlantedClaim]:
    """Merge claims with the same key, such as two returns of a product in a month (R6)."""
    merged: dict[tuple[str, str], PlantedClaim] = {}
    for claim in claims:
        previous = merged.get((claim.rule, claim.key))
        merged[claim.rule, claim.key] = claim if previous is None else _sum(previous, claim)
    return list(merged.values())


def _sum(first: PlantedClaim, second: PlantedClaim) -> PlantedClaim:
    """The units of both, with the window of the later one."""
    last = max(first, second, key=lambda claim: claim.base)
    return msgspec.structs.replace(last, units=first.units + second.units)


class _Valuation:
    """The value of a unit of a product by the best known source, and the name of that source.

    The value is None if a sale costs more than it earns.
    """

    def __init__(self, seller: Seller, with_costs: bool, shipped: _ShippedSales) -> None:
        self._with_costs, self._seller = with_costs, seller
        self._net_proceeds = shipped.net_proceeds
        self._reimbursed = _reimbursed(seller.journal)

    def before_sale(self, product: Product) -> tuple[float | None, str]:
        if self._with_costs:
            return product.cost, "cost"
        if product.fn_sku in self._reimbursed:
            return median(self._reimbursed[product.fn_sku]), "reimbursements"
        return self._price(product)

    def by_sale(self, product: Product, currency: str) -> tuple[float | None, str]:
        net_proceeds = self._net_proceeds.get((product, currency))
        if net_proceeds and median(net_proceeds) > 0:
            return median(net_proceeds), "sales"
        return self._price(product)

    def _price(self, product: Product) -> tuple[float | None, str]:
        fees, today = self._seller.fees, self._seller.midnight
        net = product.price - fees.referral(product, today) - fees.expected(product, today)
        return (net, "price") if net > 0 else (None, "")


def _reimbursed(journal: Journal) -> Mapping[str, list[int]]:
    """The amounts per unit of each FNSKU's reimbursements, in cents."""
    reimbursed: dict[str, list[int]] = defaultdict(list)
    for reimbursement in journal.reimbursements:
        if reimbursement.reason in _LOST_OR_DAMAGED and reimbursement.units > 0:
            reimbursed[reimbursement.product.fn_sku].append(reimbursement.unit_cents)
    return reimbursed


def _expected(seller: Seller, claim: PlantedClaim, valuation: _Valuation) -> ExpectedClaim:
    amount, valued_by, currency = _value(seller, claim, valuation)
    base = day(claim.base)
    days = claim_window(claim.rule, claim.country or seller.home.country)
    opens, closes = (base + timedelta(count) for count in days)
    return ExpectedClaim(
        rule=claim.rule,
        name=claim.name or NAMES[claim.rule],
        key=claim.key,
        fnsku=claim.product.fn_sku,
        sku=claim.product.sku,
        order_id=claim.order_id or None,
        shipment_id=claim.shipment_id or None,
        reference_id=claim.reference or None,
        units=claim.units,
        amount=None if amount is None else amount_text(amount, currency),
        currency=currency,
        valued_by=valued_by or None,
        status="reimbursed" if claim.paid else _status(seller.day, opens, closes),
        base=base,
        opens=opens,
        closes=closes,
        confidence="low" if claim.low or _may_lack_a_part(seller, claim) else "high",
    )


def _may_lack_a_part(seller: Seller, claim: PlantedClaim) -> bool:
    """Whether a part of the sale may have been posted before the first posting of today."""
    first = seller.postings[0].posted if seller.postings else 0
    return bool(claim.sold) and day(claim.sold) < day(first) + _PARTS_WITHIN


def _value(
    seller: Seller, claim: PlantedClaim, valuation: _Valuation
) -> tuple[int | None, str, str]:
    """Amount in cents, the source of the value, and the currency."""
    currency = claim.currency or seller.home.currency
    if claim.by_unit:
        unit_value, source = valuation.before_sale(claim.product)
    elif claim.by_sale:
        unit_value, source = valuation.by_sale(claim.product, currency)
    else:
        return claim.amount, claim.valued_by, currency
    amount = None if unit_value is None else int(unit_value * claim.units + 0.5)
    return amount, source, seller.home.currency if source == "price" else currency


def _status(today: date, opens: date, closes: date) -> str:
    if today < opens:
        return "waiting"
    return "claimable" if today <= closes else "expired"


def _ended(seller: Seller, ending: Ending) -> EndedClaim:
    since = day(ending.at + MARGIN) + timedelta(1)
    if not ending.paid:
        return EndedClaim(ending.rule, ending.key, ending.reason, since)
    currency = seller.home.currency
    amount = sum(line.units * line.unit_cents for line in ending.paid)
    return EndedClaim(
        rule=ending.rule,
        key=ending.key,
        reason=ending.reason,
        since=since,
        units=sum(line.units + line.stocked for line in ending.paid),
        amount=amount_text(amount, currency),
        currency=currency,
        paid=day(ending.paid[0].at),
        reimbursement_id=ending.paid[0].id,
    )
