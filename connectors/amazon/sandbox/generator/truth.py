"""The claims that should be found in a seller's data: known from what was planted in it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from statistics import median

import msgspec

from connectors.amazon.sandbox.generator.book import DAMAGED, LOST, SHORT, Book, Decoy, Finding
from connectors.amazon.sandbox.generator.catalogue import Product
from connectors.amazon.sandbox.generator.draw import day
from connectors.amazon.sandbox.generator.fees import Charge, overcharges
from connectors.amazon.sandbox.generator.seller import Seller


class Claim(msgspec.Struct, frozen=True, rename="camel"):
    """One expected claim. Days are UTC days, the last one included.

    `valued_by`: cost, reimbursements (their median), price (less fees: an upper bound), refund,
    fees or reversal; null if there is no amount.
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
    """All that is known on that day; `with_costs`: as found by who knows what the goods cost."""
    values = _Values(seller, with_costs)
    found = [_claim(seller, each, values) for each in _merged(_findings(seller, with_costs))]
    return sorted(found, key=lambda claim: (int(claim.rule[1:]), claim.key))


def decoys(seller: Seller) -> list[Decoy]:
    """What was planted to look like a claim, and why it is none."""
    planted = [*seller.book.decoys, *_charged(seller).decoys]
    unique = {(each.rule, each.key): each for each in planted}
    return sorted(unique.values(), key=lambda decoy: (int(decoy.rule[1:]), decoy.key))


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


def _findings(seller: Seller, with_costs: bool) -> Iterator[Finding]:
    for each in (*seller.book.findings, *_charged(seller).findings):
        if with_costs or each.rule != "R10":
            yield each


def _charged(seller: Seller) -> Book:
    """The claims to fees; of the other shops' orders nobody announces what they cost."""
    book = Book(seller.book.horizon, {})
    currency = seller.home.currency
    overcharges(book, seller.fees, _charges(seller), seller.midnight, currency)
    return book


def _charges(seller: Seller) -> Iterator[Charge]:
    for posting in seller.postings:
        sale = posting.sale
        if (
            posting.kind == "Shipment"
            and sale
            and sale.by_amazon
            and posting.place == seller.home.id
        ):
            for line in seller.lines(sale):
                if line.fulfilled and seller.fees.story(line.product):
                    yield posting.posted, line.product, line.fulfilled


def _merged(findings: Iterator[Finding]) -> Sequence[Finding]:
    """Those of one key are one claim: two returns of a month, as R6 counts them."""
    merged: dict[tuple[str, str], Finding] = {}
    for each in findings:
        other = merged.get((each.rule, each.key))
        merged[each.rule, each.key] = each if other is None else _sum(other, each)
    return list(merged.values())


def _sum(one: Finding, other: Finding) -> Finding:
    amount = (one.amount or 0) + (other.amount or 0)
    base = max(one.base, other.base)
    return msgspec.structs.replace(one, units=one.units + other.units, amount=amount, base=base)


class _Values:
    """What a unit of a product is worth, by the best that is known."""

    def __init__(self, seller: Seller, with_costs: bool) -> None:
        self._with_costs, self._seller = with_costs, seller
        self._paid = _paid(seller.book)

    def of(self, product: Product) -> tuple[float, str]:
        if self._with_costs:
            return product.cost, "cost"
        if product.fn_sku in self._paid:
            return median(self._paid[product.fn_sku]), "reimbursements"
        fee = self._seller.fees.expected(product, self._seller.midnight)
        return product.price - referral(product) - fee, "price"


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
    if found.by_unit:
        each, valued_by = values.of(found.product)
        amount = round(each * found.units)
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
        currency=found.currency or seller.home.currency,
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
