"""Inbound shipments with their items: units shipped, and units that Amazon received."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from connectors.amazon import pages
from connectors.amazon.client import FULFILLMENT, Operation
from connectors.amazon.columns import field
from connectors.amazon.context import AmazonDataset, ReadContext
from connectors.amazon.pages import PagedSource, Slice, by_pages, present
from connectors.amazon.shipment_items import (
    GET_SHIPMENT_ITEMS,
    LIST_SHIPMENT_ITEMS,
    ShipmentItems,
    next_page,
)
from connectors.amazon.times import SETTLED, stamp
from connectors.base import Connection, Cursor, Dataset, Page, Record, Window

GET_SHIPMENTS = Operation("getShipments", "/fba/inbound/v0/shipments", 2, 30, role=FULFILLMENT)
REACH = timedelta(days=280)
# The whole reach is read at every sync, since a shipment has no date of its last change: a missing
# one is not gone, and one that Amazon receives more of may not count as updated.
COLUMNS = (
    field("ShipmentId", "Shipment"),
    field("ShipmentName", "Name"),
    field("ShipmentStatus", "Status"),
    field("DestinationFulfillmentCenterId", "Destination"),
    field("items", "Items"),
)
SHIPMENTS = Dataset(
    *("shipments", "inbound shipments", REACH, SETTLED),
    overlap=REACH,
    lasting=True,
    columns=COLUMNS,
)


class _Shipment(msgspec.Struct, omit_defaults=True):
    ShipmentId: str
    ShipmentName: str | None = ""
    ShipmentStatus: str | None = ""
    DestinationFulfillmentCenterId: str | None = ""


class _ShipmentList(msgspec.Struct):
    ShipmentData: list[msgspec.Raw] = []
    NextToken: str | None = None


class _Shipments(msgspec.Struct):
    payload: _ShipmentList


_shipments_decoder = msgspec.json.Decoder(_Shipments)
_shipment_decoder = msgspec.json.Decoder(_Shipment)


def read_shipments(context: ReadContext, cursor: Cursor | None) -> AsyncIterator[Page]:
    """Yield pages of shipments, each shipment with all its items. If the items of one cannot be
    read, only that shipment fails."""
    items = ShipmentItems(context)
    source = msgspec.structs.replace(SOURCE, completed=items.added_to)
    return pages.read(context, source, _current(cursor))


def _current(cursor: Cursor | None) -> Cursor | None:
    """A cursor in the current form. Older versions called the part `marketplace`."""
    try:
        fields = msgspec.json.decode(cursor, type=dict[str, object]) if cursor else {}
    except ValueError:
        return None
    if "marketplace" in fields:
        fields["part"] = fields.pop("marketplace")
    return Cursor(msgspec.json.encode(fields).decode())


def _parts(connection: Connection, window: Window) -> Sequence[Mapping[str, str]]:
    return [
        {
            "MarketplaceId": marketplace,
            "QueryType": "DATE_RANGE",
            "LastUpdatedAfter": stamp(window.since),
            "LastUpdatedBefore": stamp(window.until),
        }
        for marketplace in connection.settings.marketplace_ids
    ]


def _slice(body: bytes) -> Slice:
    payload = _shipments_decoder.decode(body).payload
    return Slice(payload.ShipmentData, payload.NextToken)


def _record(raw: msgspec.Raw, _: Mapping[str, str]) -> Record:
    """The record of a shipment, without its sender's address, and without items yet."""
    shipment = _shipment_decoder.decode(raw)
    key = present(shipment.ShipmentId, "ShipmentId")
    data = msgspec.json.encode(msgspec.structs.asdict(shipment))
    return Record(key, data, shipment.ShipmentName or "")


SOURCE = PagedSource(
    GET_SHIPMENTS,
    "NextToken",
    _parts,
    _slice,
    _record,
    following=next_page,
    others=(GET_SHIPMENT_ITEMS, LIST_SHIPMENT_ITEMS),
)
DATASET = AmazonDataset(SHIPMENTS, read_shipments, by_pages(SOURCE))
