"""FBA Inventory v1: stock by SKU, fifty at a time."""

from collections.abc import Callable, Collection

from connectors.amazon_sandbox.answers import invalid
from connectors.amazon_sandbox.generator.catalogue import Stock
from connectors.amazon_sandbox.generator.draw import DAY, stamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import take
from connectors.amazon_sandbox.operations.query import Query

_PAGE = 50
_OLDEST = 548 * DAY  # eighteen months


def get_inventory_summaries(call: Call) -> object:
    granularity = _granularity(call.query, call.seller.marketplaces)
    detailed = call.query.flag("details")
    where = _marketplace(call.query, call.seller.marketplaces)
    rows = call.seller.stock.get(where, ())
    found, following = take(rows, call.cursor.position, _PAGE, _filter(call.query, call.now))
    summaries = [_summary(each, detailed) for each in found]
    body = {"payload": {"granularity": granularity, "inventorySummaries": summaries}}
    token = call.token(following)
    return {**body, "pagination": {"nextToken": token}} if token else body


def _granularity(query: Query, places: Collection[str]) -> dict[str, str]:
    return {
        "granularityType": query.required("granularityType", among=("Marketplace",)),
        "granularityId": query.required("granularityId", among=places),
    }


def _marketplace(query: Query, places: Collection[str]) -> str:
    found = query.many("marketplaceIds", most=1, among=places)
    if not found:
        raise invalid("Missing required parameter [marketplaceIds]")
    return found[0]


def _filter(query: Query, now: float) -> Callable[[Stock], bool]:
    """What is asked for: a start makes the SKUs ignored, many SKUs make the single one ignored."""
    since = query.moment("startDateTime")
    skus = set(query.many("sellerSkus", most=50)) or {query.text("sellerSku")} - {None}
    if since is not None:
        if since < now - _OLDEST:
            raise invalid("Invalid value [startDateTime]: eighteen months ago at the earliest")
        return lambda stock: stock.updated is not None and stock.updated >= since
    return lambda stock: not skus or stock.product.sku in skus


def _summary(stock: Stock, detailed: bool) -> dict[str, object]:
    summary: dict[str, object] = {
        "asin": stock.product.asin,
        "fnSku": stock.product.fn_sku,
        "sellerSku": stock.product.sku,
        "condition": "NewItem",
        "productName": stock.product.title,
        "totalQuantity": _total(stock),
        "stores": [],
    }
    if stock.updated is not None:  # what was never in stock has no date
        summary["lastUpdatedTime"] = stamp(stock.updated)
    return {**summary, "inventoryDetails": _details(stock)} if detailed else summary


def _total(stock: Stock) -> int:
    inbound = stock.working + stock.shipped + stock.receiving
    return stock.fulfillable + inbound + _reserved(stock) + _unsellable(stock) + stock.researching


def _reserved(stock: Stock) -> int:
    return stock.ordered + stock.moving + stock.processing


def _unsellable(stock: Stock) -> int:
    return stock.customer_damaged + stock.warehouse_damaged + stock.defective


def _details(stock: Stock) -> dict[str, object]:
    return {
        "fulfillableQuantity": stock.fulfillable,
        "inboundWorkingQuantity": stock.working,
        "inboundShippedQuantity": stock.shipped,
        "inboundReceivingQuantity": stock.receiving,
        "reservedQuantity": {
            "totalReservedQuantity": _reserved(stock),
            "pendingCustomerOrderQuantity": stock.ordered,
            "pendingTransshipmentQuantity": stock.moving,
            "fcProcessingQuantity": stock.processing,
        },
        "researchingQuantity": {
            "totalResearchingQuantity": stock.researching,
            "researchingQuantityBreakdown": [
                {"name": "researchingQuantityInShortTerm", "quantity": stock.researching},
                {"name": "researchingQuantityInMidTerm", "quantity": 0},
                {"name": "researchingQuantityInLongTerm", "quantity": 0},
            ],
        },
        "unfulfillableQuantity": {
            "totalUnfulfillableQuantity": _unsellable(stock),
            "customerDamagedQuantity": stock.customer_damaged,
            "warehouseDamagedQuantity": stock.warehouse_damaged,
            "distributorDamagedQuantity": 0,
            "carrierDamagedQuantity": 0,
            "defectiveQuantity": stock.defective,
            "expiredQuantity": 0,
        },
    }
