"""Reads the rows of datasets. A row that cannot be used is skipped and counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from connectors.base import Record, Records

Row = TypeVar("Row")
Fact = TypeVar("Fact")


class Unusable(ValueError):
    """A row lacks a value that every rule needs."""


class DatasetReader:
    """Reads the rows of some datasets as facts."""

    def __init__(self, records: Records, datasets: frozenset[str]) -> None:
        self._records = records
        self._datasets = datasets
        #: The number of rows that could not be used, by dataset.
        self.unusable: Counter[str] = Counter()

    def read(
        self,
        dataset: str,
        row_type: type[Row],
        convert: Callable[[str, Row], Fact | None],
        count_unusable: bool = True,
    ) -> Iterator[Fact]:
        """Yield the fact that `convert` returns for each record's id and row; None means that no
        rule needs the row. A second read of a dataset must not count its unusable rows again."""
        return self.read_records(
            dataset, row_type, lambda record, row: convert(record.id, row), count_unusable
        )

    def read_records(
        self,
        dataset: str,
        row_type: type[Row],
        convert: Callable[[Record, Row], Fact | None],
        count_unusable: bool = True,
    ) -> Iterator[Fact]:
        """Like `read`; `convert` gets the record instead of its id."""
        if dataset not in self._datasets:
            return
        decoder = msgspec.json.Decoder(row_type)
        for record in self._records.read(dataset):
            try:
                fact = convert(record, _decode(decoder, record))
            except (ValueError, RecursionError):
                self.unusable[dataset] += count_unusable
                continue
            if fact is not None:
                yield fact

    def visit(
        self,
        dataset: str,
        row_type: type[Row],
        handle: Callable[[str, Row], None],
        count_unusable: bool = True,
    ) -> None:
        """Call `handle` with each record's id and row."""
        for _ in self.read(dataset, row_type, handle, count_unusable):
            pass


def _decode(decoder: msgspec.json.Decoder[Row], record: Record) -> Row:
    if record.error is not None:
        raise Unusable(record.error)
    return decoder.decode(record.data)


def needed(value: Fact | None) -> Fact:
    """The value. Raises Unusable if it is None or empty."""
    if value is None or value == "":
        raise Unusable("A required cell is empty or cannot be read.")
    return value
