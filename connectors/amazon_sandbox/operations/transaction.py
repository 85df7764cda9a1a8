"""One transaction of the Finances API 2024-06-19, with its tree of amounts."""

from collections import Counter

from connectors.amazon_sandbox.generator.draw import DAY, digest, stamp
from connectors.amazon_sandbox.generator.marketplaces import (
    ELSEWHERE,
    Marketplace,
    marketplace,
)
from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.seller import Seller

Part = dict[str, object]
Cents = Counter[tuple[str, str]]
"""Amounts in cents by (branch, leaf) of the tree."""

_ELSEWHERE = 150  # cents more for a unit that is shipped for another shop

# What each kind is called: transactionType, description, branch and leaf of an amount of its own.
_WORDS = {
    "Shipment": ("Shipment", "Order Payment", "", ""),
    "Refund": ("Refund", "Refund Order", "", ""),
    "Subscription": ("ServiceFee", "Subscription", "AmazonFees", "SubscriptionFee"),
    "StorageFee": ("ServiceFee", "FBA Storage Fee", "AmazonFees", "FBAStorageFee"),
    "Reimbursement": (
        "Adjustment",
        "FBAInventoryReimbursement",
        "Adjustments",
        "FBAInventoryReimbursement",
    ),
}


def transaction(seller: Seller, posting: Posting) -> Part:
    """The posting as the API tells it; the amounts of its items add up to its own."""
    kind, description, *leaf = _WORDS[posting.kind]
    where = place(posting)
    items = _lines(seller, posting)
    cents: Cents = Counter({(leaf[0], leaf[1]): posting.amount}) if leaf[0] else Counter()
    for _, each in items:
        cents.update(each)  # not `+`, which drops what is negative
    return {
        "sellingPartnerMetadata": _partner(seller, where),
        "relatedIdentifiers": _identifiers(seller, posting),
        "transactionType": kind,
        "transactionId": _id(seller, posting),
        "transactionStatus": posting.status,
        "description": description,
        "postedDate": stamp(posting.posted),
        "totalAmount": _currency(where, cents.total()),
        "marketplaceDetails": {"marketplaceId": where.id, "marketplaceName": where.name},
        "items": [_item(where, posting, line, amounts) for line, amounts in items],
        "contexts": _contexts(posting),
        "breakdowns": _tree(where, cents),
    }


def place(posting: Posting) -> Marketplace:
    """Where it was posted; what belongs to the whole account is posted at home."""
    return marketplace(posting.place)


def event_group(posting: Posting) -> str:
    """The settlement it falls into: they last two weeks."""
    return digest("settlement", posting.posted // (14 * DAY))[:24]


def _id(seller: Seller, posting: Posting) -> str:
    about = posting.sale.serial if posting.sale else posting.about or posting.posted
    return digest(seller.identity.name, posting.kind, about)


def _partner(seller: Seller, marketplace: Marketplace) -> Part:
    return {
        "sellingPartnerId": seller.identity.partner_id,
        "accountType": "Standard Orders",
        "marketplaceId": marketplace.id,
    }


def _identifiers(seller: Seller, posting: Posting) -> list[Part]:
    found = {"FINANCIAL_EVENT_GROUP_ID": event_group(posting)}
    if posting.sale:
        found["ORDER_ID"] = posting.sale.id
        name = "SHIPMENT_ID" if posting.kind == "Shipment" else "REFUND_ID"
        found[name] = _id(seller, posting)[:15]
    return [
        {"relatedIdentifierName": name, "relatedIdentifierValue": value}
        for name, value in found.items()
    ]


def _contexts(posting: Posting) -> list[Part]:
    if posting.status == "RELEASED":
        return []
    maturity = stamp(posting.maturity)
    return [{"contextType": "DeferredContext", "deferralReason": "B2B", "maturityDate": maturity}]


def _lines(seller: Seller, posting: Posting) -> list[tuple[Line, Cents]]:
    """The units that were shipped; or, refunded, those of the first item."""
    if posting.sale is None:
        return []
    shipped = [line for line in seller.lines(posting.sale) if line.fulfilled]
    if posting.kind == "Refund":
        return [(shipped[0], _refunded(shipped[0]))]
    return [(line, _earned(seller, posting, line, posting.sale)) for line in shipped]


def _earned(seller: Seller, posting: Posting, line: Line, sale: Sale) -> Cents:
    at_home = posting.place == seller.home.id
    fee = seller.fees.charged(line.product, posting.posted, at_home)
    if sale.marketplace == ELSEWHERE.id:  # no sale of ours: there is only the fee, a higher one
        dearer = -(fee + _ELSEWHERE) * line.fulfilled
        return Counter({("AmazonFees", "FBAPerUnitFulfillmentFee"): dearer})
    principal = line.product.price * line.fulfilled
    tax = line.tax * line.fulfilled
    cents: Cents = Counter()
    cents["ProductCharges", "Principal"] = principal
    cents["ProductCharges", "Tax"] = tax
    cents["AmazonFees", "Commission"] = -_commission(line)
    if sale.by_amazon:
        cents["AmazonFees", "FBAPerUnitFulfillmentFee"] = -fee * line.fulfilled
    cents["TaxWithheld", "MarketplaceFacilitatorTax-Principal"] = -tax
    return cents


def _refunded(line: Line) -> Cents:
    """All units come back; of the commission Amazon keeps a fifth, the fulfilment fee stays."""
    tax = line.tax * line.fulfilled
    cents: Cents = Counter()
    cents["ProductCharges", "Principal"] = -line.product.price * line.fulfilled
    cents["ProductCharges", "Tax"] = -tax
    cents["AmazonFees", "Commission"] = _commission(line)
    kept = line.product.price * line.product.commission // 100 // 5
    cents["AmazonFees", "RefundCommission"] = -kept * line.fulfilled
    cents["TaxWithheld", "MarketplaceFacilitatorTax-Principal"] = tax
    return cents


def _commission(line: Line) -> int:
    return line.product.price * line.product.commission // 100 * line.fulfilled


def _item(marketplace: Marketplace, posting: Posting, line: Line, cents: Cents) -> Part:
    by_amazon = posting.sale is not None and posting.sale.by_amazon
    context = {
        "contextType": "ProductContext",
        "asin": line.product.asin,
        "sku": line.product.sku,
        "quantityShipped": line.fulfilled,
        "fulfillmentNetwork": "AFN" if by_amazon else "MFN",
    }
    return {
        "description": line.product.title,
        "relatedIdentifiers": [
            {
                "itemRelatedIdentifierName": "ORDER_ADJUSTMENT_ITEM_ID",
                "itemRelatedIdentifierValue": line.id,
            }
        ],
        "totalAmount": _currency(marketplace, cents.total()),
        "contexts": [context],
        "breakdowns": _tree(marketplace, cents),
    }


def _tree(marketplace: Marketplace, cents: Cents) -> list[Part]:
    branches: dict[str, list[Part]] = {}
    totals: Counter[str] = Counter()
    for (branch, leaf), amount in cents.items():
        branches.setdefault(branch, []).append(_node(marketplace, leaf, amount, []))
        totals[branch] += amount
    return [_node(marketplace, name, totals[name], leaves) for name, leaves in branches.items()]


def _node(marketplace: Marketplace, kind: str, cents: int, below: list[Part]) -> Part:
    amount = _currency(marketplace, cents)
    return {"breakdownType": kind, "breakdownAmount": amount, "breakdowns": below}


def _currency(marketplace: Marketplace, cents: int) -> Part:
    """Amounts are numbers here, unlike in Orders."""
    return {"currencyCode": marketplace.currency, "currencyAmount": cents / 100}
