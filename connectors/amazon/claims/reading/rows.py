"""The rows of a dataset. One that cannot be used costs itself only, and is counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from connectors.base import Record, Records

Row = TypeVar("Row")
Made = TypeVar("Made")


class Unusable(ValueError):
    """A row lacks what every rule would need of it."""


class Rows:
    """Reads the wanted datasets; `unusable` counts, by dataset, what could not be used."""

    def __init__(self, records: Records, wanted: frozenset[str]) -> None:
        self._records = records
        self._wanted = wanted
        self.unusable: Counter[str] = Counter()

    def read(
        self,
        dataset: str,
        row: type[Row],
        make: Callable[[str, Row], Made | None],
        again: bool = False,
    ) -> Iterator[Made]:
        """What `make` makes of each row and its record's id; None means that nobody needs it. What
        cannot be used is not counted `again`."""
        if dataset not in self._wanted:
            return
        decoder = msgspec.json.Decoder(row)
        for record in self._records.read(dataset):
            try:
                made = make(record.id, _decode(decoder, record))
            except (ValueError, RecursionError):
                self.unusable[dataset] += not again
                continue
            if made is not None:
                yield made


def _decode(decoder: msgspec.json.Decoder[Row], record: Record) -> Row:
    if record.error is not None:
        raise Unusable(record.error)
    return decoder.decode(record.data)


def needed(value: Made | None) -> Made:
    """Raises Unusable if there is no value."""
    if value is None or value == "":
        raise Unusable("A cell that is needed is empty or cannot be read.")
    return value
