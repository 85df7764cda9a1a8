"""Copies an SQLite database while the service runs, and restores such a copy."""

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import msgspec

from service.check import Level
from service.errors import StartupError
from service.store.migrations import describe
from service.store.place import PRIVATE_FILE, lock_database

BUSY_SECONDS = 30.0
_LIVE = "SELECT COUNT(*) FROM sync_progress WHERE status IN ('pending', 'in_progress')"
# The feeds start again: an offset from after the backup would skip the changes that follow now.
_NEW_EPOCH = "UPDATE outbox_epochs SET made_by = 'restored'"


AFTERWARDS = """\
Set the same SECRETS_KEYS as before, and start the service. A sync that ran during the backup
continues from its last page in the backup. Later changes are lost: syncs that ended since run
again, and read the missing records again. The feeds start again: their clients receive 410."""


class Copied(msgspec.Struct, frozen=True):
    """A copy of a database."""

    path: Path
    size: int
    seconds: float
    #: Syncs that were waiting or running.
    live: int
    schema: str

    @property
    def text(self) -> str:
        size, seconds = f"{self.size / 1e6:,.1f} MB", f"{self.seconds:,.1f} s"
        text = f"Copied to {self.path}: {size} in {seconds}, schema {self.schema}."
        return f"{text} Syncs that have not ended: {self.live:,}."


def back_up(path: Path, to: Path) -> Copied:
    """Copy a snapshot of the database at `path` into the new file `to`. The service may
    run: its reads and writes do not wait. Raises StartupError."""
    begun = monotonic()
    if not path.is_file():
        raise StartupError(f"{path} is not a file. Set DATABASE_URL to the database to back up.")
    if to.exists():
        raise StartupError(f"{to} exists. Name a new file: a backup overwrites nothing.")
    part = to.with_name(f"{to.name}.part")
    with _readable(path, to):
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE))
        try:
            with closing(_open(path)) as source, closing(sqlite3.connect(part)) as target:
                # One step: it reads one snapshot, and other writes never restart it.
                source.backup(target, pages=-1)
                target.execute("PRAGMA journal_mode = DELETE")  # the copy is one file
                live, schema = _check(target, path)
            _flush(part)
            os.link(part, to)  # fails if the file exists by now
        finally:
            part.unlink(missing_ok=True)
        _flush(to.parent)
    return Copied(to, to.stat().st_size, monotonic() - begun, live, schema)


def restore(source: Path, path: Path) -> Copied:
    """Copy a backup to `path`, where no database may be. Raises StartupError, also while a service
    runs there."""
    begun = monotonic()
    if not source.is_file():
        raise StartupError(f"{source} is not a file. Name a backup.")
    with _readable(source, path), closing(_open(source)) as copy:
        live, schema = _check(copy, source)
        with lock_database(path) as place:
            _require_empty(place.path)
            with closing(sqlite3.connect(place.path)) as target:
                copy.backup(target, pages=-1)
                epochs = "SELECT 1 FROM sqlite_master WHERE name = 'outbox_epochs'"
                if target.execute(epochs).fetchone():  # older versions have no feeds
                    target.execute(_NEW_EPOCH)
                    target.commit()
            _flush(place.path)
            size = place.path.stat().st_size
    return Copied(path, size, monotonic() - begun, live, schema)


def _require_empty(path: Path) -> None:
    """Raises StartupError if there is a database, or a part of one, at `path`."""
    for suffix in ("", "-wal", "-journal"):
        file = path.with_name(f"{path.name}{suffix}")
        if file.exists() and file.stat().st_size:
            raise StartupError(
                f"{file} is part of a database. Move it away with all files of that name, or set "
                "DATABASE_URL to another file: a restore overwrites nothing."
            )


def dump_command(url: str, to: Path) -> str:
    """The command that backs up a PostgreSQL database. It prompts for the password, or reads it
    from PGPASSWORD."""
    return f"pg_dump --format=custom --file={shlex.quote(str(to))} {shlex.quote(_public(url))}"


def load_command(url: str, source: Path) -> str:
    """The command that restores such a backup into an empty database."""
    options = "--exit-on-error --no-owner"
    address, file = shlex.quote(_public(url)), shlex.quote(str(source))
    return f"pg_restore {options} --dbname={address} {file}"


def _public(url: str) -> str:
    """The address without the password."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}"))


def _open(path: Path) -> sqlite3.Connection:
    """Open a database read-only."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)


def _check(database: sqlite3.Connection, path: Path) -> tuple[int, str]:
    """The number of live syncs and the schema. Raises StartupError for a database that is damaged,
    of another program, or of a newer version of the service."""
    if (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise StartupError(f"{path} is damaged: {found}. Use another backup.")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if not {"alembic_version", "sync_progress"} <= tables:
        raise StartupError(f"{path} is not a database of this service. Name a backup of one.")
    (schema,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    check = describe(schema)
    if check.level is Level.PROBLEM and not check.passing:
        raise StartupError(check.sentence)
    return int(database.execute(_LIVE).fetchone()[0]), str(schema)


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _readable(source: Path, target: Path) -> Iterator[None]:
    """Turn errors of files and of SQLite into StartupError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StartupError(f"{source} cannot be copied to {target}: {error}.") from error
    except OSError as error:
        raise StartupError(
            f"{target} cannot be written: {error.strerror or error}. Check the folder and its disk."
        ) from error
