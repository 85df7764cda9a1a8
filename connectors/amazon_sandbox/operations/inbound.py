"""Fulfillment Inbound v0: shipments to Amazon's warehouses, and what is in them."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from connectors.amazon_sandbox.answers import Refused, invalid
from connectors.amazon_sandbox.generator.book import Delivery, Item
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import take, token_for

_PAGE = 50
_ITEMS_PAGE = 200
_OF_SHIPMENT = "ShipmentId"  # in a token only: what it goes on with
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
_MOST_IDS = 999


def get_shipments(call: Call) -> object:
    _check_marketplace(call)
    kind = call.query.required("QueryType", among=("SHIPMENT", "DATE_RANGE", "NEXT_TOKEN"))
    if kind == "NEXT_TOKEN":
        raise invalid("Missing required parameter [NextToken]")
    keep = _between(call) if kind == "DATE_RANGE" else _listed(call)
    found, following = take(_shipments(call), call.cursor.position, _PAGE, keep)
    data: dict[str, object] = {"ShipmentData": [_shipment(call, each) for each in found]}
    token = call.token(following)
    return {"payload": {**data, "NextToken": token} if token else data}


def get_shipment_items(call: Call) -> object:
    _check_marketplace(call)
    if call.cursor.values and (shipment := call.query.text(_OF_SHIPMENT)):
        return _items_of(call, shipment)
    if call.query.required("QueryType", among=("DATE_RANGE", "NEXT_TOKEN")) == "NEXT_TOKEN":
        raise invalid("Missing required parameter [NextToken]")
    keep = _between(call)
    rows = [item for each in _shipments(call) if keep(each) for item in _goods(call, each)]
    found, following = take(rows, call.cursor.position, _PAGE, lambda row: True)
    data: dict[str, object] = {"ItemData": found}
    token = call.token(following)
    return {"payload": {**data, "NextToken": token} if token else data}


def get_shipment_items_by_shipment_id(call: Call) -> object:
    """The first items; the others by getShipmentItems, with the token."""
    return _items_of(call, call.path["shipmentId"])


def _items_of(call: Call, shipment: str) -> object:
    delivery = next((each for each in call.seller.book.deliveries if each.id == shipment), None)
    if delivery is None:
        raise Refused(404, "NotFound", "There is no such shipment.")
    rows = _goods(call, delivery)
    found, following = take(rows, call.cursor.position, _ITEMS_PAGE, lambda row: True)
    data: dict[str, object] = {"ItemData": found}
    if following is None:
        return {"payload": data}
    values = {"MarketplaceId": call.seller.home.id, _OF_SHIPMENT: shipment}
    name = call.seller.identity.name
    token = token_for("getShipmentItems", name, call.now, following, values)
    return {"payload": {**data, "NextToken": token}}


def _check_marketplace(call: Call) -> None:
    call.query.required("MarketplaceId", among=call.seller.marketplaces)


def _shipments(call: Call) -> Sequence[Delivery]:
    """The seller stores all his goods in his home marketplace."""
    if call.query.text("MarketplaceId") != call.seller.home.id:
        return ()
    return sorted(call.seller.book.deliveries, key=attrgetter("created", "id"))


def _listed(call: Call) -> Callable[[Delivery], bool]:
    """By status or by id, or both: one of them there must be."""
    statuses = set(call.query.many("ShipmentStatusList", among=_STATUSES))
    ids = set(call.query.many("ShipmentIdList", most=_MOST_IDS))
    if not statuses and not ids:
        raise invalid("Either ShipmentStatusList or ShipmentIdList is required")
    return lambda each: (not statuses or each.status in statuses) and (not ids or each.id in ids)


def _between(call: Call) -> Callable[[Delivery], bool]:
    """By the last change. A list of statuses narrows this down too."""
    after = call.query.moment("LastUpdatedAfter")
    before = call.query.moment("LastUpdatedBefore")
    if after is None or before is None:
        raise invalid("LastUpdatedAfter and LastUpdatedBefore are required with DATE_RANGE")
    statuses = set(call.query.many("ShipmentStatusList", among=_STATUSES))
    return lambda each: (
        after <= each.updated <= before and (not statuses or each.status in statuses)
    )


def _shipment(call: Call, delivery: Delivery) -> dict[str, object]:
    """There is no date in it: not of its creation, not of its delivery."""
    units = sum(item.shipped for item in delivery.items)
    return {
        "ShipmentId": delivery.id,
        "ShipmentName": f"FBA STA {delivery.id[-4:]}",
        "ShipFromAddress": {
            "Name": f"Sandbox Store {call.seller.identity.seed}",
            "AddressLine1": "1 Sandbox Street",
            "City": "Seattle",
            "StateOrProvinceCode": "WA",
            "CountryCode": "US",
            "PostalCode": "98101",
        },
        "DestinationFulfillmentCenterId": delivery.center,
        "ShipmentStatus": delivery.status,
        "LabelPrepType": "SELLER_LABEL",
        "AreCasesRequired": False,
        "BoxContentsSource": "INTERACTIVE",
        "EstimatedBoxContentsFee": {
            "TotalUnits": units,
            "FeePerUnit": {"CurrencyCode": "USD", "Value": 0.0},
            "TotalFee": {"CurrencyCode": "USD", "Value": 0.0},
        },
    }


def _goods(call: Call, delivery: Delivery) -> Sequence[dict[str, object]]:
    fillers = range(1, call.weather.faults.shipment_fillers + 1)
    return [
        *(_row(delivery.id, f"FILLER-{n:05}", f"X00FILL{n:05}", 1, 1) for n in fillers),
        *(_item(delivery, each) for each in delivery.items),
    ]


def _item(delivery: Delivery, item: Item) -> dict[str, object]:
    product = item.product
    return _row(delivery.id, product.sku, product.fn_sku, item.shipped, item.received)


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
