"""Goods on their way: customer returns, removals that the seller asked for, inbound shipments."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from connectors.amazon.cells import day, label, text, whole
from connectors.amazon.claims.books import Consignment, Removal, Return
from connectors.amazon.claims.reading.rows import Rows, Unusable, needed


class ReturnRow(msgspec.Struct):
    """A row's cells."""

    returndate: Any = None
    orderid: Any = None
    sku: Any = None
    fnsku: Any = None
    quantity: Any = None
    detaileddisposition: Any = None
    licenseplatenumber: Any = None


class RemovalRow(msgspec.Struct):
    """A row's cells."""

    requestdate: Any = None
    lastupdateddate: Any = None
    ordertype: Any = None
    fnsku: Any = None
    disposedquantity: Any = None
    inprocessquantity: Any = None


class ShipmentRow(msgspec.Struct):
    """A shipment with its items, and when it was first seen and last seen to change."""

    ShipmentId: Any = None
    ShipmentStatus: Any = None
    items: Any = None
    firstSeen: Any = None
    lastChanged: Any = None


def read_returns(rows: Rows) -> Sequence[Return]:
    """Each once. A licence plate may come with two dates, of which the last counts."""
    plated: dict[tuple[str, str, str], Return] = {}
    others = []
    for plate, found in rows.read("returns", ReturnRow, _return):
        where = (plate, found.order, found.sku)
        if not plate:
            others.append(found)
        elif where not in plated or _when(plated[where]) < _when(found):
            plated[where] = found
    return sorted([*plated.values(), *others], key=_when)


def _when(found: Return) -> tuple[date, str, str]:
    return found.day, found.at, found.id


def _return(record: str, row: ReturnRow) -> tuple[str, Return]:
    units = whole(row.quantity)
    found = Return(
        day=needed(day(row.returndate)),
        at=text(row.returndate),
        id=record,
        order=text(row.orderid),
        sku=text(row.sku),
        fnsku=text(row.fnsku),
        # A return that does not tell how many is one unit: not none.
        units=1 if units is None else units,
        disposition=label(text(row.detaileddisposition)),
    )
    if found.units <= 0:
        raise Unusable("A return of nothing.")
    return text(row.licenseplatenumber), found


def read_removals(rows: Rows) -> Sequence[Removal]:
    found = rows.read("removals", RemovalRow, _removal)
    return sorted(found, key=lambda each: (each.days, each.id))


def _removal(record: str, row: RemovalRow) -> Removal | None:
    if not label(text(row.ordertype)).startswith("dispos"):
        return None
    # The ledger may tell of a disposal before its order does.
    units = needed(whole(row.disposedquantity)) + max(whole(row.inprocessquantity) or 0, 0)
    days = tuple(each for each in (day(row.requestdate), day(row.lastupdateddate)) if each)
    needed(days[0] if days else None)
    return Removal(record, needed(text(row.fnsku)), days, units) if units > 0 else None


def read_shipments(rows: Rows) -> Sequence[Consignment]:
    newest: dict[str, tuple[tuple[str, str], list[Consignment]]] = {}
    for name, rank, found in rows.read("shipments", ShipmentRow, _shipment):
        if name not in newest or newest[name][0] < rank:
            newest[name] = (rank, found)
    every = [each for _, found in newest.values() for each in found]
    return sorted(every, key=lambda each: (each.shipment, each.fnsku, each.sku))


def _shipment(record: str, row: ShipmentRow) -> tuple[str, tuple[str, str], list[Consignment]]:
    name = needed(text(row.ShipmentId)).upper()
    seen, changed = day(row.firstSeen), day(row.lastChanged)
    products: dict[str, tuple[str, str, int, int]] = {}
    for item in row.items if isinstance(row.items, list) else ():
        if not isinstance(item, dict):
            continue
        fnsku, sku = text(item.get("FulfillmentNetworkSKU")), text(item.get("SellerSKU"))
        shipped, received = whole(item.get("QuantityShipped")), whole(item.get("QuantityReceived"))
        if shipped is None or not (fnsku or sku):
            continue
        *_, before, here = products.get(fnsku or sku, (0, 0))
        counts = (before + max(shipped, 0), here + max(received or 0, 0))
        products[fnsku or sku] = (fnsku, sku, *counts)
    status = label(text(row.ShipmentStatus))
    found = [
        Consignment(name, fnsku, sku, (record,), status, shipped, received, seen, changed)
        for fnsku, sku, shipped, received in products.values()
    ]
    return name, (text(row.lastChanged), record), found
