"""Inventory: getInventorySummaries, one part per marketplace."""

from collections.abc import Mapping, Sequence

import msgspec

from connectors.amazon.client import FULFILLMENT, Operation
from connectors.amazon.columns import field
from connectors.amazon.pages import HAD, PagedSource, Pagination, Slice, paged, present
from connectors.base import Connection, Dataset, Record, Window

INVENTORY_SUMMARIES = Operation(
    "getInventorySummaries", "/fba/inventory/v1/summaries", 2, 2, role=FULFILLMENT
)
COLUMNS = (
    field("sellerSku", "SKU"),
    field("asin", "ASIN"),
    field("fnSku", "FNSKU"),
    field("productName", "Product"),
    field("condition", "Condition"),
    field("totalQuantity", "Total", "number"),
    field("inventoryDetails.fulfillableQuantity", "Fulfillable", "number"),
    field("inventoryDetails.inboundWorkingQuantity", "Inbound, working", "number"),
    field("inventoryDetails.inboundShippedQuantity", "Inbound, shipped", "number"),
    field("inventoryDetails.inboundReceivingQuantity", "Inbound, receiving", "number"),
    field("inventoryDetails.reservedQuantity.totalReservedQuantity", "Reserved", "number"),
    field("inventoryDetails.researchingQuantity.totalResearchingQuantity", "Researching", "number"),
    field(
        "inventoryDetails.unfulfillableQuantity.totalUnfulfillableQuantity",
        "Unfulfillable",
        "number",
    ),
    field("lastUpdatedTime", "Last updated", "date"),
)
INVENTORY = Dataset("inventory", "inventory", columns=COLUMNS)


class _Summaries(msgspec.Struct):
    inventorySummaries: list[msgspec.Raw]


class _Inventory(msgspec.Struct):
    payload: _Summaries
    pagination: Pagination | None = None


class _Summary(msgspec.Struct):
    sellerSku: str
    productName: str | None = None


_inventory_decoder = msgspec.json.Decoder(_Inventory)
_summary_decoder = msgspec.json.Decoder(_Summary)


def _parts(connection: Connection, _: Window) -> Sequence[Mapping[str, str]]:
    return [
        {
            "granularityType": "Marketplace",
            "granularityId": marketplace,
            "marketplaceIds": marketplace,
            "details": "true",
        }
        for marketplace in connection.settings.marketplace_ids
    ]


def _no_stock(connection: Connection) -> str:
    """The message for a refused first page. Amazon responds 400 InvalidInput for a seller without
    FBA, or without a product in it (github.com/ericcj/amz_sp_api/issues/28). For a seller who had
    inventory before, the response means something else."""
    if HAD.format(INVENTORY_SUMMARIES.name) in connection.learned:
        return ""
    return (
        "Amazon lists no inventory, as for sellers who do not use Fulfillment by Amazon: the "
        "inventory is complete with 0 records."
    )


def _slice(body: bytes) -> Slice:
    inventory = _inventory_decoder.decode(body)
    token = inventory.pagination.nextToken if inventory.pagination else None
    return Slice(inventory.payload.inventorySummaries, token)


def _record(raw: msgspec.Raw, params: Mapping[str, str]) -> Record:
    summary = _summary_decoder.decode(raw)
    sku = present(summary.sellerSku, "sellerSku")
    return Record(f"{params['granularityId']}/{sku}", bytes(raw), summary.productName or sku)


SOURCE = PagedSource(INVENTORY_SUMMARIES, "nextToken", _parts, _slice, _record, nothing=_no_stock)
DATASET = paged(INVENTORY, SOURCE)
