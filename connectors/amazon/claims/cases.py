"""A case is what a rule finds: units that are owed, or that were and have been paid."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from urllib.parse import quote

import msgspec

from connectors.amazon.claims.books import Books
from connectors.amazon.claims.credits import Draw
from connectors.amazon.claims.values import Value

HIGH, LOW = "high", "low"
MOST_EVIDENCE = 100
"""Ids of a dataset that a claim names as its evidence."""


class Case(msgspec.Struct, frozen=True):
    """One case under its natural key. `units` that are owed; 0 where reimbursements closed it.

    `base` is the day that the window is counted from."""

    key: str
    title: str
    units: int
    base: date
    place: str
    value: Value
    evidence: Mapping[str, Sequence[str]]
    details: Mapping[str, str] = {}
    low: bool = False


class Rule(msgspec.Struct, frozen=True):
    """A rule runs if all its inputs are complete. `source` is the public policy that it follows;
    `also` are datasets that it looks at where they are there."""

    code: str
    name: str
    inputs: tuple[str, ...]
    source: str
    confidence: str
    find: Callable[[Books], Iterator[Case]]
    also: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return self.find.__doc__ or ""


def units_of(units: int, product: str) -> str:
    return f"{units} {'unit' if units == 1 else 'units'} of {product}"


def key(*parts: str) -> str:
    """A natural key as text that can be part of an address."""
    return ":".join(quote(part, safe="", errors="replace") for part in parts).rstrip(":")


def evidence(*found: tuple[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Ids by dataset, each once, sorted, no more than a reader could use."""
    gathered: dict[str, set[str]] = {}
    for dataset, ids in found:
        gathered.setdefault(dataset, set()).update(ids)
    return {name: tuple(sorted(ids)[:MOST_EVIDENCE]) for name, ids in gathered.items() if ids}


def drawn_from(draws: Iterable[Draw]) -> list[tuple[str, tuple[str]]]:
    """The records behind what was drawn, as evidence."""
    return [(each.dataset, (each.id,)) for each in draws]
