"""The tables of an SQLite database that is moved: their columns, their content, and the rows that
PostgreSQL cannot store."""

import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from graphlib import TopologicalSorter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from service.errors import StartupError
from service.store.migrations import newest

REPORT_EVERY = 100_000
"""Rows between two progress messages of a table."""
MAX_NAMED = 20
"""Maximum rows that an error names."""
TYPES: dict[str, tuple[type, str]] = {
    "TEXT": (str, "text"),
    "INTEGER": (int, "int8"),
    "REAL": (float, "float8"),
    "BLOB": (bytes, "bytea"),
}
"""The column types of SQLite, each with the type that Python reads and the type in PostgreSQL."""

Say = Callable[[str], None]
Row = tuple[Any, ...]
encode = msgspec.json.Encoder().encode


class CopiedTable(msgspec.Struct, frozen=True):
    """A table of the service: its columns in order, and those of its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    #: The types of the columns in PostgreSQL.
    types: tuple[str, ...]
    #: The type of a row, for `msgspec.convert`.
    shape: Any

    def key_of(self, row: Row) -> Row:
        return tuple(row[self.columns.index(name)] for name in self.key)

    def select(self, after: str = "") -> str:
        columns, key = ", ".join(self.columns), ", ".join(self.key)
        return f"SELECT {columns} FROM {self.name} {after} ORDER BY {key}"


class Content(msgspec.Struct, frozen=True):
    """The number of rows of a table, and a digest of them in the order of their keys."""

    rows: int
    digest: str


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only snapshot of the source. Raises StartupError if its schema is not the
    newest."""
    try:
        source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            # Bytes that are not UTF-8 must not end the read: the row is named.
            source.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
            source.execute("BEGIN")
            _require_newest(source, path)
            yield source
        finally:
            source.close()
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be read: {error}.") from error


def _require_newest(source: sqlite3.Connection, path: Path) -> None:
    named = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
    if source.execute(named).fetchone() is None:
        raise StartupError(f"{path} is not a database of this service. Check DATABASE_URL.")
    (found,) = source.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    if found != newest():
        raise StartupError(
            f"{path} has schema {found}; this version of the service moves {newest()}. Migrate it "
            "first (python -m service migrate), or use the version of the service that it is of."
        )


def tables_of(source: sqlite3.Connection, wanted: Container[str], say: Say) -> list[CopiedTable]:
    """The wanted tables, each after the tables that its foreign keys name."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    parents = dict[str, set[str]]()
    for (name,) in source.execute(f"{tables} ORDER BY name").fetchall():
        if name == "alembic_version":
            continue
        if name in wanted:
            keys = source.execute(f"PRAGMA foreign_key_list({name})")
            parents[name] = {row[2] for row in keys}
        else:
            say(f"{name} is not a table of the service, and is not copied.")
    return [_table(source, name) for name in TopologicalSorter(parents).static_order()]


def _table(source: sqlite3.Connection, name: str) -> CopiedTable:
    info = source.execute(f"PRAGMA table_info({name})").fetchall()
    required = [bool(not_null or in_key) for _, _, _, not_null, _, in_key in info]
    of = [TYPES[declared.upper()] for _, _, declared, *_ in info]
    cells = [kind if must else kind | None for (kind, _), must in zip(of, required, strict=True)]
    key = sorted((position, column) for _, column, _, _, _, position in info if position)
    return CopiedTable(
        name,
        tuple(column for _, column, *_ in info),
        tuple(column for _, column in key),
        tuple(type_name for _, type_name in of),
        tuple[tuple(cells)],  # type: ignore[misc]
    )


def check(
    source: sqlite3.Connection, tables: Sequence[CopiedTable], say: Say
) -> dict[str, Content]:
    """The content of each table. Raises StartupError, which names rows that PostgreSQL cannot
    store."""
    contents, refused = dict[str, Content](), list[str]()
    for table in tables:
        rows = source.execute(table.select())
        contents[table.name] = content_of(_valid(table, rows, refused), partial(tell, table, say))
        if contents[table.name].rows:
            say(f"  {table.name}: {contents[table.name].rows:,} rows")
    if refused:
        more = f"\n  and {len(refused) - MAX_NAMED:,} more" if len(refused) > MAX_NAMED else ""
        lines = "".join(f"\n  {line}" for line in refused[:MAX_NAMED])
        raise StartupError(
            f"PostgreSQL cannot store {len(refused):,} rows of the source:{lines}{more}\n"
            "Nothing was copied. Correct or delete these rows in a copy of the database, and move "
            "the copy."
        )
    return contents


def _valid(table: CopiedTable, rows: Iterable[Row], refused: list[str]) -> Iterator[Row]:
    for row in rows:
        if problem := _problem(table, row):
            refused.append(f"{named(table, row)}: {problem}")
        else:
            yield row


def _problem(table: CopiedTable, row: Row) -> str:
    """The reason why PostgreSQL cannot store a row; empty if it can."""
    try:
        msgspec.convert(row, table.shape)
        if b"\\u0000" not in encode(row):  # rare, and also how the text \u0000 begins
            return ""
    except msgspec.ValidationError as error:
        return str(error)
    except UnicodeEncodeError:
        pass
    texts = [(name, c) for name, c in zip(table.columns, row, strict=True) if isinstance(c, str)]
    for name, cell in texts:
        if "\0" in cell:
            return f"{name} contains U+0000"
        if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
            return f"{name} is not valid UTF-8"
    return ""


def named(table: CopiedTable, row: Row) -> str:
    cells = zip(table.key, table.key_of(row), strict=True)
    return f"{table.name} ({', '.join(f'{name}={cell!a:.100}' for name, cell in cells)})"


def content_of(rows: Iterable[Row], tell: Callable[[int], None]) -> Content:
    digest, count = blake2b(digest_size=16), 0
    for row in rows:
        digest.update(encode(row))
        count += 1
        tell(count)
    return Content(count, digest.hexdigest())


def tell(table: CopiedTable, say: Say, count: int) -> None:
    if count % REPORT_EVERY == 0:
        say(f"  {table.name}: {count:,} rows …")
