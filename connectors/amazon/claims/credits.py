"""What makes up for lost units: each unit of a credit is used once, the oldest credit first."""

from collections.abc import Callable, Iterable
from datetime import date

import msgspec


class Credit(msgspec.Struct):
    """Units found, paid for or asked for. `left` is what nothing has used yet."""

    day: date
    dataset: str
    id: str
    left: int
    weak: bool = False


class Draw(msgspec.Struct, frozen=True):
    """Units taken from a credit."""

    day: date
    dataset: str
    id: str
    units: int
    weak: bool = False


def draw(
    credits: Iterable[Credit], wanted: int, fits: Callable[[Credit], bool]
) -> tuple[Draw, ...]:
    """Take up to `wanted` units from the credits that fit, in their order."""
    drawn = []
    for credit in credits:
        if wanted <= 0:
            break
        units = min(wanted, credit.left)
        if units > 0 and fits(credit):
            credit.left -= units
            wanted -= units
            drawn.append(Draw(credit.day, credit.dataset, credit.id, units, credit.weak))
    return tuple(drawn)


def total(draws: Iterable[Draw], dataset: str | None = None) -> int:
    return sum(each.units for each in draws if dataset in (None, each.dataset))
