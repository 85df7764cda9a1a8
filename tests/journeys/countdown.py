"""A process that kills itself at a point, `point:number`: the n-th time that it passes it."""

import os
import signal
from typing import NoReturn


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


class Countdown:
    """Kills the process when its point is passed for the n-th time."""

    def __init__(self, place: str) -> None:
        self._point, _, number = place.partition(":")
        self._left = int(number or 1)

    def passes(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if not self._left:
            die()
