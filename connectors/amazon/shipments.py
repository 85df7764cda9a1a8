"""Inbound shipments with their items: what was sent, and what Amazon says that it received."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated

import msgspec

from connectors.amazon.answers import UNREADABLE, decode
from connectors.amazon.client import FULFILLMENT, Client, Expired, Operation, Refused
from connectors.amazon.pages import MOST_RESTARTS, SETTLED, stamp, unreadable
from connectors.amazon.profile import profile
from connectors.amazon.repeats import Endless, Repeats, endless
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
MORE_SHIPMENT_ITEMS = Operation(
    "getShipmentItems", "/fba/inbound/v0/shipmentItems", 2, 30, role=FULFILLMENT
)
"""Goes on where getShipmentItemsByShipmentId gave a token: an answer holds 200 items at most."""
LEARNED = (GET_SHIPMENTS, GET_SHIPMENT_ITEMS, MORE_SHIPMENT_ITEMS)
MOST_ITEMS = 20_000
"""Of one shipment. Amazon allows far fewer products in one."""
REACH = timedelta(days=280)
# The whole of it at every time: a shipment does not tell when it changed, so none is ever gone
# because it was not met, and one that Amazon receives more of may not count as changed.
SHIPMENTS = Dataset("shipments", "inbound shipments", REACH, SETTLED, overlap=REACH, lasting=True)


class _Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which marketplace, the token of its next page; and why a marketplace was not read to its
    end (`cut`), if one was not."""

    marketplace: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None
    cut: str = ""


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
    """A page of shipments at a time, each with all of its items. Raises Endless after the last
    page where a marketplace named further pages without end."""
    if not connection.settings.marketplace_ids:
        yield Page([], share=1.0)
        return
    async for page in _Reading(client, connection, window, cursor, waiting).pages():
        yield page


class _Reading:
    """One reading: `repeats` is of the marketplace in work."""

    def __init__(
        self,
        client: Client,
        connection: Connection,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> None:
        self._client = client
        self._connection = connection
        self._window = window
        self._waiting = waiting
        self._places = connection.settings.marketplace_ids
        self._mark = _opened(cursor, len(self._places))
        self._repeats = Repeats()
        self._restarts = 0
        self._single = profile(connection.settings.environment).single

    async def pages(self) -> AsyncIterator[Page]:
        while self._mark.marketplace < len(self._places):
            found = await self._listed()
            records = [await self._whole(raw) for raw in found.ShipmentData]
            self._turn(found.NextToken, records)
            yield self._page(records)
        if self._mark.cut:
            raise Endless(self._mark.cut)

    async def _listed(self) -> _Shipments:
        """The next page. A token that expired means that its marketplace is read again from the
        start: the same shipments come again."""
        while True:
            try:
                return await self._list()
            except Refused as refused:
                if not self._mark.token:
                    raise
                self._restarts += 1
                if self._restarts > (MOST_RESTARTS if isinstance(refused, Expired) else 1):
                    raise _too_often(GET_SHIPMENTS, self._restarts, refused) from None
                self._mark = msgspec.structs.replace(self._mark, token=None)
                self._repeats = Repeats()

    async def _list(self) -> _Shipments:
        params = {"MarketplaceId": self._places[self._mark.marketplace]}
        if self._mark.token:  # with any other QueryType the first page would come for ever
            params |= {"QueryType": "NEXT_TOKEN", "NextToken": self._mark.token}
        else:
            params |= {
                "QueryType": "DATE_RANGE",
                "LastUpdatedAfter": stamp(self._window.since),
                "LastUpdatedBefore": stamp(self._window.until),
            }
        body = await self._client.call(self._connection, GET_SHIPMENTS, params, self._waiting)
        return decode(body, _ShipmentsAnswer, "shipments").payload

    def _turn(self, token: str | None, records: Sequence[Record]) -> None:
        """The bookmark goes behind the page that was read."""
        mark = self._mark
        more = token and not self._single(GET_SHIPMENTS.name)
        why = self._repeats.note(each.id for each in records) if more else ""
        if more and not why:
            self._mark = msgspec.structs.replace(mark, token=token)
            return
        cut = mark.cut or (endless(GET_SHIPMENTS.name, why) if why else "")
        self._mark = _Bookmark(mark.marketplace + 1, cut=cut)
        self._repeats, self._restarts = Repeats(), 0

    def _page(self, records: Sequence[Record]) -> Page:
        mark = self._mark
        more = mark.marketplace < len(self._places) or mark.cut
        return Page(
            records=records,
            cursor=Cursor(msgspec.json.encode(mark).decode()) if more else None,
            share=mark.marketplace / len(self._places),
            learned=self._client.learned(self._connection, LEARNED),
        )

    # Items --------------------------------------------------------------------------------------

    async def _whole(self, raw: msgspec.Raw) -> Record:
        """A shipment with all its items. One whose items cannot be read costs itself only."""
        try:
            bytes(raw).decode()
            shipment = msgspec.json.decode(raw, type=_Shipment)
            if not shipment.ShipmentId:
                raise ValueError("ShipmentId is empty")
        except UNREADABLE as error:
            return unreadable(raw, error)
        try:
            items = await self._items(shipment.ShipmentId)
        except (*UNREADABLE, Refused, Endless) as error:
            why = f"Its items cannot be read: {error}"
            return Record(shipment.ShipmentId, bytes(raw), shipment.ShipmentName or "", why)
        data = msgspec.json.encode({**msgspec.structs.asdict(shipment), "items": items})
        return Record(shipment.ShipmentId, data, shipment.ShipmentName or "")

    async def _items(self, shipment: str) -> list[_Item]:
        """All items, 200 at a time. Raises Refused, Endless, or ValueError."""
        for last in (False, True):
            try:
                return await self._all_items(shipment)
            except Expired:
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _all_items(self, shipment: str) -> list[_Item]:
        found = await self._call_items(GET_SHIPMENT_ITEMS, {}, shipment)
        items, repeats = list(found.ItemData), Repeats()
        place = self._places[self._mark.marketplace]
        more = not self._single(GET_SHIPMENT_ITEMS.name)
        while more and found.NextToken:
            if why := repeats.note(repr(each) for each in found.ItemData):
                raise Endless(endless(MORE_SHIPMENT_ITEMS.name, why))
            token = {"MarketplaceId": place, "QueryType": "NEXT_TOKEN"}
            token["NextToken"] = found.NextToken
            found = await self._call_items(MORE_SHIPMENT_ITEMS, token)
            items += found.ItemData
            if len(items) > MOST_ITEMS:
                why = f"more than {MOST_ITEMS:,} items of one shipment"
                raise Endless(endless(MORE_SHIPMENT_ITEMS.name, why))
        return list({repr(each): each for each in items}.values()) if repeats.count else items

    async def _call_items(
        self, operation: Operation, params: Mapping[str, str], shipment: str = ""
    ) -> _Items:
        body = await self._client.call(
            self._connection, operation, params, self._waiting, argument=shipment
        )
        return msgspec.json.decode(body, type=_ItemsAnswer).payload


def _too_often(operation: Operation, times: int, refused: Refused) -> Exception:
    if not isinstance(refused, Expired):
        return refused
    text = f"{operation.name}: the next page's token expired {times} times. Try again later."
    return Retryable(text)


def _opened(cursor: Cursor | None, marketplaces: int) -> _Bookmark:
    try:
        mark = msgspec.json.decode(cursor, type=_Bookmark) if cursor else _Bookmark()
    except ValueError:
        return _Bookmark()
    ended = mark.marketplace == marketplaces and mark.cut
    return mark if mark.marketplace < marketplaces or ended else _Bookmark()
