"""The claims that should be found in a seller's data: known from what was planted in it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import median

import msgspec

from connectors.amazon_sandbox.generator.book import DAMAGED, LOST, SHORT, Book, Decoy, Finding
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import day
from connectors.amazon_sandbox.generator.fees import Charge, overcharges
from connectors.amazon_sandbox.generator.marketplaces import ELSEWHERE, MARKETPLACES
from connectors.amazon_sandbox.generator.seller import Seller


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """One expected claim. Days are UTC days, the last one included.

    `valued_by`: cost, reimbursements (their median), sales (the median of what they brought), price
    (less fees: an upper bound), refund, fees or reversal; null if there is no amount.
    """

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
    valued_by: str | None
    status: str
    base: date
    opens: date
    closes: date
    confidence: str


def claims(seller: Seller, with_costs: bool) -> list[Claim]:
    """All that is known on that day, and can be seen in what is usually read; `with_costs`: as
    found by who knows what the goods cost."""
    findings, sold = seller.book.findings, _Sold(seller)
    values = _Values(seller, with_costs, sold)
    planted = [each for each in findings if with_costs or each.rule != "R10"]
    found = _merged([*planted, *_charged(seller, sold).findings])
    told = [_claim(seller, each, values) for each in found]
    return sorted(told, key=lambda claim: (int(claim.rule[1:]), claim.key))


def decoys(seller: Seller) -> list[Decoy]:
    """What was planted to look like a claim, and why it is none."""
    charged = _charged(seller, _Sold(seller))
    claimed = {(each.rule, each.key) for each in (*seller.book.findings, *charged.findings)}
    claimed |= {(each.rule, each.product.sku) for each in charged.findings}
    planted = [*seller.book.decoys, *charged.decoys]
    unique = {(each.rule, each.key): each for each in planted}
    others = [each for name, each in unique.items() if name not in claimed]
    return sorted(others, key=lambda decoy: (int(decoy.rule[1:]), decoy.key))


def costs(seller: Seller) -> list[dict[str, str]]:
    """What the goods cost the seller: a cost table."""
    currency = seller.home.currency
    return [
        {"sku": each.sku, "cost": _text(each.cost), "currency": currency}
        for each in seller.products
    ]


def find(seller: Seller, rule: str, key: str) -> Claim | None:
    found = (each for each in claims(seller, True) if (each.rule, each.key) == (rule, key))
    return next(found, None)


class _Sold:
    """What Amazon shipped for the seller's own orders: `charges` at home, for products whose fees
    are odd; `brought`, in cents net of fees, for a unit of what did not come back to the shelf.
    (Of other shops' orders nobody announces what they cost.)"""

    def __init__(self, seller: Seller) -> None:
        self.charges: list[Charge] = []
        self.brought: dict[tuple[Product, str], list[int]] = defaultdict(list)
        lost = {each.product for each in seller.book.findings if each.by_sale}
        for posting in seller.postings:
            sale = posting.sale
            if posting.kind != "Shipment" or not sale or not sale.by_amazon:
                continue
            if posting.place == ELSEWHERE.id:
                continue
            at_home = posting.place == seller.home.id
            currency = MARKETPLACES[posting.place].currency
            for line in seller.lines(sale):
                product = line.product
                if not line.fulfilled:
                    continue
                if at_home and seller.fees.story(product):
                    self.charges.append((posting.posted, product, line.fulfilled))
                if product in lost:
                    fee = seller.fees.charged(product, posting.posted, at_home)
                    self.brought[product, currency].append(product.price - referral(product) - fee)


def _charged(seller: Seller, sold: _Sold) -> Book:
    """The claims to fees."""
    book = Book(seller.book.horizon, {})
    currency = seller.home.currency
    overcharges(book, seller.fees, sold.charges, seller.midnight, currency)
    return book


def _merged(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Those of one key are one claim: two returns of a month, as R6 counts them."""
    merged: dict[tuple[str, str], Finding] = {}
    for each in findings:
        other = merged.get((each.rule, each.key))
        merged[each.rule, each.key] = each if other is None else _sum(other, each)
    return list(merged.values())


def _sum(one: Finding, other: Finding) -> Finding:
    """All their units, from the last of them on."""
    last = max(one, other, key=lambda each: each.base)
    return msgspec.structs.replace(last, units=one.units + other.units)


class _Values:
    """What a unit of a product is worth, by the best that is known, and by what that is; nothing,
    if it costs more to sell than it brings."""

    def __init__(self, seller: Seller, with_costs: bool, sold: _Sold) -> None:
        self._with_costs, self._seller = with_costs, seller
        self._brought = sold.brought
        self._paid = _paid(seller.book)

    def of(self, product: Product) -> tuple[float | None, str]:
        if self._with_costs:
            return product.cost, "cost"
        if product.fn_sku in self._paid:
            return median(self._paid[product.fn_sku]), "reimbursements"
        return self._price(product)

    def sold(self, product: Product, currency: str) -> tuple[float | None, str]:
        brought = self._brought.get((product, currency))
        if brought and median(brought) > 0:
            return median(brought), "sales"
        return self._price(product)

    def _price(self, product: Product) -> tuple[float | None, str]:
        fee = self._seller.fees.expected(product, self._seller.midnight)
        left = product.price - referral(product) - fee
        return (left, "price") if left > 0 else (None, "")


def referral(product: Product) -> int:
    return product.price * product.commission // 100


def _paid(book: Book) -> Mapping[str, list[int]]:
    paid: dict[str, list[int]] = defaultdict(list)
    for each in book.payments:
        if each.reason in (LOST, DAMAGED, SHORT) and each.units > 0:
            paid[each.product.fn_sku].append(each.each)
    return paid


def _claim(seller: Seller, found: Finding, values: _Values) -> Claim:
    amount, valued_by = found.amount, found.valued_by
    currency = found.currency or seller.home.currency
    if found.by_unit or found.by_sale:
        each, valued_by = (
            values.of(found.product) if found.by_unit else values.sold(found.product, currency)
        )
        amount = None if each is None else int(each * found.units + 0.5)
        currency = seller.home.currency if valued_by == "price" else currency
    base = day(found.base)
    opens, closes = (base + timedelta(days) for days in (found.opens, found.closes))
    return Claim(
        rule=found.rule,
        name=found.name,
        key=found.key,
        fnsku=found.product.fn_sku,
        sku=found.product.sku,
        order_id=found.order_id or None,
        shipment_id=found.shipment_id or None,
        reference_id=found.reference or None,
        units=found.units,
        amount=None if amount is None else _text(amount),
        currency=currency,
        valued_by=valued_by or None,
        status="reimbursed" if found.paid else _status(seller.day, opens, closes),
        base=base,
        opens=opens,
        closes=closes,
        confidence="low" if found.low else "high",
    )


def _status(today: date, opens: date, closes: date) -> str:
    if today < opens:
        return "waiting"
    return "claimable" if today <= closes else "expired"


def _text(cents: int) -> str:
    return f"{cents / 100:.2f}"
