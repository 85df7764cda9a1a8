"""FBA Inventory v1: stock by SKU, in pages of fifty."""

from collections.abc import Callable, Collection

from connectors.amazon_sandbox.generator.catalogue import Stock
from connectors.amazon_sandbox.generator.times import DAY, timestamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.paging import Paging, page_of
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import invalid
from connectors.amazon_sandbox.roles import FULFILLMENT

_PAGE = 50
_MAX_AGE = 548 * DAY  # eighteen months


def get_inventory_summaries(call: Call) -> object:
    granularity = _granularity(call.query, call.seller.marketplaces)
    detailed = call.query.flag("details")
    marketplace = _marketplace(call.query, call.seller.marketplaces)
    rows = call.seller.stock.get(marketplace, ())
    page, next_position = page_of(rows, call.cursor.position, _PAGE, _filter(call.query, call.now))
    summaries = [_summary(stock, detailed) for stock in page]
    body = {"payload": {"granularity": granularity, "inventorySummaries": summaries}}
    token = call.token(next_position)
    return {**body, "pagination": {"nextToken": token}} if token else body


def _granularity(query: Query, marketplaces: Collection[str]) -> dict[str, str]:
    return {
        "granularityType": query.required("granularityType", among=("Marketplace",)),
        "granularityId": query.required("granularityId", among=marketplaces),
    }


def _marketplace(query: Query, marketplaces: Collection[str]) -> str:
    ids = query.many("marketplaceIds", maximum=1, among=marketplaces)
    if not ids:
        raise invalid("Missing required parameter [marketplaceIds]")
    return ids[0]


def _filter(query: Query, now: float) -> Callable[[Stock], bool]:
    """The filter of a query. `startDateTime` overrides all SKUs, and `sellerSkus` overrides
    `sellerSku`."""
    since = query.moment("startDateTime")
    skus = set(query.many("sellerSkus", maximum=50)) or {query.text("sellerSku")} - {None}
    if since is not None:
        if since < now - _MAX_AGE:
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
    if stock.updated is not None:  # a product that was never in stock has no date
        summary["lastUpdatedTime"] = timestamp(stock.updated)
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


_PAGING = Paging("nextToken", lifetime=30)
OPERATIONS = (
    ApiOperation(
        "getInventorySummaries",
        "GET",
        "/fba/inventory/v1/summaries",
        2,
        2,
        get_inventory_summaries,
        _PAGING,
        role=FULFILLMENT,
    ),
)
