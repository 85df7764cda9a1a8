"""Finds the tests that use a database. Only they run again with BACKEND=postgres.

A test uses one if it names `DATABASES`, directly or through the fixtures, functions and classes of
`tests/` that it names; none of `tests/connectors/` does. `conftest.py` fails a test that uses one
unseen."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from types import CodeType, FunctionType, ModuleType

import pytest

from tests.databases import DATABASES

COLLECTIONS = (Mapping, list, tuple, set, frozenset)
PLAIN = {str, bytes, int, float, bool, type(None)}
_searched: dict[int, object] = {}
"""Values that lead to no database, by their id; kept, so that no other value gets the id."""


def uses_database(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or "tests/connectors/" in item.nodeid:
        return False
    functions = [item.function]
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        functions += [definition.func for definition in definitions]
    params = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(map(_function_does, functions)) or _lead_to_database(params)


@cache
def _function_does(function: Callable[..., object]) -> bool:
    return _lead_to_database([function])


def _lead_to_database(values: Iterable[object]) -> bool:
    """Looks into functions and classes before collections, which may be large."""
    found, seen = deque(values), dict[int, object]()
    while found:
        value = found.pop()
        if value is DATABASES:
            return True
        if not (type(value) in PLAIN or id(value) in seen or id(value) in _searched):
            seen[id(value)] = value
            add = found.extendleft if isinstance(value, COLLECTIONS) else found.extend
            add(_named_by(value))
    _searched.update(seen)
    return False


def _named_by(value: object) -> Iterable[object]:
    """The values that a value of these tests names; none for one of a library."""
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, property):
        return [value.fget]
    if isinstance(value, ModuleType):
        return vars(value).values() if value.__name__.startswith("tests.") else ()
    if not str(getattr(value, "__module__", "")).startswith("tests."):
        return ()
    if isinstance(value, type):
        return [*vars(value).values(), *value.__bases__]
    if isinstance(value, classmethod | staticmethod):
        return [value.__func__]
    return _named_by_function(value) if isinstance(value, FunctionType) else [type(value)]


def _named_by_function(function: FunctionType) -> list[object]:
    known = function.__globals__
    named = [known[name] for name in _names(function.__code__) if name in known]
    named += [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
    # Of a decorated function: `functools.wraps`, and `given` of hypothesis.
    named.append(getattr(function, "__wrapped__", None))
    named.append(getattr(getattr(function, "hypothesis", None), "inner_test", None))
    return named


def _is_set(cell: object) -> bool:
    try:
        return bool(cell.cell_contents) or True  # type: ignore[attr-defined]
    except ValueError:
        return False


def _names(code: CodeType) -> Iterator[str]:
    """The names in a function and in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
