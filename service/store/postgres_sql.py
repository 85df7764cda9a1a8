"""The stores' SQL in PostgreSQL's dialect: parameters, tables as parameters, and writes as one
statement."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

from service.store.engine import Statement, Table, Values

SEPARATOR, NULL = "\x1f", "\x1e"
"""The separator between the cells of a column, and the mark of a null. JSON cannot contain them."""
MOST = 1000
"""Rows that a write in one statement may insert: the server answers within ANSWER_TIMEOUT."""
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_HINTS = re.compile(r" INDEXED BY \w+|(?<=[\s(])\+(?=[a-z_]+ [<>])")
"""Hints for SQLite: which index to read, and `+column`, which keeps an index from being read."""
_EXTRACT = re.compile(r"json_extract\((\w+), (:\w+)\)")
_TYPES = {str: "text", int: "bigint", bool: "boolean", bytes: "bytea", float: "double precision"}
_GUARD = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|SELECT)\b")
_INSERT = re.compile(r"\s*INSERT INTO ")
_VALUES = re.compile(r"\bVALUES\s*\(([^()]*)\)")
_IF_GUARDED = " WHERE EXISTS (SELECT 1 FROM guard)"
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?!SET\b)(\w+)")

# Parameters ---------------------------------------------------------------------------------------


def positional(sql: str, values: Values) -> tuple[str, Sequence[Any]]:
    """SQL with `$1`, `$2` … instead of `:name`, with their types, and the values in that order."""
    # A null has no type: it fits any.
    text, names = _positional(sql, tuple((name, _type(value)) for name, value in values.items()))
    return text, [values[name] for name in names]


@lru_cache(1024)
def _positional(sql: str, types: tuple[tuple[str, str], ...]) -> tuple[str, tuple[str, ...]]:
    of, names = dict(types), list[str]()

    def place(match: re.Match[str]) -> str:
        name = match[1]
        if name not in names:
            names.append(name)
        number = f"${names.index(name) + 1}"
        return f"{number}::{of[name]}" if of[name] else number

    return _PARAMETER.sub(place, _EXTRACT.sub(_extracted, _HINTS.sub("", sql))), tuple(names)


def _type(value: Any) -> str:
    if isinstance(value, list):
        return f"{_TYPES[type(next((cell for cell in value if cell is not None), ''))]}[]"
    if value is None:
        return ""
    return "text" if isinstance(value, str) else _TYPES[type(value)]


def _extracted(call: re.Match[str]) -> str:
    """SQLite's `json_extract` of a text. JSONB cannot hold U+0000: such a record has no value."""
    column, path = call.groups()
    value = f"jsonb_path_query_first(CAST({column} AS JSONB), CAST({path} AS JSONPATH))"
    return rf"(CASE WHEN strpos({column}, '\u0000') = 0 THEN {value} #>> '{{}}' END)"


# Tables -------------------------------------------------------------------------------------------


def with_table(statement: Statement) -> tuple[str, Sequence[Values]]:
    """The SQL and the rows of a statement, with its table among the parameters."""
    if statement.table is None:
        return statement.sql, statement.rows
    place, more = unnested(statement.table)
    return statement.sql.replace("{rows}", place), [{**row, **more} for row in statement.rows]


def unnested(table: Table, condition: str = "") -> tuple[str, dict[str, Any]]:
    """The table as a subquery over arrays, one of each column, and its parameters."""
    cells: list[str] = []
    arrays: list[str] = []
    values: dict[str, Any] = {}
    for name, column in table.items():
        packed = _joined(column)
        values[f"_{name}"] = list(column) if packed is None else packed
        is_bytes = packed is None and isinstance(next(filter(None, column), None), bytes)
        cells.append(f"convert_from({name}, 'UTF8') AS {name}" if is_bytes else name)
        arrays.append(
            f":_{name}" if packed is None else f"string_to_array(:_{name}, chr(31), chr(30))"
        )
    rows = f"SELECT {', '.join(cells)} FROM unnest({', '.join(arrays)}) AS t({', '.join(table)})"
    return f"({rows}{condition}) AS rows", values


def _joined(column: Sequence[str | bytes | None]) -> str | None:
    """The cells as one text, between separators that no cell has; None if some cell has one.

    The driver takes longer to encode an array of 100 texts than the server to split such a text."""
    nulls = column.count(None)
    cells: Sequence[Any] = column
    is_bytes = isinstance(next((cell for cell in column if cell is not None), None), bytes)
    separator, null = (SEPARATOR.encode(), NULL.encode()) if is_bytes else (SEPARATOR, NULL)
    if nulls:
        cells = [null if cell is None else cell for cell in column]
    joined: Any = separator.join(cells)
    if joined.count(separator) != max(0, len(column) - 1) or joined.count(null) != nulls:
        return None
    if len(column) == 1 and not joined:  # otherwise there would be no cell
        return None
    return joined.decode() if is_bytes else str(joined)


# Writes in one statement --------------------------------------------------------------------------


def as_one(guard: Statement, rest: Sequence[Statement]) -> tuple[str, Sequence[Any]] | None:
    """A whole write as one statement, and its arguments. It returns a row if the guard does.

    A page then takes one round trip, instead of one for each statement, one to begin and one to
    commit. None if the write needs a transaction: it takes locks, some rows may fail alone, it may
    take long, or the order of its statements matters, since two of them use the same table."""
    statements = (guard, *rest)
    if guard.alone or any(each.optional or len(each.rows) != 1 for each in statements):
        return None
    if any(len(column) > MOST for each in rest for column in (each.table or {}).values()):
        return None
    if any(each.table is None and None in each.rows[0].values() for each in rest):
        return None  # PostgreSQL would take a null that is not within VALUES for text
    if not _are_independent(tuple((each.sql, each.table is not None) for each in statements)):
        return None
    texts: list[tuple[str, str]] = []
    values: dict[str, Any] = {}
    for number, each in enumerate(statements):
        place, cells = "", dict(each.rows[0])
        if each.table is not None:
            place, more = unnested(each.table, _IF_GUARDED if number else "")
            cells |= more
        texts.append((each.sql, place))
        values |= {f"p{number}_{name}": value for name, value in cells.items()}
    return positional(_combined(tuple(texts)), values)


@lru_cache(256)
def _are_independent(parts: tuple[tuple[str, bool], ...]) -> bool:
    """Whether the statements, each with whether it has a table, are a guard and inserts of which
    none uses a table of another."""
    guard, *inserts = parts
    used = [set(_TABLE.findall(sql)) for sql, _ in parts]
    return (
        _GUARD.match(guard[0]) is not None
        and all(_INSERT.match(sql) and (table or _VALUES.search(sql)) for sql, table in inserts)
        and not any(one & other for one, other in combinations(used, 2))
    )


@lru_cache(256)
def _combined(parts: tuple[tuple[str, str], ...]) -> str:
    """The guard, and inserts that do something if it returns a row. Their parameters are numbered:
    `:id` of the second part is `:p1_id`."""
    texts = list[str]()
    for number, (sql, place) in enumerate(parts):
        if number and not place:
            sql = _VALUES.sub(rf"SELECT \1{_IF_GUARDED}", sql)
        texts.append(_PARAMETER.sub(rf":p{number}_\1", sql.replace("{rows}", place)))
    if len(texts) == 1:
        return texts[0]
    steps = [f"guard AS ({texts[0]})"]
    steps += [f"insert_{number} AS ({text})" for number, text in enumerate(texts[1:], 1)]
    return f"WITH {', '.join(steps)} SELECT 1 FROM guard"
