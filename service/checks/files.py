"""Checks of the folder and the files of an SQLite database. They change nothing: a service may be
running."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from service.check import Check, ok, problem, warning
from service.store.migrations import describe

LITTLE, TOO_LITTLE = 2**30, 100 * 2**20
"""Bytes of free disk: an import of a large seller takes some hundred MiB."""


def check_files(path: Path) -> list[Check]:
    """Check the data folder, its disk and the database in it."""
    try:
        path = path.resolve()
        folder = next(place for place in path.parents if place.exists())
        free = shutil.disk_usage(folder).free
    except (OSError, RuntimeError) as error:
        return [_unusable(path, str(error))]
    return [_check_folder(path, folder), _check_disk(folder, free), _check_database(path)]


def _unusable(path: Path, reason: str) -> Check:
    text = f"The data folder {path.parent} cannot be used: {reason}."
    remedy = "Make it writable, or set DATABASE_URL to a writable folder."
    return problem("data", text, remedy)


def _check_folder(path: Path, folder: Path) -> Check:
    if not folder.is_dir():
        return _unusable(path, f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        return _unusable(path, f"{folder} is not writable")
    if folder != path.parent:
        return ok("data", f"The first start creates the data folder {path.parent}.")
    return ok("data", f"The data folder {folder} is writable.")


def _check_disk(folder: Path, free: int) -> Check:
    text = f"The disk of {folder} has {free / 2**30:.1f} GiB free."
    if free < TOO_LITTLE:
        return problem("disk", text, "Free up disk space: the service cannot write.")
    if free < LITTLE:
        return warning("disk", text, "Free up disk space before large imports.")
    return ok("disk", text)


def _check_database(path: Path) -> Check:
    if not path.exists() or not path.stat().st_size:
        return ok("schema", f"The first start creates {path.name}.")
    query = "SELECT version_num FROM alembic_version"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            (revision,) = database.execute(query).fetchone() or (None,)
    except sqlite3.Error as error:
        remedy = "Restore a backup, or set DATABASE_URL to another file."
        return problem("schema", f"{path} cannot be read as a database: {error}.", remedy)
    found = describe(revision)
    if found.passing:  # an older schema
        return ok("schema", f"The next start migrates {path.name} to the newest schema.")
    return found
