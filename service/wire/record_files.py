"""Files of records: NDJSON with the objects of the listing, CSV with a connector's columns."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from service.store.selections import Row
from service.wire.csv_files import csv_lines

NDJSON = "application/x-ndjson"
BOM = "\ufeff".encode()
"""Begins each CSV file, so that spreadsheets read it as UTF-8."""
FIRST_COLUMNS = ("id", "connectionId", "updatedAt")
WHOLE = "data"
"""The column that contains the whole record as JSON."""

_NO_FIELD = msgspec.Raw(b"null")

Path = tuple[str, ...]
"""A path to a nested field: one field name per level."""


class RecordFile(Protocol):
    """Converts records to the bytes of a file."""

    @property
    def media_type(self) -> str: ...

    @property
    def suffix(self) -> str:
        """The suffix of the file's name."""

    @property
    def at_once(self) -> int:
        """Records that are encoded before other tasks run: about 50 µs of work."""

    @property
    def columns(self) -> Sequence[str]:
        """The column names in the header; empty for a file without a header."""

    def head(self) -> bytes:
        """The header of the file; empty if it has none."""

    def lines(self, rows: Sequence[Row]) -> bytes: ...


class NdjsonFile:
    """One object on each line, with the fields of `RecordOut`."""

    media_type = NDJSON
    suffix = "ndjson"
    at_once = 10
    columns: Sequence[str] = ()

    def head(self) -> bytes:
        return b""

    def lines(self, rows: Sequence[Row]) -> bytes:
        return b"".join(map(_object, rows))


class CsvFile:
    """One row for each record. A value that is not a scalar is a cell of JSON."""

    media_type = "text/csv; charset=utf-8"
    suffix = "csv"
    at_once = 4

    def __init__(self, columns: Mapping[str, str], whole: bool = False) -> None:
        """`columns` are the paths of values in the data, by the names of columns. `whole` adds a
        last column with all of the data as JSON."""
        taken = (*FIRST_COLUMNS, WHOLE)
        fields = {name: path for name, path in columns.items() if name not in taken}
        self._whole = whole
        self._fields = _decoder(tuple(tuple(path.split(".")) for path in fields.values()))
        self.columns = (*FIRST_COLUMNS, *fields, *([WHOLE] if whole else []))

    def head(self) -> bytes:
        return BOM + csv_lines([self.columns])

    def lines(self, rows: Sequence[Row]) -> bytes:
        return csv_lines([self._cells(row) for row in rows])

    def _cells(self, row: Row) -> list[str]:
        connection_id, record_id, _, updated_at, data = row
        cells = [record_id, connection_id, _shown(updated_at)]
        cells += map(_cell, self._fields.decode(data))
        return [*cells, data] if self._whole else cells


def _object(row: Row) -> bytes:
    connection_id, record_id, sync_id, updated_at, data = row
    if "\n" in data or "\r" in data:  # between the tokens of JSON; a string has none
        data = data.replace("\n", " ").replace("\r", " ")
    encoded = msgspec.json.encode
    return b'{"id":%b,"connectionId":%b,"syncId":%b,"updatedAt":"%b","data":%b}\n' % (
        encoded(record_id),
        encoded(connection_id),
        encoded(sync_id),
        _shown(updated_at).encode(),
        data.encode(),
    )


def _shown(stamp: str) -> str:
    """A time from the database, truncated to milliseconds."""
    return f"{stamp[:23]}Z"


class _Fields:
    """Decodes the values at some paths of an object and skips the others."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._size = len(paths)
        names = list(dict.fromkeys(path[0] for path in paths))
        keys = [f"field_{number}" for number in range(len(names))]
        shape = msgspec.defstruct(
            "Fields",
            [(key, msgspec.Raw, _NO_FIELD) for key in keys],
            rename=dict(zip(keys, names, strict=True)),
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape)
        #: Of each field: the positions of the values that are the field, and of those inside it.
        self._places: list[tuple[list[int], list[int], _Fields | None]] = []
        for name in names:
            own = [number for number, path in enumerate(paths) if path == (name,)]
            inner = [
                number for number, path in enumerate(paths) if path[0] == name and len(path) > 1
            ]
            within = _Fields([paths[number][1:] for number in inner]) if inner else None
            self._places.append((own, inner, within))

    def decode(self, data: str | msgspec.Raw) -> Sequence[msgspec.Raw]:
        """The values in the order of the paths, as the source wrote them; null for one that is not
        there."""
        values = [_NO_FIELD] * self._size
        try:
            fields = msgspec.structs.astuple(self._decoder.decode(data))
        except msgspec.ValidationError:  # it is not an object
            return values
        for field, (own, inner, within) in zip(fields, self._places, strict=True):
            for number in own:
                values[number] = field
            if within:
                for number, value in zip(inner, within.decode(field), strict=True):
                    values[number] = value
        return values


@lru_cache(maxsize=256)
def _decoder(paths: tuple[Path, ...]) -> _Fields:
    """The decoder of these paths. It is cached, since each one creates classes."""
    return _Fields(paths)


def _cell(raw: msgspec.Raw) -> str:
    """A value as text: a string without its quotes, a number as the source wrote it."""
    value = bytes(raw)
    if value.startswith(b'"'):
        return str(msgspec.json.decode(value))
    return "" if value == b"null" else value.decode()
