"""Orders v0, which will be gone: listing orders, getting one, and its items one order at a time."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.answers import Refused, invalid
from connectors.amazon_sandbox.generator.draw import DAY, stamp
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import take

Part = dict[str, object]

_SETTLED = 120
_STATUSES = {
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
}
_OTHERS = ("Unfulfillable", "InvoiceUnconfirmed", "PendingAvailability")


def get_orders(call: Call) -> object:
    size = call.query.number("MaxResultsPerPage", least=1, most=100, default=100)
    field, after, before = _window(call)
    rows: Sequence[Sale] = call.seller.sales if field == "created" else call.seller.updates
    moment = attrgetter(field)
    rows = rows[bisect_left(rows, after, key=moment) : bisect_right(rows, before, key=moment)]
    found, following = take(rows, call.cursor.position, size, _filter(call))
    name = "CreatedBefore" if field == "created" else "LastUpdatedBefore"
    payload: Part = {"Orders": [_order(call, each) for each in found], name: stamp(before)}
    token = call.token(following)
    return {"payload": {**payload, "NextToken": token} if token else payload}


def get_order(call: Call) -> object:
    return {"payload": _order(call, _find(call))}


def get_order_items(call: Call) -> object:
    sale = _find(call)
    items = [_item(sale, line) for line in call.seller.lines(sale)]
    return {"payload": {"AmazonOrderId": sale.id, "OrderItems": items}}


def _find(call: Call) -> Sale:
    sale = call.seller.by_id.get(call.path["orderId"])
    if sale is None:
        raise Refused(404, "NotFound", "There is no such order.")
    return sale


def _window(call: Call) -> tuple[str, float, float]:
    query, latest = call.query, call.cursor.asked - _SETTLED
    if query.many("AmazonOrderIds", most=50):
        return "created", 0.0, latest
    created, updated = query.moment("CreatedAfter"), query.moment("LastUpdatedAfter")
    if (created is None) == (updated is None):
        raise invalid("Exactly one of CreatedAfter and LastUpdatedAfter is required")
    field, name = ("created", "Created") if updated is None else ("updated", "LastUpdated")
    after = created if updated is None else updated
    before = query.moment(f"{name}Before")
    if before is not None and before > latest:
        raise invalid(f"Invalid value [{name}Before]: it must be two minutes before now")
    return field, after or 0.0, latest if before is None else before


def _filter(call: Call) -> Callable[[Sale], bool]:
    query = call.query
    places = set(query.many("MarketplaceIds", most=50, among=call.seller.marketplaces))
    if not places:
        raise invalid("Missing required parameter [MarketplaceIds]")
    statuses = set(query.many("OrderStatuses", among=(*_STATUSES.values(), *_OTHERS)))
    channels = set(query.many("FulfillmentChannels", among=("AFN", "MFN")))
    ids = set(query.many("AmazonOrderIds", most=50))
    return lambda sale: (
        sale.marketplace in places
        and (not statuses or _STATUSES[sale.status] in statuses)
        and (not channels or _channel(sale) in channels)
        and (not ids or sale.id in ids)
    )


def _channel(sale: Sale) -> str:
    return "AFN" if sale.by_amazon else "MFN"


def _order(call: Call, sale: Sale) -> Part:
    lines, where = call.seller.lines(sale), MARKETPLACES[sale.marketplace]
    shipped = sum(line.fulfilled for line in lines)
    ordered = sum(line.quantity for line in lines)
    total = sum((line.product.price + line.tax) * line.quantity for line in lines)
    order: Part = {
        "AmazonOrderId": sale.id,
        "SellerOrderId": sale.id,
        "PurchaseDate": stamp(sale.created),
        "LastUpdateDate": stamp(sale.updated),
        "OrderStatus": _STATUSES[sale.status],
        "FulfillmentChannel": _channel(sale),
        "SalesChannel": where.name,
        "ShipServiceLevel": "Expedited" if sale.by_amazon else "Std US D2D Dom",
        "ShipmentServiceLevelCategory": "Expedited" if sale.by_amazon else "Standard",
        "NumberOfItemsShipped": shipped,
        "NumberOfItemsUnshipped": 0 if sale.status == "CANCELLED" else ordered - shipped,
        "PaymentMethod": "Other",
        "PaymentMethodDetails": ["Standard"],
        "MarketplaceId": sale.marketplace,
        "OrderType": "StandardOrder",
        "EarliestShipDate": stamp(sale.created),
        "LatestShipDate": stamp(sale.created + 2 * DAY),
        "IsBusinessOrder": sale.business,
        "IsPrime": sale.by_amazon,
        "IsPremiumOrder": False,
        "IsGlobalExpressEnabled": False,
        "IsReplacementOrder": False,
        "IsSoldByAB": False,
        "IsISPU": False,
        "HasRegulatedItems": False,
    }
    # What is pending has no price yet.
    priced = {} if _is_unpriced(sale) else {"OrderTotal": _money(sale, total)}
    return {**order, **priced}


def _is_unpriced(sale: Sale) -> bool:
    return sale.status in ("PENDING", "CANCELLED")


def _item(sale: Sale, line: Line) -> Part:
    item: Part = {
        "ASIN": line.product.asin,
        "SellerSKU": line.product.sku,
        "OrderItemId": line.id,
        "Title": line.product.title,
        "QuantityOrdered": 0 if sale.status == "CANCELLED" else line.quantity,
        "QuantityShipped": line.fulfilled,
        "ProductInfo": {"NumberOfItems": "1"},
        "IsGift": "false",
        "ConditionId": "New",
        "ConditionSubtypeId": "New",
        "IsTransparency": False,
    }
    if _is_unpriced(sale):
        return item
    return {
        **item,
        "ItemPrice": _money(sale, line.product.price * line.quantity),
        "ItemTax": _money(sale, line.tax * line.quantity),
        "PromotionDiscount": _money(sale, 0),
    }


def _money(sale: Sale, cents: int) -> Part:
    amount = f"{cents / 100:.2f}"
    return {"CurrencyCode": MARKETPLACES[sale.marketplace].currency, "Amount": amount}
