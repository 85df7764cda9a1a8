"""Orders v0, deprecated: list orders, get an order, and get the items of one order."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.generator.amounts import amount_text
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.sales import Line, Sale
from connectors.amazon_sandbox.generator.times import DAY, timestamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.paging import Paging, page_of
from connectors.amazon_sandbox.responses import ApiError, invalid
from connectors.amazon_sandbox.roles import TRACKING

Json = dict[str, object]

_DELAY = 120  # the newest order that can be requested is two minutes old
_STATUSES = {
    "PENDING": "Pending",
    "UNSHIPPED": "Unshipped",
    "PARTIALLY_SHIPPED": "PartiallyShipped",
    "SHIPPED": "Shipped",
    "CANCELLED": "Canceled",
}
_OTHERS = ("Unfulfillable", "InvoiceUnconfirmed", "PendingAvailability")


def get_orders(call: Call) -> object:
    size = call.query.number("MaxResultsPerPage", minimum=1, maximum=100, default=100)
    field, after, before = _window(call)
    rows: Sequence[Sale] = call.seller.sales if field == "created" else call.seller.updates
    moment = attrgetter(field)
    rows = rows[bisect_left(rows, after, key=moment) : bisect_right(rows, before, key=moment)]
    page, next_position = page_of(rows, call.cursor.position, size, _filter(call))
    name = "CreatedBefore" if field == "created" else "LastUpdatedBefore"
    payload: Json = {"Orders": [_order(call, sale) for sale in page], name: timestamp(before)}
    token = call.token(next_position)
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
        raise ApiError(404, "NotFound", "Order not found.")
    return sale


def _window(call: Call) -> tuple[str, float, float]:
    query, latest = call.query, call.cursor.as_of - _DELAY
    if query.many("AmazonOrderIds", maximum=50):
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
    marketplaces = set(query.many("MarketplaceIds", maximum=50, among=call.seller.marketplaces))
    if not marketplaces:
        raise invalid("Missing required parameter [MarketplaceIds]")
    statuses = set(query.many("OrderStatuses", among=(*_STATUSES.values(), *_OTHERS)))
    channels = set(query.many("FulfillmentChannels", among=("AFN", "MFN")))
    ids = set(query.many("AmazonOrderIds", maximum=50))
    return lambda sale: (
        sale.marketplace in marketplaces
        and (not statuses or _STATUSES[sale.status] in statuses)
        and (not channels or _channel(sale) in channels)
        and (not ids or sale.id in ids)
    )


def _channel(sale: Sale) -> str:
    return "AFN" if sale.by_amazon else "MFN"


def _order(call: Call, sale: Sale) -> Json:
    lines, marketplace = call.seller.lines(sale), MARKETPLACES[sale.marketplace]
    shipped = sum(line.fulfilled for line in lines)
    ordered = sum(line.quantity for line in lines)
    total = sum((line.price + line.tax) * line.quantity for line in lines)
    order: Json = {
        "AmazonOrderId": sale.id,
        "SellerOrderId": sale.id,
        "PurchaseDate": timestamp(sale.created),
        "LastUpdateDate": timestamp(sale.updated),
        "OrderStatus": _STATUSES[sale.status],
        "FulfillmentChannel": _channel(sale),
        "SalesChannel": marketplace.name,
        "ShipServiceLevel": "Expedited" if sale.by_amazon else "Std US D2D Dom",
        "ShipmentServiceLevelCategory": "Expedited" if sale.by_amazon else "Standard",
        "NumberOfItemsShipped": shipped,
        "NumberOfItemsUnshipped": 0 if sale.status == "CANCELLED" else ordered - shipped,
        "PaymentMethod": "Other",
        "PaymentMethodDetails": ["Standard"],
        "MarketplaceId": sale.marketplace,
        "OrderType": "StandardOrder",
        "EarliestShipDate": timestamp(sale.created),
        "LatestShipDate": timestamp(sale.created + 2 * DAY),
        "IsBusinessOrder": sale.business,
        "IsPrime": sale.by_amazon,
        "IsPremiumOrder": False,
        "IsGlobalExpressEnabled": False,
        "IsReplacementOrder": False,
        "IsSoldByAB": False,
        "IsISPU": False,
        "HasRegulatedItems": False,
    }
    # A pending order has no price yet.
    priced = {} if _is_unpriced(sale) else {"OrderTotal": _money(sale, total)}
    return {**order, **priced}


def _is_unpriced(sale: Sale) -> bool:
    return sale.status in ("PENDING", "CANCELLED")


def _item(sale: Sale, line: Line) -> Json:
    item: Json = {
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
        "ItemPrice": _money(sale, line.price * line.quantity),
        "ItemTax": _money(sale, line.tax * line.quantity),
        "PromotionDiscount": _money(sale, 0),
    }


def _money(sale: Sale, cents: int) -> Json:
    currency = MARKETPLACES[sale.marketplace].currency
    return {"CurrencyCode": currency, "Amount": amount_text(cents, currency)}


_PAGING = Paging("NextToken", lifetime=24 * 3_600, carries_parameters=True)
OPERATIONS = (
    ApiOperation(
        "getOrders", "GET", "/orders/v0/orders", 0.0167, 20, get_orders, _PAGING, role=TRACKING
    ),
    ApiOperation(
        "getOrderV0", "GET", "/orders/v0/orders/{orderId}", 0.5, 30, get_order, role=TRACKING
    ),
    ApiOperation(
        "getOrderItems",
        "GET",
        "/orders/v0/orders/{orderId}/orderItems",
        0.5,
        30,
        get_order_items,
        role=TRACKING,
    ),
)
