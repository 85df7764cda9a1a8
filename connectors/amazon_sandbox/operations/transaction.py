"""One transaction of the Finances API 2024-06-19, with its breakdown tree."""

from collections import Counter

from connectors.amazon_sandbox.generator.amounts import amount_number
from connectors.amazon_sandbox.generator.marketplaces import (
    NON_AMAZON,
    MarketplaceInfo,
    marketplace,
)
from connectors.amazon_sandbox.generator.postings import Posting
from connectors.amazon_sandbox.generator.randomness import digest
from connectors.amazon_sandbox.generator.refunds import RefundPart
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.generator.times import DAY, timestamp

Json = dict[str, object]
Cents = Counter[tuple[str, str]]
"""Amounts in cents by (branch, leaf) of the breakdown tree."""

_MULTICHANNEL_SURCHARGE = 150  # cents per unit, added to the fee for orders of other shops

# By kind: transactionType and description; breakdown branch and leaf if the posting has an amount.
_TYPES = {
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


def transaction(seller: Seller, posting: Posting) -> Json:
    """The posting as the API returns it. The amounts of its items add up to its total."""
    kind, description, *leaf = _TYPES[posting.kind]
    marketplace_info = marketplace_of(posting)
    items = _lines(seller, posting)
    cents: Cents = Counter({(leaf[0], leaf[1]): posting.amount}) if leaf[0] else Counter()
    for _, amounts in items:
        cents.update(amounts)  # not `+`, which drops negative counts
    return {
        "sellingPartnerMetadata": _partner(seller, marketplace_info),
        "relatedIdentifiers": _identifiers(seller, posting),
        "transactionType": kind,
        "transactionId": _id(seller, posting),
        "transactionStatus": posting.status,
        "description": description,
        "postedDate": timestamp(posting.posted),
        "totalAmount": _currency(marketplace_info, cents.total()),
        "marketplaceDetails": {
            "marketplaceId": marketplace_info.id,
            "marketplaceName": marketplace_info.name,
        },
        "items": [_item(marketplace_info, posting, line, amounts) for line, amounts in items],
        "contexts": _contexts(posting),
        "breakdowns": _tree(marketplace_info, cents),
    }


def marketplace_of(posting: Posting) -> MarketplaceInfo:
    """The marketplace of the posting. Charges to the whole account are posted at home."""
    return marketplace(posting.marketplace)


def event_group(posting: Posting) -> str:
    """The id of its settlement period, which lasts two weeks."""
    return digest("settlement", posting.posted // (14 * DAY))[:24]


def _id(seller: Seller, posting: Posting) -> str:
    subject: object = posting.reimbursement_id or posting.posted
    if posting.sale:
        subject = posting.sale.serial
        if posting.refund and posting.refund.number:
            subject = f"{subject}/{posting.refund.number}"
    return digest(seller.identity.name, posting.kind, subject)


def _partner(seller: Seller, marketplace: MarketplaceInfo) -> Json:
    return {
        "sellingPartnerId": seller.identity.partner_id,
        "accountType": "Standard Orders",
        "marketplaceId": marketplace.id,
    }


def _identifiers(seller: Seller, posting: Posting) -> list[Json]:
    identifiers = {"FINANCIAL_EVENT_GROUP_ID": event_group(posting)}
    if posting.sale:
        identifiers["ORDER_ID"] = posting.sale.id
        name = "SHIPMENT_ID" if posting.kind == "Shipment" else "REFUND_ID"
        identifiers[name] = _id(seller, posting)[:15]
    return [
        {"relatedIdentifierName": name, "relatedIdentifierValue": value}
        for name, value in identifiers.items()
    ]


def _contexts(posting: Posting) -> list[Json]:
    if posting.status == "RELEASED":
        return []
    maturity = timestamp(posting.maturity)
    return [{"contextType": "DeferredContext", "deferralReason": "B2B", "maturityDate": maturity}]


def _lines(seller: Seller, posting: Posting) -> list[tuple[Line, Cents]]:
    """The shipped lines with their amounts; for a refund, the first one."""
    if posting.sale is None:
        return []
    shipped = [line for line in seller.lines(posting.sale) if line.fulfilled]
    if posting.refund:
        return [(shipped[0], _refunded(posting.refund))]
    return [(line, _earned(seller, posting, line, posting.sale)) for line in shipped]


def _earned(seller: Seller, posting: Posting, line: Line, sale: Sale) -> Cents:
    country = marketplace_of(posting).country
    fees, product = seller.fees, line.product
    fee = fees.charged(product, posting.posted, country, line.price)
    if sale.marketplace == NON_AMAZON.id:  # another shop's order has only a fee, a higher one
        fee_cents = -(fee + _MULTICHANNEL_SURCHARGE) * line.fulfilled
        return Counter({("AmazonFees", "FBAPerUnitFulfillmentFee"): fee_cents})
    principal = line.price * line.fulfilled
    commission = line.price * fees.charged_rate(product, posting.posted, country) // 100
    tax = line.tax * line.fulfilled
    cents: Cents = Counter()
    cents["ProductCharges", "Principal"] = principal
    cents["ProductCharges", "Tax"] = tax
    cents["AmazonFees", "Commission"] = -commission * line.fulfilled
    if sale.by_amazon:
        cents["AmazonFees", "FBAPerUnitFulfillmentFee"] = -fee * line.fulfilled
    cents["TaxWithheld", "MarketplaceFacilitatorTax-Principal"] = -tax
    return cents


def _refunded(refund: RefundPart) -> Cents:
    """The amounts of a refund. Amazon keeps a part of the commission, and the whole fulfilment
    fee."""
    cents: Cents = Counter()
    cents["ProductCharges", "Principal"] = -refund.principal
    cents["ProductCharges", "Tax"] = -refund.tax
    cents["AmazonFees", "Commission"] = refund.commission
    cents["AmazonFees", "RefundCommission"] = -refund.retained
    cents["TaxWithheld", "MarketplaceFacilitatorTax-Principal"] = refund.tax
    return cents


def _item(marketplace: MarketplaceInfo, posting: Posting, line: Line, cents: Cents) -> Json:
    by_amazon = posting.sale is not None and posting.sale.by_amazon
    context = {
        "contextType": "ProductContext",
        "asin": line.product.asin,
        "sku": line.product.sku,
        "quantityShipped": posting.refund.quantity if posting.refund else line.fulfilled,
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


def _tree(marketplace: MarketplaceInfo, cents: Cents) -> list[Json]:
    branches: dict[str, list[Json]] = {}
    totals: Counter[str] = Counter()
    for (branch, leaf), amount in cents.items():
        branches.setdefault(branch, []).append(_node(marketplace, leaf, amount, []))
        totals[branch] += amount
    return [_node(marketplace, name, totals[name], leaves) for name, leaves in branches.items()]


def _node(marketplace: MarketplaceInfo, kind: str, cents: int, children: list[Json]) -> Json:
    amount = _currency(marketplace, cents)
    return {"breakdownType": kind, "breakdownAmount": amount, "breakdowns": children}


def _currency(marketplace: MarketplaceInfo, cents: int) -> Json:
    """An amount. It is a number, unlike in Orders."""
    currency = marketplace.currency
    return {"currencyCode": currency, "currencyAmount": amount_number(cents, currency)}
