"""The lock on a database's files. What happens when a file goes away is in test_places.py."""

from pathlib import Path

import pytest

from service.errors import StartupError
from service.store.place import only_process


def test_a_second_process_is_refused_and_the_first_one_is_named(tmp_path: Path) -> None:
    with (
        only_process(tmp_path / "sync.db"),
        pytest.raises(StartupError, match="in use by process"),
        only_process(tmp_path / "sync.db"),
    ):
        raise AssertionError("two processes hold one database")
    with only_process(tmp_path / "sync.db"):
        pass  # released with its holder
