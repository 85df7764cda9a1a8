"""The ground truth: the claims that a correct client detects in a seller's data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.fees import Charge, overcharges
from connectors.amazon_sandbox.generator.journal import (
    DAMAGED,
    LOST,
    SHORT,
    Decoy,
    Journal,
    PlantedClaim,
)
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES, NON_AMAZON
from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.generator.times import day


class ExpectedClaim(msgspec.Struct, frozen=True, rename="camel"):
    """Days are UTC days, the last one included."""

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


def claims(seller: Seller, with_costs: bool) -> list[ExpectedClaim]:
    """All claims that are visible on the seller's day in the data that a client usually reads.

    `with_costs`: as detected by a client that has the cost table.
    """
    shipped = _ShippedSales(seller)
    valuation = _Valuation(seller, with_costs, shipped)
    planted = [claim for claim in seller.journal.claims if with_costs or claim.rule != "R10"]
    merged = _merged([*planted, *_fee_journal(seller, shipped).claims])
    expected = [_expected(seller, claim, valuation) for claim in merged]
    return sorted(expected, key=lambda claim: (int(claim.rule[1:]), claim.key))


def decoys(seller: Seller) -> list[Decoy]:
    """Data that resembles a claim, with the reason why it is not one."""
    fees = _fee_journal(seller, _ShippedSales(seller))
    claimed = {(claim.rule, claim.key) for claim in (*seller.journal.claims, *fees.claims)}
    claimed |= {(claim.rule, claim.product.sku) for claim in fees.claims}
    planted = [*seller.journal.decoys, *fees.decoys]
    unique = {(decoy.rule, decoy.key): decoy for decoy in planted}
    unclaimed = [decoy for key, decoy in unique.items() if key not in claimed]
    return sorted(unclaimed, key=lambda decoy: (int(decoy.rule[1:]), decoy.key))


def costs(seller: Seller) -> list[dict[str, str]]:
    """The seller's cost table."""
    currency = seller.home.currency
    return [
        {"sku": product.sku, "cost": _text(product.cost), "currency": currency}
        for product in seller.products
    ]


def find(seller: Seller, rule: str, key: str) -> ExpectedClaim | None:
    matches = (claim for claim in claims(seller, True) if (claim.rule, claim.key) == (rule, key))
    return next(matches, None)


class _ShippedSales:
    """The seller's own orders that Amazon shipped. The fees of other shops' orders are left out: no
    preview announces them."""

    def __init__(self, seller: Seller) -> None:
        #: Shipments from the home marketplace of products with a fee anomaly.
        self.charges: list[Charge] = []
        #: Cents net of fees, for each unit of a product that was not restocked after a return.
        self.net_proceeds: dict[tuple[Product, str], list[int]] = defaultdict(list)
        unstocked = {claim.product for claim in seller.journal.claims if claim.by_sale}
        for posting in seller.postings:
            sale = posting.sale
            if posting.kind != "Shipment" or not sale or not sale.by_amazon:
                continue
            if posting.marketplace != NON_AMAZON.id:
                self._add(seller, posting, sale, unstocked)

    def _add(self, seller: Seller, posting: Posting, sale: Sale, unstocked: set[Product]) -> None:
        at_home = posting.marketplace == seller.home.id
        currency = MARKETPLACES[posting.marketplace].currency
        for line in seller.lines(sale):
            product = line.product
            if not line.fulfilled:
                continue
            if at_home and seller.fees.anomaly(product):
                self.charges.append((posting.posted, product, line.fulfilled))
            if product in unstocked:
                fee = seller.fees.charged(product, posting.posted, at_home)
                net = product.price - referral(product) - fee
                self.net_proceeds[product, currency].append(net)


def _fee_journal(seller: Seller, shipped: _ShippedSales) -> Journal:
    """A journal of the claims and decoys of fees."""
    journal = Journal(seller.journal.horizon, {})
    currency = seller.home.currency
    overcharges(journal, seller.fees, shipped.charges, seller.midnight, currency)
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
        fee = self._seller.fees.expected(product, self._seller.midnight)
        net = product.price - referral(product) - fee
        return (net, "price") if net > 0 else (None, "")


def referral(product: Product) -> int:
    """The referral fee of a unit in cents."""
    return product.price * product.commission // 100


def _reimbursed(journal: Journal) -> Mapping[str, list[int]]:
    """Cents per unit of the reimbursements of each FNSKU."""
    reimbursed: dict[str, list[int]] = defaultdict(list)
    for reimbursement in journal.reimbursements:
        if reimbursement.reason in (LOST, DAMAGED, SHORT) and reimbursement.units > 0:
            reimbursed[reimbursement.product.fn_sku].append(reimbursement.unit_cents)
    return reimbursed


def _expected(seller: Seller, claim: PlantedClaim, valuation: _Valuation) -> ExpectedClaim:
    amount, valued_by, currency = _value(seller, claim, valuation)
    base = day(claim.base)
    opens, closes = (base + timedelta(days) for days in (claim.opens, claim.closes))
    return ExpectedClaim(
        rule=claim.rule,
        name=claim.name,
        key=claim.key,
        fnsku=claim.product.fn_sku,
        sku=claim.product.sku,
        order_id=claim.order_id or None,
        shipment_id=claim.shipment_id or None,
        reference_id=claim.reference or None,
        units=claim.units,
        amount=None if amount is None else _text(amount),
        currency=currency,
        valued_by=valued_by or None,
        status="reimbursed" if claim.paid else _status(seller.day, opens, closes),
        base=base,
        opens=opens,
        closes=closes,
        confidence="low" if claim.low else "high",
    )


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


def _text(cents: int) -> str:
    return f"{cents / 100:.2f}"
