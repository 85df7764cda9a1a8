"""Reads storage charges, and the stock of the charged products."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, text, whole
from connectors.amazon.claims.facts import OnHand, StorageCharge
from connectors.amazon.claims.reading.reader import DatasetReader, Unusable, needed
from connectors.amazon.marketplaces import place

MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])(-[0-9]{2})?")
INBOUND = ("inboundWorkingQuantity", "inboundShippedQuantity", "inboundReceivingQuantity")


class StorageRow(msgspec.Struct):
    """A row of the monthly storage fees: a product in a warehouse."""

    fnsku: Any = None
    countrycode: Any = None
    averagequantityonhand: Any = None
    monthofcharge: Any = None
    currency: Any = None
    estimatedmonthlystoragefee: Any = None


class InventoryRow(msgspec.Struct):
    """A product of the inventory."""

    fnSku: Any = None
    sellerSku: Any = None
    totalQuantity: Any = None
    inventoryDetails: Any = None


def read_storage(reader: DatasetReader) -> Sequence[StorageCharge]:
    """Every charge, by product and month."""
    rows = reader.read("storage_fees", StorageRow, _charge)
    return sorted(rows, key=lambda row: (row.fnsku, row.month, row.id))


def _charge(record: str, row: StorageRow) -> StorageCharge:
    month = MONTH.fullmatch(text(row.monthofcharge))
    if month is None:
        raise Unusable("The month of the charge cannot be read.")
    charge = StorageCharge(
        month=date(int(month[1]), int(month[2]), 1),
        id=record,
        fnsku=needed(text(row.fnsku)),
        units=needed(decimal(row.averagequantityonhand)),
        fee=needed(decimal(row.estimatedmonthlystoragefee)),
        currency=needed(text(row.currency).upper()),
        place=place(country=text(row.countrycode)),
    )
    if charge.units < 0:
        raise Unusable("The quantity is negative.")
    return charge


def read_on_hand(reader: DatasetReader, fnskus: AbstractSet[str]) -> Mapping[str, OnHand]:
    """The units in Amazon's warehouses of these products, in any condition. The marketplaces of one
    account may list the same stock: equal figures count once, different ones are added up."""
    listed: defaultdict[str, defaultdict[str, list[OnHand]]] = defaultdict(
        lambda: defaultdict(list)
    )

    def add(record: str, row: InventoryRow) -> None:
        if (fnsku := text(row.fnSku)) in fnskus:
            marketplace = record.partition("/")[0]
            on_hand = OnHand(_units(row), text(row.sellerSku), (record,))
            listed[fnsku][marketplace].append(on_hand)

    if fnskus:
        reader.visit("inventory", InventoryRow, add)
    return {fnsku: _in_all(list(places.values())) for fnsku, places in listed.items()}


def _units(row: InventoryRow) -> int:
    details = row.inventoryDetails if isinstance(row.inventoryDetails, dict) else {}
    inbound = sum(max(whole(details.get(name)) or 0, 0) for name in INBOUND)
    return max(needed(whole(row.totalQuantity)) - inbound, 0)


def _in_all(places: Sequence[Sequence[OnHand]]) -> OnHand:
    in_each = [sum(row.units for row in rows) for rows in places]
    rows = [row for group in places for row in group]
    return OnHand(
        units=in_each[0] if len(set(in_each)) == 1 else sum(in_each),
        sku=min(row.sku for row in rows),
        ids=tuple(sorted(record for row in rows for record in row.ids)),
    )
