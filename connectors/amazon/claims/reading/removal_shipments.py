"""Reads the shipments of removal orders to the seller."""

from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.amazon.cells import day, label, text, whole
from connectors.amazon.claims.facts import RemovalShipment
from connectors.amazon.claims.reading.reader import DatasetReader, needed


class RemovalShipmentRow(msgspec.Struct):
    """A row of the removal shipments."""

    orderid: Any = None
    shipmentdate: Any = None
    sku: Any = None
    fnsku: Any = None
    disposition: Any = None
    shippedquantity: Any = None
    carrier: Any = None
    trackingnumber: Any = None
    removalordertype: Any = None


def read_removal_shipments(reader: DatasetReader) -> Sequence[RemovalShipment]:
    """Shipments to the seller, the oldest first. Others, such as disposals, are left out."""
    return sorted(reader.read("removal_shipments", RemovalShipmentRow, _removal_shipment))


def _removal_shipment(record: str, row: RemovalShipmentRow) -> RemovalShipment | None:
    if not needed(label(text(row.removalordertype))).startswith("return"):
        return None
    units = needed(whole(row.shippedquantity))
    if units <= 0:
        return None
    return RemovalShipment(
        day=needed(day(row.shipmentdate)),
        order=needed(text(row.orderid)),
        fnsku=needed(text(row.fnsku)),
        disposition=label(text(row.disposition)),
        id=record,
        sku=text(row.sku),
        units=units,
        carrier=text(row.carrier),
        tracking=text(row.trackingnumber),
    )
