"""The items of inbound shipments: listed by date for many shipments at once, or by shipment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

import msgspec

from connectors.amazon import pages
from connectors.amazon.client import FULFILLMENT, Operation, Refused
from connectors.amazon.context import ReadContext
from connectors.amazon.pages import (
    MalformedResponse,
    PagedSource,
    Params,
    Slice,
    TokensExpire,
    present,
)
from connectors.amazon.profile import profile
from connectors.amazon.repeats import Endless, endless
from connectors.amazon.times import stamp
from connectors.base import Page, Record

GET_SHIPMENT_ITEMS = Operation(
    "getShipmentItemsByShipmentId",
    "/fba/inbound/v0/shipments/{}/items",
    2,
    30,
    role=FULFILLMENT,
)
LIST_SHIPMENT_ITEMS = Operation(
    "getShipmentItems", "/fba/inbound/v0/shipmentItems", 2, 30, role=FULFILLMENT
)
"""Lists items by the date of their last update; and returns the further pages of both
operations."""
FINAL = frozenset({"CLOSED", "CANCELLED", "DELETED"})
"""Statuses of shipments whose items are taken from the list by date. The items of other shipments
may still change: one that changes during the read leaves the list's time range and would be
missing."""
FEW = 10
"""Up to this many final shipments are read one by one: a list by date would hardly save a call."""
MAX_CALLS = 400
"""The most pages of a list by date. A longer list would use too much memory, and restart after a
crash."""
MAX_ITEMS = 20_000
"""The most items of one shipment, or of one list by date."""
EARLIER = timedelta(days=180)
"""A shipment may have been updated later than its items, by months: the list by date starts this
long before the window."""


class _ShipmentItem(msgspec.Struct):
    SellerSKU: str
    QuantityShipped: int
    FulfillmentNetworkSKU: str | None = ""
    QuantityReceived: int | None = 0


class _Status(msgspec.Struct):
    ShipmentStatus: str | None = None


class _ListedItem(msgspec.Struct):
    ShipmentId: str


class _ItemList(msgspec.Struct):
    ItemData: list[msgspec.Raw] = []
    NextToken: str | None = None


class _Items(msgspec.Struct):
    payload: _ItemList


_items_decoder = msgspec.json.Decoder(_Items)
_item_decoder = msgspec.json.Decoder(_ShipmentItem)
_status_decoder = msgspec.json.Decoder(_Status)
_listed_decoder = msgspec.json.Decoder(_ListedItem)


class ShipmentItems:
    """Adds items to the shipments of one read.

    A list by date returns the items of many shipments in one call (`getShipmentItems`, QueryType
    DATE_RANGE), so it is tried once per marketplace if there are more than FEW final shipments.
    Shipments that are not final or not in the list are read one by one. So are all shipments if the
    list fails or needs more calls than it saves."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._marketplace = ""
        self._tried = False
        self._listed: Mapping[str, Counter[bytes]] = {}

    async def added_to(
        self, part: Params, shipments: Sequence[Record], more: bool
    ) -> Sequence[Record]:
        """The shipments of a page with their items. `more` is whether a page follows."""
        if self._marketplace != part["MarketplaceId"]:
            self._marketplace, self._tried, self._listed = part["MarketplaceId"], False, {}
        final = sum(_is_final(shipment) for shipment in shipments)
        if not self._tried and (more or final > FEW):
            self._tried = True
            self._listed = await self._list(MAX_CALLS if more else final)
        return [await self._with_items(shipment) for shipment in shipments]

    async def _with_items(self, shipment: Record) -> Record:
        """A shipment with all its items. If they cannot be read, it becomes a failed record."""
        if shipment.error:
            return shipment
        try:
            listed = self._listed.get(shipment.id) if _is_final(shipment) else None
            items = listed or await self._read(shipment.id)
        except (Refused, Endless, MalformedResponse, TokensExpire, ValueError) as error:
            why = f"Its items cannot be read: {error}"
            return msgspec.structs.replace(shipment, error=why)
        fields = msgspec.json.decode(shipment.data, type=dict[str, object])
        # Sorted, so that the record is the same whichever operation listed the items.
        fields["items"] = [msgspec.Raw(item) for item in sorted(items.elements())]
        return msgspec.structs.replace(shipment, data=msgspec.json.encode(fields))

    async def _list(self, most: int) -> Mapping[str, Counter[bytes]]:
        """The items by shipment, in at most `most` calls; empty if more are needed."""
        context, calls, count = self._context, 0, 0
        if profile(context.connection.settings.environment).single(LIST_SHIPMENT_ITEMS.name):
            return {}
        listed: dict[str, Counter[bytes]] = {}
        try:
            async with aclosing(pages.read(context, self._by_date(), None)) as item_pages:
                async for page in item_pages:
                    calls, count = calls + 1, count + len(page.records)
                    if any(item.error for item in page.records) or count > MAX_ITEMS:
                        return {}
                    _add(listed, page)
                    # A page of one shipment: its items take as many calls as by shipment.
                    if page.cursor and (calls >= most or len(listed) < 2):
                        return {}
        except (Refused, Endless, MalformedResponse, TokensExpire):
            return {}
        return listed

    async def _read(self, shipment: str) -> Counter[bytes]:
        """The items of one shipment. Raises Refused, Endless, MalformedResponse, TokensExpire or
        ValueError."""
        items: dict[str, Counter[bytes]] = {}
        count = 0
        async with aclosing(pages.read(self._context, self._of(shipment), None)) as item_pages:
            async for page in item_pages:
                if why := next((item.error for item in page.records if item.error), None):
                    raise ValueError(why)
                _add(items, page)
                count += len(page.records)
                if count > MAX_ITEMS:
                    why = f"more than {MAX_ITEMS:,} items of one shipment"
                    raise Endless(endless(LIST_SHIPMENT_ITEMS.name, why))
        return items.get("", Counter())

    def _by_date(self) -> PagedSource:
        window = self._context.window
        part = {
            "MarketplaceId": self._marketplace,
            "QueryType": "DATE_RANGE",
            "LastUpdatedAfter": stamp(window.since - EARLIER),
            "LastUpdatedBefore": stamp(window.until),
        }
        return PagedSource(
            LIST_SHIPMENT_ITEMS,
            "NextToken",
            lambda connection, window: [part],
            _slice,
            _listed_item,
            following=next_page,
        )

    def _of(self, shipment: str) -> PagedSource:
        following = next_page({"MarketplaceId": self._marketplace})
        return PagedSource(
            GET_SHIPMENT_ITEMS,
            "NextToken",
            lambda connection, window: [{}],
            _slice,
            _item,
            following=lambda part: following,
            next_operation=LIST_SHIPMENT_ITEMS,
            argument=shipment,
        )


def _is_final(shipment: Record) -> bool:
    if shipment.error:
        return False
    return _status_decoder.decode(shipment.data).ShipmentStatus in FINAL


def next_page(part: Params) -> Params:
    """The parameters of a further page. With any other QueryType the first page would be repeated
    (github.com/saleweaver/python-amazon-sp-api/issues/1004)."""
    return {"MarketplaceId": part["MarketplaceId"], "QueryType": "NEXT_TOKEN"}


def _slice(body: bytes) -> Slice:
    payload = _items_decoder.decode(body).payload
    return Slice(payload.ItemData, payload.NextToken)


def _item(raw: msgspec.Raw, _: Params) -> Record:
    data = msgspec.json.encode(_item_decoder.decode(raw))
    return Record(data.decode(), data)


def _listed_item(raw: msgspec.Raw, params: Params) -> Record:
    """An item, with its shipment as the name."""
    shipment = present(_listed_decoder.decode(raw).ShipmentId, "ShipmentId")
    item = _item(raw, params)
    return Record(f"{shipment}/{item.id}", item.data, shipment)


def _add(items: dict[str, Counter[bytes]], page: Page) -> None:
    """Add the items of a page by shipment. Equal items of one page are several items; equal items
    of different pages are one repeated item, since a part restarts when its token expires."""
    numbers = Counter((item.name, item.data) for item in page.records)
    for (shipment, data), times in numbers.items():
        group = items.setdefault(shipment, Counter())
        group[data] = max(group[data], times)
