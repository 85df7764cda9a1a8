"""Fulfillment Inbound v0: shipments to Amazon's warehouses, and their items."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.generator.journal import InboundShipment, InboundShipmentItem
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.paging import Paging, continuation_token, page_of
from connectors.amazon_sandbox.responses import ApiError, invalid
from connectors.amazon_sandbox.roles import FULFILLMENT

_PAGE = 50
_ITEMS_PAGE = 200  # of a single shipment
_SHIPMENT_ID = "ShipmentId"  # only inside a token: the shipment whose items it continues
_STATUSES = (
    "WORKING",
    "READY_TO_SHIP",
    "SHIPPED",
    "RECEIVING",
    "CANCELLED",
    "DELETED",
    "CLOSED",
    "ERROR",
    "IN_TRANSIT",
    "DELIVERED",
    "CHECKED_IN",
)
_MAX_IDS = 999

Filter = Callable[[InboundShipment], bool]


def get_shipments(call: Call) -> object:
    _check_marketplace(call)
    kind = call.query.required("QueryType", among=("SHIPMENT", "DATE_RANGE", "NEXT_TOKEN"))
    if kind == "NEXT_TOKEN":
        raise invalid("Missing required parameter [NextToken]")
    keep = _shipments_in_range(call) if kind == "DATE_RANGE" else _selected(call)
    page, next_position = page_of(_shipments(call), call.cursor.position, _PAGE, keep)
    data = [_shipment(call, shipment) for shipment in page]
    return _payload("ShipmentData", data, call.token(next_position))


def get_shipment_items(call: Call) -> object:
    """Items by the last change of their shipment, or the next page of any list of items."""
    _check_marketplace(call)
    if call.cursor.parameters and (shipment_id := call.query.text(_SHIPMENT_ID)):
        return _items_of(call, shipment_id)
    if call.query.required("QueryType", among=("DATE_RANGE", "NEXT_TOKEN")) == "NEXT_TOKEN":
        raise invalid("Missing required parameter [NextToken]")
    in_range = _in_range(call)
    rows = [
        row for shipment in _shipments(call) if in_range(shipment) for row in _rows(call, shipment)
    ]
    page, next_position = page_of(rows, call.cursor.position, _PAGE, lambda row: True)
    return _payload("ItemData", page, call.token(next_position))


def get_shipment_items_by_shipment_id(call: Call) -> object:
    """The first 200 items. For the next page, pass NextToken to getShipmentItems."""
    return _items_of(call, call.path["shipmentId"])


def _items_of(call: Call, shipment_id: str) -> object:
    shipments = call.seller.journal.inbound_shipments
    shipment = next((entry for entry in shipments if entry.id == shipment_id), None)
    if shipment is None:
        raise ApiError(404, "NotFound", "Shipment not found.")
    rows = _rows(call, shipment)
    page, next_position = page_of(rows, call.cursor.position, _ITEMS_PAGE, lambda row: True)
    if next_position is None:
        return _payload("ItemData", page, None)
    parameters = {"MarketplaceId": call.seller.home.id, _SHIPMENT_ID: shipment_id}
    name = call.seller.identity.name
    token = continuation_token("getShipmentItems", name, call.now, next_position, parameters)
    return _payload("ItemData", page, token)


def _payload(name: str, data: Sequence[object], token: str | None) -> object:
    return {"payload": {name: data, "NextToken": token} if token else {name: data}}


def _check_marketplace(call: Call) -> None:
    call.query.required("MarketplaceId", among=call.seller.marketplaces)


def _shipments(call: Call) -> Sequence[InboundShipment]:
    """The seller's shipments. Sellers send goods to their home marketplace only."""
    if call.query.text("MarketplaceId") != call.seller.home.id:
        return ()
    return sorted(call.seller.journal.inbound_shipments, key=attrgetter("created", "id"))


def _selected(call: Call) -> Filter:
    """The filter by status, by id, or by both."""
    statuses = set(call.query.many("ShipmentStatusList", among=_STATUSES))
    ids = set(call.query.many("ShipmentIdList", maximum=_MAX_IDS))
    if not statuses and not ids:
        raise invalid("Either ShipmentStatusList or ShipmentIdList is required")
    return lambda shipment: (
        (not statuses or shipment.status in statuses) and (not ids or shipment.id in ids)
    )


def _shipments_in_range(call: Call) -> Filter:
    """The filter by last change and, optionally, by status."""
    in_range = _in_range(call)
    statuses = set(call.query.many("ShipmentStatusList", among=_STATUSES))
    return lambda shipment: in_range(shipment) and (not statuses or shipment.status in statuses)


def _in_range(call: Call) -> Filter:
    """The filter by last change, both ends included."""
    after = call.query.moment("LastUpdatedAfter")
    before = call.query.moment("LastUpdatedBefore")
    if after is None or before is None:
        raise invalid("LastUpdatedAfter and LastUpdatedBefore are required with DATE_RANGE")
    return lambda shipment: after <= shipment.updated <= before


def _shipment(call: Call, shipment: InboundShipment) -> dict[str, object]:
    """The shipment as the API returns it. Like Amazon's, it has no date of creation or delivery."""
    units = sum(item.shipped for item in shipment.items)
    return {
        "ShipmentId": shipment.id,
        "ShipmentName": f"FBA STA {shipment.id[-4:]}",
        "ShipFromAddress": {
            "Name": f"Sandbox Store {call.seller.identity.seed}",
            "AddressLine1": "1 Sandbox Street",
            "City": "Seattle",
            "StateOrProvinceCode": "WA",
            "CountryCode": "US",
            "PostalCode": "98101",
        },
        "DestinationFulfillmentCenterId": shipment.center,
        "ShipmentStatus": shipment.status,
        "LabelPrepType": "SELLER_LABEL",
        "AreCasesRequired": False,
        "BoxContentsSource": "INTERACTIVE",
        "EstimatedBoxContentsFee": {
            "TotalUnits": units,
            "FeePerUnit": {"CurrencyCode": "USD", "Value": 0.0},
            "TotalFee": {"CurrencyCode": "USD", "Value": 0.0},
        },
    }


def _rows(call: Call, shipment: InboundShipment) -> Sequence[dict[str, object]]:
    fillers = range(1, call.fault_injector.faults.shipment_fillers + 1)
    return [
        *(_row(shipment.id, f"FILLER-{n:05}", f"X00FILL{n:05}", 1, 1) for n in fillers),
        *(_item(shipment, item) for item in shipment.items),
    ]


def _item(shipment: InboundShipment, item: InboundShipmentItem) -> dict[str, object]:
    product = item.product
    return _row(shipment.id, product.sku, product.fn_sku, item.shipped, item.received)


def _row(shipment: str, sku: str, fn_sku: str, shipped: int, received: int) -> dict[str, object]:
    return {
        "ShipmentId": shipment,
        "SellerSKU": sku,
        "FulfillmentNetworkSKU": fn_sku,
        "QuantityShipped": shipped,
        "QuantityReceived": received,
        "QuantityInCase": 0,
        "PrepDetailsList": [{"PrepInstruction": "Labeling", "PrepOwner": "SELLER"}],
    }


_PAGING = Paging(
    "NextToken",
    lifetime=24 * 3_600,
    carries_parameters=True,
    enabled_by=("QueryType", "NEXT_TOKEN"),
)
OPERATIONS = (
    ApiOperation(
        "getShipments",
        "GET",
        "/fba/inbound/v0/shipments",
        2,
        30,
        get_shipments,
        _PAGING,
        role=FULFILLMENT,
    ),
    ApiOperation(
        "getShipmentItems",
        "GET",
        "/fba/inbound/v0/shipmentItems",
        2,
        30,
        get_shipment_items,
        _PAGING,
        role=FULFILLMENT,
    ),
    ApiOperation(
        "getShipmentItemsByShipmentId",
        "GET",
        "/fba/inbound/v0/shipments/{shipmentId}/items",
        2,
        30,
        get_shipment_items_by_shipment_id,
        role=FULFILLMENT,
    ),
)
