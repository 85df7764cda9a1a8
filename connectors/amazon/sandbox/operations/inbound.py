"""Fulfillment Inbound v0: shipments to Amazon's warehouses, and what is in them."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from connectors.amazon.sandbox.answers import Refused, invalid
from connectors.amazon.sandbox.generator.book import Delivery, Item
from connectors.amazon.sandbox.operations.call import Call
from connectors.amazon.sandbox.operations.paging import take

_PAGE = 50
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
    if call.query.required("QueryType", among=("DATE_RANGE", "NEXT_TOKEN")) == "NEXT_TOKEN":
        raise invalid("Missing required parameter [NextToken]")
    keep = _between(call)
    rows = [(each, item) for each in _shipments(call) if keep(each) for item in each.items]
    found, following = take(rows, call.cursor.position, _PAGE, lambda row: True)
    data: dict[str, object] = {"ItemData": [_item(*row) for row in found]}
    token = call.token(following)
    return {"payload": {**data, "NextToken": token} if token else data}


def get_shipment_items_by_shipment_id(call: Call) -> object:
    for each in call.seller.book.deliveries:
        if each.id == call.path["shipmentId"]:
            return {"payload": {"ItemData": [_item(each, item) for item in each.items]}}
    raise Refused(404, "NotFound", "There is no such shipment.")


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


def _item(delivery: Delivery, item: Item) -> dict[str, object]:
    return {
        "ShipmentId": delivery.id,
        "SellerSKU": item.product.sku,
        "FulfillmentNetworkSKU": item.product.fn_sku,
        "QuantityShipped": item.shipped,
        "QuantityReceived": item.received,
        "QuantityInCase": 0,
        "PrepDetailsList": [{"PrepInstruction": "Labeling", "PrepOwner": "SELLER"}],
    }
