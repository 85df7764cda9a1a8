"""The files of an SQLite database: locked by one process, private, and watched for deletion."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from service.errors import StartupError
from service.store.engine import Unavailable

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
SUFFIXES = ("", ".lock", "-wal", "-shm", "-journal")
"""Suffixes of the files that belong to a database."""
_FAR_BYTE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1 << 62, 1, 0)
"""`struct flock` of a byte that SQLite never locks: its own lock bytes are at 1 GiB."""

log = structlog.get_logger()

Identity = tuple[int, int]


class Gone(Unavailable):
    """A file of the database was deleted or replaced. Nothing is written. The log contains it."""

    logged = True


class Place:
    """The files of an open database; detects when one is deleted or replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identities: dict[str, Identity] = {}
        self._gone = False

    def remember(self) -> None:
        """Store the identities of the files that were opened."""
        files = {name: _identity(name) for name in map(self._name, SUFFIXES)}
        self._identities = {name: identity for name, identity in files.items() if identity}

    def check(self) -> None:
        """Raises Gone if a file is missing or was replaced; logs it once. Takes 1 µs per file."""
        gone = [name for name, opened in self._identities.items() if _identity(name) != opened]
        if not gone:
            if self._gone:
                log.warning("database_back")
            self._gone = False
            return
        text = (
            f"{gone[0]} was deleted or replaced while the service was running. Nothing more is "
            "written. Put the file back, or stop the service and start it again."
        )
        logged, self._gone = self._gone, True
        if not logged:
            log.error("database_gone", reason=text)
        raise Gone(text)

    def _name(self, suffix: str) -> str:
        return f"{self.path}{suffix}"


def _identity(name: str) -> Identity | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def lock_database(path: Path) -> Iterator[Place]:
    """Lock the database at a path for this process. Raises StartupError for a path that cannot be
    used or a locked database, and names the process that locked it.

    Two locks are taken, since a deleted lock file excludes no process: one on `<database>.lock`,
    and one on the database itself, which also excludes other names of the same file. The folder is
    created if it is missing; only the owner can read the files."""
    path = _resolved(path)
    handles: list[int] = []
    try:
        handles.append(_open_file(path, ".lock"))
        _lock(handles[0], path)
        os.ftruncate(handles[0], 0)
        os.write(handles[0], str(os.getpid()).encode())
        handles.append(_open_file(path, ""))
        _lock_far_byte(handles[1], path)
        _make_private(path)
        yield Place(path)
    finally:
        # The locks end with the handles, however the process ends. The database must already be
        # closed: closing any handle of a file drops the locks that SQLite has on it.
        for handle in handles:
            os.close(handle)


def _resolved(path: Path) -> Path:
    """The path with symbolic links resolved, so that the lock is beside the database itself."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise _unusable(path, str(error)) from error


def _open_file(path: Path, suffix: str) -> int:
    """Open one of the files, which is created if it is missing; returns its handle."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        return os.open(f"{path}{suffix}", os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, why: str) -> StartupError:
    return StartupError(
        f"The data folder {path.parent} cannot be used for {path.name}: {why}. Make it writable, "
        "or set DATABASE_URL to a writable folder."
    )


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _in_use(path, f"process {os.read(handle, 20).decode() or 'unknown'}") from error


def _lock_far_byte(handle: int, path: Path) -> None:
    """Lock a byte through this handle (Linux only). Unlike SQLite's locks, the lock remains when
    another handle of the file is closed. Other systems only have the lock file."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _FAR_BYTE)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _in_use(path, "another process, which does not hold the lock file") from error


def _in_use(path: Path, by: str) -> StartupError:
    return StartupError(f"{path} is in use by {by}. Stop it, or set DATABASE_URL to another file.")


def _make_private(path: Path) -> None:
    """Make the files readable by their owner only. SQLite gives new files the database's mode."""
    for suffix in SUFFIXES:
        with suppress(OSError):  # missing, or another user's
            os.chmod(f"{path}{suffix}", PRIVATE_FILE)
