"""The lock on a database's files. test_places.py tests deleted and replaced files."""

from pathlib import Path

import pytest

from service.errors import StartupError
from service.store.place import lock_database

pytestmark = pytest.mark.sqlite


def test_a_second_process_is_refused_and_the_first_one_is_named(tmp_path: Path) -> None:
    with (
        lock_database(tmp_path / "sync.db"),
        pytest.raises(StartupError, match="in use by process"),
        lock_database(tmp_path / "sync.db"),
    ):
        raise AssertionError("two processes have locked one database")
    with lock_database(tmp_path / "sync.db"):
        pass  # released with its holder
