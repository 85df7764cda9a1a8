"""Temporary storage on disk for reading a document, which may have millions of rows."""

import hashlib
import sqlite3
from collections.abc import Iterator

FETCHED = 50


class Numbers:
    """Counts the occurrences of each key in a document."""

    def __init__(self) -> None:
        self._database = _temporary()
        self._database.execute("CREATE TABLE met (key BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID")

    def next(self, key: str) -> int:
        """How often the key occurred before: 0 for a new one."""
        sql = """INSERT INTO met VALUES (?, 0)
                     ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n"""
        number: int = self._database.execute(sql, (_digest(key),)).fetchone()[0]
        return number

    def close(self) -> None:
        self._database.close()


class Groups:
    """Collects values by group. Groups are read in the order of their first values, and the values
    of a group in order of arrival."""

    def __init__(self) -> None:
        self._database = _temporary()
        self._database.executescript(
            """CREATE TABLE groups (
                   key BLOB PRIMARY KEY, first INTEGER, size INTEGER) WITHOUT ROWID;
               CREATE TABLE kept (
                   first INTEGER, n INTEGER, value BLOB, PRIMARY KEY (first, n)) WITHOUT ROWID;"""
        )

    def add(self, key: str, n: int, value: bytes) -> int:
        """Add the value that arrived as number `n`. Returns the bytes of its group."""
        sql = """INSERT INTO groups VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET size = size + ?3 RETURNING first, size"""
        first, size = self._database.execute(sql, (_digest(key), n, len(value))).fetchone()
        self._database.execute("INSERT INTO kept VALUES (?, ?, ?)", (first, n, value))
        return int(size)

    def alone(self, n: int, value: bytes) -> None:
        """Add a value that belongs to no group."""
        self._database.execute("INSERT INTO kept VALUES (?, ?, ?)", (n, n, value))

    def read(self) -> Iterator[list[tuple[int, int, bytes]]]:
        """Yield some values at a time, each with the number of its group's first value and its own
        number."""
        rows = self._database.execute("SELECT first, n, value FROM kept ORDER BY first, n")
        while some := rows.fetchmany(FETCHED):
            yield some

    def close(self) -> None:
        self._database.close()


def _temporary() -> sqlite3.Connection:
    database = sqlite3.connect("", isolation_level=None)  # a file that is deleted on close
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    return database


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=12).digest()
