"""The result of one check. The start of the service and `doctor` share the checks."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from service.errors import StartupError


class Level(StrEnum):
    """The severity of a result."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(msgspec.Struct, frozen=True):
    """The result of a check, and its remedy."""

    #: The subject of the check, in one or two words.
    name: str
    #: With a PROBLEM, a process does not start.
    level: Level
    #: One sentence.
    text: str
    #: What to do; empty if nothing needs to be done.
    remedy: str = ""
    #: Whether a problem may disappear by itself: a starting process then waits.
    passing: bool = False

    @property
    def sentence(self) -> str:
        return f"{self.text} {self.remedy}".strip()


def ok(name: str, text: str) -> Check:
    return Check(name, Level.OK, text)


def warning(name: str, text: str, remedy: str) -> Check:
    return Check(name, Level.WARNING, text, remedy)


def problem(name: str, text: str, remedy: str, passing: bool = False) -> Check:
    return Check(name, Level.PROBLEM, text, remedy, passing)


def worst(checks: Iterable[Check]) -> Check | None:
    """The first problem that does not pass by itself, or else the first problem."""
    found = [check for check in checks if check.level is Level.PROBLEM]
    return min(found, key=lambda check: check.passing, default=None)


def require(checks: Iterable[Check]) -> None:
    """Raises StartupError for a problem."""
    if (found := worst(checks)) is not None:
        raise StartupError(found.sentence)
