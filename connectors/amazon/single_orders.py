"""Orders one by one, by getOrder of the Orders API 2026-01-01."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from connectors.amazon import pages
from connectors.amazon.client import TRACKING, Operation, Unknown
from connectors.amazon.context import ReadContext
from connectors.amazon.orders import search
from connectors.base import Cursor, Page, Record

GET_ORDER = Operation("getOrder", "/orders/2026-01-01/orders/{}", 0.5, 30, role=TRACKING)
AT_ONCE = 10
"""Orders of one page: a crash repeats at most their calls."""


class _Single(msgspec.Struct):
    order: msgspec.Raw


class _Place(msgspec.Struct):
    salesChannel: Any = None


_single_decoder = msgspec.json.Decoder(_Single)
_place_decoder = msgspec.json.Decoder(_Place)


async def read_order(context: ReadContext, order_id: str) -> Record:
    """The record of an order. Raises Unknown if Amazon has no such order."""
    body = await context.client.call(
        context.connection,
        GET_ORDER,
        {"includedData": search.ORDER_DATA},
        context.waiting,
        argument=order_id,
    )
    try:
        record = search.order_record(_single_decoder.decode(body).order, {})
    except (ValueError, RecursionError) as error:
        raise pages.MalformedResponse(
            f"getOrder: the response does not have the documented shape ({error})."
        ) from error
    if record.id != order_id:
        raise pages.MalformedResponse("getOrder: the response is about another order.")
    return record


def is_elsewhere(context: ReadContext, data: bytes) -> bool:
    """Whether the order belongs to a marketplace that this connection does not read."""
    channel = _place_decoder.decode(data).salesChannel
    marketplace = channel.get("marketplaceId") if isinstance(channel, Mapping) else None
    own = context.connection.settings.marketplace_ids
    return bool(marketplace) and marketplace not in own


async def read_orders_by_id(
    context: ReadContext, ids: Sequence[str], cursor: Cursor | None
) -> AsyncIterator[Page]:
    """Yield these orders. Orders that Amazon does not know, or not yet, and orders of marketplaces
    that the connection does not read are left out."""
    done = int(cursor) if cursor and cursor.isdecimal() else 0
    while True:
        batch = ids[done : done + AT_ONCE]
        records = []
        for order_id in batch:
            try:
                record = await read_order(context, order_id)
            except Unknown:
                continue
            if not is_elsewhere(context, record.data):
                records.append(record)
        done += len(batch)
        yield Page(
            records,
            cursor=Cursor(str(done)) if done < len(ids) else None,
            share=done / max(1, len(ids)),
            learned=context.client.learned(context.connection, [GET_ORDER]),
        )
        if done >= len(ids):
            return
