"""Rows grouped by what they have in common."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def grouped(rows: Iterable[T], by: Callable[[T], K]) -> dict[K, list[T]]:
    """Rows by their key, keys and rows in the order in which they come."""
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return dict(groups)
