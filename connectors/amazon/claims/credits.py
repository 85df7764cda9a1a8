"""Credits: units found, paid for or requested, which offset lost units one for one.

Each unit of a credit offsets only one lost unit. Credits are used in order, the oldest first."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import msgspec

EARLY = timedelta(days=7)
"""How long before the loss that it offsets a credit may be dated."""


class Credit(msgspec.Struct):
    """Units that can offset lost ones."""

    day: date
    dataset: str
    id: str
    #: Units that have not offset anything yet.
    unused: int
    #: Whether sources differ on the meaning of its row.
    uncertain: bool = False


class Offset(msgspec.Struct, frozen=True):
    """Units of a credit that were used for one loss."""

    day: date
    dataset: str
    id: str
    units: int
    uncertain: bool = False


Fits = Callable[[Credit], bool]


def always(_: Credit) -> bool:
    return True


def since(day: date) -> Fits:
    return lambda credit: credit.day >= day


def until(day: date) -> Fits:
    return lambda credit: credit.day <= day


def between(first: date, last: date) -> Fits:
    return lambda credit: first <= credit.day <= last


def use(credits: Iterable[Credit], units: int, fits: Fits = always) -> tuple[Offset, ...]:
    """Use up to `units` units of the credits that fit, in order."""
    offsets = []
    for credit in credits:
        if units <= 0:
            break
        used = min(units, credit.unused)
        if used > 0 and fits(credit):
            credit.unused -= used
            units -= used
            offsets.append(Offset(credit.day, credit.dataset, credit.id, used, credit.uncertain))
    return tuple(offsets)


def total(offsets: Iterable[Offset], dataset: str | None = None) -> int:
    """Units of all offsets, or of those from one dataset."""
    return sum(offset.units for offset in offsets if dataset in (None, offset.dataset))
