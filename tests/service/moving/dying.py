"""The command line, whose move kills itself at a point: DIE_AT=inside:2 (in the second batch,
before its commit), after:2 (after its commit), compare or finish (before the commit)."""

import os
import signal
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from service.__main__ import main
from service.moving import move as moving
from service.moving.tables import CopiedTable, Row

POINT, _, NUMBER = os.environ["DIE_AT"].partition(":")
moving.BATCH_ROWS = 10
_copy, _finish, _compare, _batch = moving._copy, moving._finish, moving._compare, count(1)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(rows: Iterable[Row]) -> Iterator[Row]:
    yield from rows
    _die()


def _copy_and_die(target: Any, table: CopiedTable, rows: Iterable[Row]) -> None:
    reached = next(_batch) == int(NUMBER)
    _copy(target, table, _dying(rows) if reached and POINT == "inside" else rows)
    if reached:
        _die()


def _compare_and_die(*compared: Any) -> None:
    _compare(*compared)
    _die()


def _finish_and_die(target: Any, tables: Any) -> None:
    with target.transaction():
        _finish(target, tables)
        _die()


if __name__ == "__main__":
    if POINT == "compare":
        moving._compare = _compare_and_die  # type: ignore[assignment]
    elif POINT == "finish":
        moving._finish = _finish_and_die
    else:
        moving._copy = _copy_and_die
    main()
