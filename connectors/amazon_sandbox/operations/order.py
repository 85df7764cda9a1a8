"""One order of the Orders API 2026-01-01: its basic fields, and parts on request."""

from collections.abc import Callable, Mapping, Sequence

from connectors.amazon_sandbox.generator.amounts import amount_text
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.generator.times import DAY, timestamp

Json = dict[str, object]


def order(seller: Seller, sale: Sale, included: frozenset[str]) -> Json:
    """The order with the requested parts."""
    lines = seller.lines(sale)
    marketplace = MARKETPLACES[sale.marketplace]
    body: Json = {
        "orderId": sale.id,
        "createdTime": timestamp(sale.created),
        "lastUpdatedTime": timestamp(sale.updated),
        "programs": _programs(sale),
        "salesChannel": {
            "channelName": "AMAZON",
            "marketplaceId": marketplace.id,
            "marketplaceName": marketplace.name,
        },
        "orderItems": [_item(sale, line, included) for line in lines],
    }
    # Not in the order of `included`: that of a set differs between processes.
    for name, part in _ORDER_PARTS.items():
        if name in included:
            body |= part(sale, lines)
    return body


def _item(sale: Sale, line: Line, included: frozenset[str]) -> Json:
    body: Json = {
        "orderItemId": line.id,
        "quantityOrdered": line.quantity,
        "product": {
            "asin": line.product.asin,
            "title": line.product.title,
            "sellerSku": line.product.sku,
            "condition": {"conditionType": "NEW", "conditionSubtype": "NEW"},
            "price": {"unitPrice": _money(sale, line.price)},
        },
    }
    for name, part in _ITEM_PARTS.items():
        if name in included:
            body |= part(sale, line)
    return body


def _programs(sale: Sale) -> list[str]:
    programs = {"AMAZON_BUSINESS": sale.business, "PRIME": sale.by_amazon}
    return [name for name, applies in programs.items() if applies]


def _money(sale: Sale, cents: int) -> Json:
    """An amount. It is a string, unlike in Finances."""
    currency = MARKETPLACES[sale.marketplace].currency
    return {"amount": amount_text(cents, currency), "currencyCode": currency}


def _breakdown(sale: Sale, items: int, tax: int) -> list[Json]:
    return [
        {"type": "ITEM", "subtotal": _money(sale, items)},
        {"type": "TAX", "subtotal": _money(sale, tax)},
    ]


def _has_proceeds(sale: Sale) -> bool:
    """Whether the order has proceeds: pending and cancelled ones have none."""
    return sale.status not in ("PENDING", "CANCELLED")


def _order_total(lines: Sequence[Line]) -> tuple[int, int]:
    items = sum(line.price * line.quantity for line in lines)
    return items, sum(line.tax * line.quantity for line in lines)


def _order_proceeds(sale: Sale, lines: Sequence[Line]) -> Json:
    if not _has_proceeds(sale):
        return {}
    items, tax = _order_total(lines)
    total = _money(sale, items + tax)
    return {"proceeds": {"grandTotal": total, "breakdowns": _breakdown(sale, items, tax)}}


def _item_proceeds(sale: Sale, line: Line) -> Json:
    if not _has_proceeds(sale):
        return {}
    items, tax = _order_total([line])
    total = _money(sale, items + tax)
    return {"proceeds": {"proceedsTotal": total, "breakdowns": _breakdown(sale, items, tax)}}


def _order_fulfillment(sale: Sale, lines: Sequence[Line]) -> Json:
    fulfillment = {
        "fulfillmentStatus": sale.status,
        "fulfilledBy": "AMAZON" if sale.by_amazon else "MERCHANT",
        "fulfillmentServiceLevel": "EXPEDITED" if sale.by_amazon else "STANDARD",
        "shipByWindow": _days(sale, 0, 2),
        "deliverByWindow": _days(sale, 2, 6),
    }
    return {"fulfillment": fulfillment}


def _days(sale: Sale, first: int, last: int) -> Json:
    return {
        "earliestDateTime": timestamp(sale.created + first * DAY),
        "latestDateTime": timestamp(sale.created + last * DAY),
    }


def _item_fulfillment(sale: Sale, line: Line) -> Json:
    open_units = 0 if sale.status == "CANCELLED" else line.quantity - line.fulfilled
    return {"fulfillment": {"quantityFulfilled": line.fulfilled, "quantityUnfulfilled": open_units}}


def _buyer(sale: Sale, lines: Sequence[Line]) -> Json:
    """A made-up buyer, with an email address that cannot exist."""
    buyer = {"buyerName": f"Buyer {sale.id[-4:]}"}
    email = {"buyerEmail": f"{sale.id}@marketplace.example"}
    return {"buyer": buyer if sale.by_amazon else {**buyer, **email}}


def _recipient(sale: Sale, lines: Sequence[Line]) -> Json:
    address = {
        "name": f"Buyer {sale.id[-4:]}",
        "addressLine1": f"{int(sale.id[-3:])} Example Avenue",
        "city": "Exampleville",
        "postalCode": "00000",
        "countryCode": MARKETPLACES[sale.marketplace].country,
        "addressType": "COMMERCIAL" if sale.business else "RESIDENTIAL",
    }
    return {"recipient": {"deliveryAddress": address}}


def _payment(sale: Sale, lines: Sequence[Line]) -> Json:
    if not _has_proceeds(sale):
        return {}
    amount = _money(sale, sum(_order_total(lines)))
    execution = {"paymentMethod": "CreditCard", "paymentAmount": amount}
    return {"payment": {"paymentExecutions": [execution]}}


def _packages(sale: Sale, lines: Sequence[Line]) -> Json:
    """The packages of an order. Only orders that the merchant ships have any."""
    if sale.by_amazon or sale.shipped is None:
        return {}
    package = {
        "packageReferenceId": "1",
        "createdTime": timestamp(sale.shipped),
        "packageStatus": {"status": "SHIPPED"},
        "carrier": "USPS",
        "shipTime": timestamp(sale.shipped),
        "trackingNumber": f"94{sale.id.replace('-', '')}",
        "packageItems": [
            {"orderItemId": line.id, "quantity": line.fulfilled} for line in lines if line.fulfilled
        ],
    }
    return {"packages": [package]}


def _order_tax(sale: Sale, lines: Sequence[Line]) -> Json:
    return {"tax": {"taxRegistrations": []}}


def _item_tax(sale: Sale, line: Line) -> Json:
    collection = {"model": "MARKETPLACE_FACILITATOR", "responsibleParty": "Amazon Services, Inc."}
    return {"tax": {"taxCollections": [collection]}}


def _expense(sale: Sale, line: Line) -> Json:
    granted = {"pointsNumber": 0, "pointsMonetaryValue": _money(sale, 0)}
    return {"expense": {"pointsCost": {"pointsGranted": granted}}}


def _promotion(sale: Sale, line: Line) -> Json:
    """The promotion of an item. Every tenth order has free shipping."""
    promoted = sale.serial % 10 == 0
    return {"promotion": {"breakdowns": [{"promotionId": "FREE-SHIPPING"}]}} if promoted else {}


def _cancellation(sale: Sale, line: Line) -> Json:
    if sale.status != "CANCELLED":
        return {}
    execution = {"cancelledBy": "BUYER", "cancelReason": "Ordered by mistake"}
    return {"cancellation": {"cancellationExecution": execution}}


_ORDER_PARTS: Mapping[str, Callable[[Sale, Sequence[Line]], Json]] = {
    "BUYER": _buyer,
    "RECIPIENT": _recipient,
    "PROCEEDS": _order_proceeds,
    "FULFILLMENT": _order_fulfillment,
    "PACKAGES": _packages,
    "TAX": _order_tax,
    "PAYMENT": _payment,
}

_ITEM_PARTS: Mapping[str, Callable[[Sale, Line], Json]] = {
    "PROCEEDS": _item_proceeds,
    "EXPENSE": _expense,
    "PROMOTION": _promotion,
    "CANCELLATION": _cancellation,
    "FULFILLMENT": _item_fulfillment,
    "TAX": _item_tax,
}

# FULFILLMENT_ORDERS is accepted and empty: no seller uses External Fulfillment.
DATASETS = {*_ORDER_PARTS, *_ITEM_PARTS, "FULFILLMENT_ORDERS"}
