"""Reads movements of goods: customer returns, the seller's disposal orders, inbound shipments."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from connectors.amazon.cells import day, label, text, whole
from connectors.amazon.claims.facts import InboundItem, Removal, Return
from connectors.amazon.claims.reading.reader import DatasetReader, Unusable, needed
from connectors.amazon.marketplaces import place
from connectors.base import Record

EARLIEST = datetime.min.replace(tzinfo=UTC)
Rank = tuple[datetime, str]
"""When a record last changed, and its id."""


class ReturnRow(msgspec.Struct):
    """A row of the returns report."""

    returndate: Any = None
    orderid: Any = None
    sku: Any = None
    fnsku: Any = None
    quantity: Any = None
    detaileddisposition: Any = None
    licenseplatenumber: Any = None


class RemovalRow(msgspec.Struct):
    """A row of the removal orders."""

    requestdate: Any = None
    lastupdateddate: Any = None
    orderid: Any = None
    ordertype: Any = None
    orderstatus: Any = None
    sku: Any = None
    fnsku: Any = None
    disposition: Any = None
    requestedquantity: Any = None
    cancelledquantity: Any = None
    disposedquantity: Any = None
    shippedquantity: Any = None
    inprocessquantity: Any = None
    currency: Any = None


class ShipmentRow(msgspec.Struct):
    """A shipment with its items."""

    ShipmentId: Any = None
    ShipmentStatus: Any = None
    ShipmentName: Any = None
    items: Any = None


def read_returns(reader: DatasetReader) -> Sequence[Return]:
    """Every return once. A licence plate may occur with two dates: the later row counts."""
    by_plate: dict[tuple[str, str, str], Return] = {}
    without_plate = []
    for plate, row in reader.read("returns", ReturnRow, _return):
        unit = (plate, row.order, row.sku)
        if not plate:
            without_plate.append(row)
        elif unit not in by_plate or _order(by_plate[unit]) < _order(row):
            by_plate[unit] = row
    return sorted([*by_plate.values(), *without_plate], key=_order)


def _order(row: Return) -> tuple[date, str, str]:
    return row.day, row.at, row.id


def _return(record: str, row: ReturnRow) -> tuple[str, Return]:
    units = whole(row.quantity)
    found = Return(
        day=needed(day(row.returndate)),
        at=text(row.returndate),
        id=record,
        order=text(row.orderid),
        sku=text(row.sku),
        fnsku=text(row.fnsku),
        # A return without a quantity is one unit: the row exists because something came back.
        units=1 if units is None else units,
        disposition=label(text(row.detaileddisposition)),
    )
    if found.units <= 0:
        raise Unusable("The return has no units.")
    return text(row.licenseplatenumber), found


def read_removals(reader: DatasetReader) -> Sequence[Removal]:
    """Orders to dispose of units or to return them. Others, such as liquidations, are left out."""
    removals = reader.read("removals", RemovalRow, _removal)
    return sorted(removals, key=lambda removal: (removal.days, removal.id))


def _removal(record: str, row: RemovalRow) -> Removal | None:
    kind = label(text(row.ordertype))
    disposal = kind.startswith("dispos")
    if not disposal and not kind.startswith("return"):
        return None
    dates = (day(row.requestdate), day(row.lastupdateddate))
    days = tuple(date for date in dates if date)
    needed(days[0] if days else None)
    requested, missing = _missing_of(row, disposal)
    # The ledger may show a disposal before its order counts it as disposed.
    disposed = needed(whole(row.disposedquantity)) if disposal else 0
    return Removal(
        id=record,
        order=text(row.orderid),
        fnsku=needed(text(row.fnsku)),
        sku=text(row.sku),
        disposition=label(text(row.disposition)),
        disposal=disposal,
        completed=label(text(row.orderstatus)) == "completed",
        days=days,
        place=place(currency=text(row.currency)),
        disposed=disposed + max(whole(row.inprocessquantity) or 0, 0) if disposal else 0,
        requested=requested,
        missing=missing,
        shipped=whole(row.shippedquantity),
    )


def _missing_of(row: RemovalRow, disposal: bool) -> tuple[int, int]:
    """Requested units, and those of them that no figure accounts for. A figure that is missing or
    cannot be read is not zero: no unit then counts as missing."""
    requested = whole(row.requestedquantity)
    done = whole(row.disposedquantity if disposal else row.shippedquantity)
    others = (
        row.shippedquantity if disposal else row.disposedquantity,
        row.cancelledquantity,
        row.inprocessquantity,
    )
    figures = [0 if text(cell) == "" else whole(cell) for cell in others]
    if requested is None or done is None or None in figures:
        return max(requested or 0, 0), 0
    accounted = max(done, 0) + sum(max(figure or 0, 0) for figure in figures)
    return max(requested, 0), max(requested - accounted, 0)


def read_inbound(reader: DatasetReader) -> Sequence[InboundItem]:
    """The items of every shipment, from its newest record."""
    newest: dict[str, tuple[Rank, list[InboundItem]]] = {}
    for shipment, rank, items in reader.read_records("shipments", ShipmentRow, _shipment):
        if shipment not in newest or newest[shipment][0] < rank:
            newest[shipment] = (rank, items)
    every_item = [item for _, items in newest.values() for item in items]
    return sorted(every_item, key=lambda item: (item.shipment, item.fnsku, item.sku))


def _shipment(record: Record, row: ShipmentRow) -> tuple[str, Rank, list[InboundItem]]:
    """The shipment's id, how new its record is, and one item for each product."""
    shipment = needed(text(row.ShipmentId)).upper()
    seen, changed = record.first_seen, record.changed
    products: dict[str, tuple[str, str, int, int]] = {}
    for item in row.items if isinstance(row.items, list) else ():
        if not isinstance(item, dict):
            continue
        fnsku, sku = text(item.get("FulfillmentNetworkSKU")), text(item.get("SellerSKU"))
        shipped, received = whole(item.get("QuantityShipped")), whole(item.get("QuantityReceived"))
        if shipped is None or not (fnsku or sku):
            continue
        *_, shipped_before, received_before = products.get(fnsku or sku, (0, 0))
        products[fnsku or sku] = (
            fnsku,
            sku,
            shipped_before + max(shipped, 0),
            received_before + max(received or 0, 0),
        )
    items = [
        InboundItem(
            shipment=shipment,
            name=text(row.ShipmentName),
            fnsku=fnsku,
            sku=sku,
            ids=(record.id,),
            status=label(text(row.ShipmentStatus)),
            shipped=shipped,
            received=received,
            seen=seen and seen.date(),
            changed=changed and changed.date(),
        )
        for fnsku, sku, shipped, received in products.values()
    ]
    return shipment, (changed or EARLIEST, record.id), items
