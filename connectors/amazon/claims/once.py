"""Computations that several rules share, done once for the same facts."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from connectors.amazon.claims.facts import Facts

T = TypeVar("T")


def once(compute: Callable[[Facts], T]) -> Callable[[Facts], T]:
    """Keep the result of a computation with the facts. Rules must not change the result."""

    @wraps(compute)
    def computed(facts: Facts) -> T:
        if compute not in facts.computed:
            facts.computed[compute] = compute(facts)
        return cast(T, facts.computed[compute])

    return computed
