"""Dates in the names of inbound shipments, such as `FBA STA (05/13/2026 09:15)-PHL7`.

A name is given when the shipment is planned, so its date is from before the delivery."""

import re
from collections.abc import Iterator
from datetime import date

YEAR_FIRST = re.compile(r"(?<!\d)(20\d\d)([-/.])(\d{1,2})\2(\d{1,2})(?!\d)")
YEAR_LAST = re.compile(r"(?<!\d)(\d{1,2})([-/.])(\d{1,2})\2(20\d\d|\d\d)(?!\d)")
MONTH_FIRST = frozenset({"US", ""})
"""The places in which 05/06/2026 is the sixth of May."""


def date_in_name(name: str, place: str, latest: date) -> date | None:
    """The first date in a name that is not after `latest`."""
    return next((day for day in _dates(name, place) if day <= latest), None)


def _dates(name: str, place: str) -> Iterator[date]:
    for match in YEAR_FIRST.finditer(name):
        year, _, month, number = match.groups()
        yield from _date(year, month, number)
    for match in YEAR_LAST.finditer(name):
        one, _, other, year = match.groups()
        year = year if len(year) == 4 else f"20{year}"
        orders = [(one, other), (other, one)]
        for month, number in orders if place in MONTH_FIRST else reversed(orders):
            yield from _date(year, month, number)


def _date(year: str, month: str, number: str) -> Iterator[date]:
    try:
        yield date(int(year), int(month), int(number))
    except ValueError:
        return
