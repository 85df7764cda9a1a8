"""Copies an SQLite database into an empty PostgreSQL database: the command `move`.

Rows are copied in the order of their primary keys, and each batch is one transaction. An
interrupted move therefore continues after the last key in the target. Until the move has finished,
the target has the schema `moving` with a digest of the source: no process of the service opens such
a database, and a source that has changed meanwhile is not mixed into it."""

import os.path
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import monotonic

import psycopg

from service.errors import StartupError
from service.moving.tables import (
    REPORT_EVERY,
    Content,
    CopiedTable,
    Row,
    Say,
    check,
    content_of,
    encode,
    named,
    reading,
    tables_of,
    tell,
)
from service.store.migrations import MOVING, migrate, newest
from service.store.place import lock_database
from service.store.postgres_session import APPLICATION

BATCH_ROWS, BATCH_CHARACTERS = 5_000, 8_000_000
"""A batch ends at whichever is reached first. It is held in memory."""
LOCK_TIMEOUT = "10s"
"""How long the move waits for the connection of an earlier move that was killed."""
SEEDED = "chores"
"""The table into which migrations insert rows. Even an empty database has rows in it."""
_SERVICES = """
SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s
"""
_SEQUENCES = """
SELECT attname, pg_get_serial_sequence(%(table)s, attname) FROM pg_attribute
 WHERE attrelid = CAST(%(table)s AS regclass) AND attnum > 0 AND NOT attisdropped
   AND pg_get_serial_sequence(%(table)s, attname) IS NOT NULL
"""


def move(path: Path, url: str, say: Say) -> None:
    """Copy the SQLite database at `path` into the PostgreSQL database at `url`, which is migrated
    if it has no schema. Raises StartupError, also while a service runs on either of them."""
    if not os.path.isfile(path):
        raise StartupError(f"{path} is not a file. Set DATABASE_URL to the database to move.")
    began = monotonic()
    with lock_database(path) as place, reading(place.path) as source, _writing(url) as target:
        _prepare(target, url)
        tables = tables_of(source, _tables(target), say)
        say(f"Checking {place.path}.")
        contents = check(source, tables, say)
        if not _begin(target, tables, contents, say):
            return
        say("Copying to the target.")
        for table in tables:
            _copy_table(source, target, table, contents[table.name].rows, say)
        say("Comparing both.")
        _compare(target, tables, contents, say)
        _finish(target, tables)
        rows, seconds = sum(content.rows for content in contents.values()), monotonic() - began
        say(f"Moved {rows:,} rows in {seconds:,.1f} s ({rows / seconds:,.0f} rows a second).")
        _say_what_is_next(source, say)


def _say_what_is_next(source: sqlite3.Connection, say: Say) -> None:
    live = "SELECT COUNT(*) FROM sync_progress WHERE status IN ('pending', 'in_progress')"
    if count := source.execute(live).fetchone()[0]:
        say(f"Syncs that were interrupted and continue when a worker runs: {count:,}.")
    say("The source is unchanged. Set DATABASE_URL of every process to the target.")


# The target --------------------------------------------------------------------------------------


@contextmanager
def _writing(url: str) -> Iterator[psycopg.Connection]:
    """A connection to the target, which no other move uses."""
    try:
        name = f"{APPLICATION} move"
        with psycopg.connect(
            url, autocommit=True, connect_timeout=10, application_name=name
        ) as target:
            target.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            target.execute("SELECT pg_advisory_lock(hashtextextended('move', 0))")
            target.execute("SET lock_timeout = 0")
            yield target
    except psycopg.errors.LockNotAvailable as error:
        text = "Another move into the target is running. Wait until it has ended."
        raise StartupError(text) from error
    except psycopg.Error as error:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise StartupError(
            f"The target cannot be used: {text}. Check --to. A move that has begun continues when "
            "the same command runs again."
        ) from error


def _prepare(target: psycopg.Connection, url: str) -> None:
    """Migrate a target without a schema. Raises StartupError for one that cannot be used."""
    (encoding,) = _one(target, "SHOW server_encoding")
    if encoding != "UTF8":
        raise StartupError(
            f"{_name(target)} stores text as {encoding}. Create one with ENCODING 'UTF8'."
        )
    if _revision(target) is None:
        if _tables(target):
            raise StartupError(
                f"{_name(target)} has tables of another application. Create an empty database."
            )
        migrate(url)


def _tables(target: psycopg.Connection) -> set[str]:
    names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return {name for (name,) in target.execute(names)}


def _revision(target: psycopg.Connection) -> str | None:
    if _one(target, "SELECT to_regclass('alembic_version')") == (None,):
        return None
    row = target.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _begin(
    target: psycopg.Connection,
    tables: Sequence[CopiedTable],
    contents: dict[str, Content],
    say: Say,
) -> bool:
    """Reserve the target for this source. Returns False if it already has the source's content."""
    whole = blake2b(encode(sorted((n, c.rows, c.digest) for n, c in contents.items())))
    mark = f"{MOVING} {whole.hexdigest()[:24]}"
    found = _revision(target)
    if found == mark:
        say("An earlier move was interrupted. This one continues.")
        return True
    if found and found.startswith(MOVING):
        raise StartupError(
            f"{_name(target)} holds a part of another source, or the source has changed since its "
            "move began. Create an empty database, and move to that."
        )
    if found != newest():
        raise StartupError(
            f"{_name(target)} has schema {found}; the source has {newest()}. Migrate the target "
            "first (python -m service migrate), or create an empty database."
        )
    if filled := _filled(target, tables):
        return _require_moved(target, tables, contents, filled, say)
    with target.transaction():
        target.execute("UPDATE alembic_version SET version_num = %s", [mark])
        target.execute(f"DELETE FROM {SEEDED}")
        (services,) = _one(target, _SERVICES, [APPLICATION])
        if services:
            raise StartupError(
                "A service is running on the target. Stop its web processes and workers."
            )
    return True


def _filled(target: psycopg.Connection, tables: Sequence[CopiedTable]) -> str:
    """The name of a table of the target that has rows, or an empty string."""
    for table in tables:
        if (
            table.name != SEEDED
            and target.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone()
        ):
            return table.name
    return ""


def _require_moved(
    target: psycopg.Connection,
    tables: Sequence[CopiedTable],
    contents: dict[str, Content],
    filled: str,
    say: Say,
) -> bool:
    for table in tables:
        (count,) = _one(target, f"SELECT COUNT(*) FROM {table.name}")
        if count != contents[table.name].rows or _stored(target, table) != contents[table.name]:
            raise StartupError(
                f"{_name(target)} is not empty: {filled} has rows. If an earlier move has "
                "finished, the service has written since, and nothing is left to do. Otherwise "
                "create an empty database."
            )
    say(f"{_name(target)} already has the content of the source. There is nothing to do.")
    return False


def _copy_table(
    source: sqlite3.Connection, target: psycopg.Connection, table: CopiedTable, rows: int, say: Say
) -> None:
    (done,) = _one(target, f"SELECT COUNT(*) FROM {table.name}")
    key = ", ".join(table.key)
    last = f"SELECT {key} FROM {table.name} ORDER BY {', '.join(f'{k} DESC' for k in table.key)}"
    row = target.execute(f"{last} LIMIT 1").fetchone()
    after = f"WHERE ({key}) > ({', '.join('?' * len(table.key))})" if row else ""
    reported = done
    for batch in _batches(source.execute(table.select(after), row or ())):
        try:
            _copy(target, table, batch)
        except psycopg.Error:
            _require_accepted(target, table, batch)
            raise
        done += len(batch)
        if done - reported >= REPORT_EVERY:
            say(f"  {table.name}: {done:,} of {rows:,} rows …")
            reported = done
    if rows:
        say(f"  {table.name}: {done:,} of {rows:,} rows")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch, characters = list[Row](), 0
    for row in rows:
        batch.append(row)
        characters += sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _copy(target: psycopg.Connection, table: CopiedTable, rows: Iterable[Row]) -> None:
    columns = ", ".join(table.columns)
    sql = f"COPY {table.name} ({columns}) FROM STDIN"
    with target.transaction(), target.cursor() as cursor, cursor.copy(sql) as copy:
        for row in rows:
            copy.write_row(row)


def _require_accepted(target: psycopg.Connection, table: CopiedTable, batch: Sequence[Row]) -> None:
    """Raises StartupError, which names the row, if the target refuses a row of a batch."""
    row = batch[0]
    try:
        with target.transaction(force_rollback=True):
            for row in batch:
                _copy(target, table, [row])
    except psycopg.Error as error:
        if not target.closed:
            raise StartupError(
                f"The target refuses {named(table, row)}: {error.diag.message_primary}. Correct "
                "the row in a copy of the source, and move the copy to an empty database."
            ) from error


def _stored(target: psycopg.Connection, table: CopiedTable, say: Say = lambda _: None) -> Content:
    with target.cursor() as cursor, cursor.copy(f"COPY ({table.select()}) TO STDOUT") as copy:
        copy.set_types(table.types)
        return content_of(copy.rows(), partial(tell, table, say))


def _compare(
    target: psycopg.Connection,
    tables: Sequence[CopiedTable],
    contents: dict[str, Content],
    say: Say,
) -> None:
    """Raises StartupError if a table of the target differs from that of the source."""
    for table in tables:
        wanted, stored = contents[table.name], _stored(target, table, say)
        if wanted != stored:
            raise StartupError(
                f"{table.name} differs: {wanted.rows:,} rows in the source, {stored.rows:,} in the "
                "target. Another program has written to the target. Create an empty database, and "
                "move to that."
            )
        say(f"  {table.name}: {stored.rows:,} rows in both, with the same content")


def _finish(target: psycopg.Connection, tables: Sequence[CopiedTable]) -> None:
    """Advance sequences, gather statistics for the planner, and open the target to services."""
    with target.transaction():
        for table in tables:
            for column, sequence in target.execute(_SEQUENCES, {"table": table.name}).fetchall():
                most = f"COALESCE(MAX({column}), 0)"  # plus one may be too large a number
                last = f"SELECT setval(%s, GREATEST({most}, 1), {most} >= 1) FROM {table.name}"
                target.execute(last, [sequence])
            target.execute(f"ANALYZE {table.name}")
        target.execute("UPDATE alembic_version SET version_num = %s", [newest()])


def _one(target: psycopg.Connection, sql: str, values: Sequence[object] = ()) -> Row:
    row: Row = target.execute(sql, values or None).fetchone() or ()
    return row


def _name(target: psycopg.Connection) -> str:
    return f"The target database {target.info.dbname}"
