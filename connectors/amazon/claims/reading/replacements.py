"""Reads the replacements that Amazon sent to customers."""

from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.amazon.cells import day, text, whole
from connectors.amazon.claims.facts import Replacement
from connectors.amazon.claims.reading.reader import DatasetReader, Unusable, needed


class ReplacementRow(msgspec.Struct):
    """A row of the replacements report."""

    shipmentdate: Any = None
    sku: Any = None
    quantity: Any = None
    originalamazonorderid: Any = None
    replacementamazonorderid: Any = None
    #: The name of that column in some layouts.
    replacementcustomerorderid: Any = None


def read_replacements(reader: DatasetReader) -> Sequence[Replacement]:
    """Every replacement, the oldest first."""
    rows = reader.read("replacements", ReplacementRow, _replacement)
    return sorted(rows, key=lambda row: (row.day, row.id))


def _replacement(record: str, row: ReplacementRow) -> Replacement:
    units = whole(row.quantity)
    found = Replacement(
        day=needed(day(row.shipmentdate)),
        id=record,
        order=needed(text(row.originalamazonorderid)),
        replacement_order=text(row.replacementamazonorderid)
        or text(row.replacementcustomerorderid),
        sku=needed(text(row.sku)),
        # A replacement without a quantity is one unit: the row exists because something was sent.
        units=1 if units is None else units,
    )
    if found.units <= 0:
        raise Unusable("The replacement has no units.")
    return found
