"""Groups rows by a common key."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def grouped(rows: Iterable[T], by: Callable[[T], K]) -> dict[K, list[T]]:
    """The rows of each key. Keys and rows keep their order."""
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return dict(groups)
