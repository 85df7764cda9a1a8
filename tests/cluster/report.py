"""The figures of a command, each with its bound."""

import os
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """A figure, and what it must be; an empty bound for a figure that only informs."""

    what: str
    figure: str
    bound: str = ""
    broken: bool = False
    #: Whether it depends on how busy the machine is.
    timed: bool = False


class Report:
    """Figures as a table, and the load of the machine at the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: list[Row] = []

    def note(self, what: str, figure: Any) -> None:
        """Add a figure without a bound."""
        self._rows.append(Row(what, _text(figure)))

    def exactly(self, what: str, figure: Any, expected: Any) -> None:
        row = Row(what, _text(figure), f"= {_text(expected)}", figure != expected)
        self._rows.append(row)

    def at_most(self, what: str, figure: float, bound: float) -> None:
        """Add a duration."""
        row = Row(what, _text(figure), f"≤ {_text(bound)}", figure > bound, timed=True)
        self._rows.append(row)

    def at_least(self, what: str, figure: float, bound: float) -> None:
        self._rows.append(Row(what, _text(figure), f"≥ {_text(bound)}", figure < bound))

    def none(self, what: str, found: list[str]) -> None:
        """Add the number of these faults, and the first of them."""
        self.exactly(what, len(found), 0)
        self._rows += [Row(f"    {fault}"[:400], "") for fault in found[:5]]

    @property
    def broken(self) -> bool:
        return any(row.broken for row in self._rows)

    @property
    def faults(self) -> str:
        """The table, if a figure that does not depend on the machine is beyond its bound."""
        return str(self) if any(row.broken and not row.timed for row in self._rows) else ""

    def __str__(self) -> str:
        load = " ".join(f"{figure:.1f}" for figure in os.getloadavg())
        lines = [f"\n{self._title}", f"  {'load average (1, 5, 15 min)':<70} {load:>12}"]
        for row in self._rows:
            mark = "  BROKEN" if row.broken else ""
            lines.append(f"  {row.what:<70} {row.figure:>12}  {row.bound}{mark}".rstrip())
        return "\n".join(lines)


def _text(figure: Any) -> str:
    return f"{figure:,.2f}" if isinstance(figure, float) else str(figure)
