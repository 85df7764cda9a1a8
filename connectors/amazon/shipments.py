"""Inbound shipments with their items: what was sent, and what Amazon says that it received."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import msgspec

from connectors.amazon.answers import UNREADABLE, decode
from connectors.amazon.client import FULFILLMENT, Client, Operation, Refused
from connectors.amazon.pages import MOST_RESTARTS, SETTLED, stamp, unreadable
from connectors.base import (
    Connection,
    Cursor,
    Dataset,
    Page,
    Record,
    Retryable,
    Waiting,
    Window,
)

GET_SHIPMENTS = Operation("getShipments", "/fba/inbound/v0/shipments", 2, 30, role=FULFILLMENT)
GET_SHIPMENT_ITEMS = Operation(
    "getShipmentItemsByShipmentId",
    "/fba/inbound/v0/shipments/{}/items",
    2,
    30,
    role=FULFILLMENT,
)
REACH = timedelta(days=280)
# The whole of it at every time: a shipment does not tell when it changed, so none is ever gone
# because it was not met, and one that Amazon receives more of may not count as changed.
SHIPMENTS = Dataset("shipments", "inbound shipments", REACH, SETTLED, overlap=REACH, lasting=True)


class _Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which marketplace, the token of its next page."""

    marketplace: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None


class _Shipment(msgspec.Struct, omit_defaults=True):
    ShipmentId: str
    ShipmentName: str | None = ""
    ShipmentStatus: str | None = ""
    DestinationFulfillmentCenterId: str | None = ""


class _Shipments(msgspec.Struct):
    ShipmentData: list[msgspec.Raw] = []
    NextToken: str | None = None


class _ShipmentsAnswer(msgspec.Struct):
    payload: _Shipments


class _Item(msgspec.Struct):
    SellerSKU: str
    QuantityShipped: int
    FulfillmentNetworkSKU: str | None = ""
    QuantityReceived: int | None = 0


class _Items(msgspec.Struct):
    ItemData: list[_Item] = []
    NextToken: str | None = None


class _ItemsAnswer(msgspec.Struct):
    payload: _Items


async def read_shipments(
    client: Client,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """A page of shipments at a time, each with all of its items."""
    if not connection.marketplace_ids:
        yield Page([], share=1.0)
        return
    mark = _opened(cursor, len(connection.marketplace_ids))
    used: set[str] = set()
    restarts = 0
    while mark.marketplace < len(connection.marketplace_ids):
        try:
            found = await _list(client, connection, window, mark, waiting)
        except Refused:
            if not mark.token:
                raise
            restarts += 1
            if restarts > MOST_RESTARTS:
                raise Retryable(
                    f"{GET_SHIPMENTS.name}: the next page's token expired {restarts} times. "
                    "Try again later."
                ) from None
            mark = _Bookmark(mark.marketplace)  # the token expired: the same will come again
            used.clear()
            continue
        records = [await _whole(client, connection, raw, waiting) for raw in found.ShipmentData]
        token = found.NextToken
        if not token or token in used:
            mark = _Bookmark(mark.marketplace + 1)
            used.clear()
            restarts = 0
        else:
            mark = _Bookmark(mark.marketplace, token)
            used.add(token)
        more = mark.marketplace < len(connection.marketplace_ids)
        yield Page(
            records=records,
            cursor=Cursor(msgspec.json.encode(mark).decode()) if more else None,
            share=mark.marketplace / len(connection.marketplace_ids),
            learned=client.learned(connection, [GET_SHIPMENTS, GET_SHIPMENT_ITEMS]),
        )


async def _list(
    client: Client, connection: Connection, window: Window, mark: _Bookmark, waiting: Waiting
) -> _Shipments:
    params = {"MarketplaceId": connection.marketplace_ids[mark.marketplace]}
    if mark.token:  # with any other QueryType the first page would come for ever
        params |= {"QueryType": "NEXT_TOKEN", "NextToken": mark.token}
    else:
        params |= {
            "QueryType": "DATE_RANGE",
            "LastUpdatedAfter": stamp(window.since),
            "LastUpdatedBefore": stamp(window.until),
        }
    body = await client.call(connection, GET_SHIPMENTS, params, waiting)
    return decode(body, _ShipmentsAnswer, "shipments").payload


async def _whole(
    client: Client, connection: Connection, raw: msgspec.Raw, waiting: Waiting
) -> Record:
    try:
        bytes(raw).decode()
        shipment = msgspec.json.decode(raw, type=_Shipment)
        if not shipment.ShipmentId:
            raise ValueError("ShipmentId is empty")
    except UNREADABLE as error:
        return unreadable(raw, error)
    body = await client.call(
        connection, GET_SHIPMENT_ITEMS, {}, waiting, argument=shipment.ShipmentId
    )
    try:
        items = msgspec.json.decode(body, type=_ItemsAnswer).payload.ItemData
    except UNREADABLE as error:
        return Record(shipment.ShipmentId, body, error=f"Its items cannot be read: {error}")
    data = msgspec.json.encode({**msgspec.structs.asdict(shipment), "items": items})
    return Record(shipment.ShipmentId, data, shipment.ShipmentName or "")


def _opened(cursor: Cursor | None, marketplaces: int) -> _Bookmark:
    try:
        mark = msgspec.json.decode(cursor, type=_Bookmark) if cursor else _Bookmark()
    except ValueError:
        return _Bookmark()
    return mark if 0 <= mark.marketplace < marketplaces else _Bookmark()
