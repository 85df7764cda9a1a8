"""Converts cells of reports to text, numbers and dates. Invalid cells yield None and never
raise."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache

PLAIN = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,8})?")
AMERICAN = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})([ T].*)?")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
TOO_MUCH = 10**12
YEARS = range(2000, 2200)
"""A date outside these years is a mistake, and arithmetic with it may overflow the calendar."""


def text(value: object) -> str:
    """The text of a cell without surrounding space; empty if the cell is missing."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def decimal(value: object) -> Decimal | None:
    """A number, as text or as JSON, with a decimal point or a decimal comma.

    A single comma before exactly three digits separates thousands: no amount has three decimals."""
    if isinstance(value, str):
        return _decimal(value)
    return _number(value) if type(value) in (int, float) else None


@lru_cache(maxsize=4096)
def _number(value: float) -> Decimal | None:
    return _decimal(format(Decimal(repr(value)), "f"))


@lru_cache(maxsize=4096)
def _decimal(cell: str) -> Decimal | None:
    plain = _with_point(re.sub(r"[\s'\u2019]", "", cell))
    return Decimal(plain) if PLAIN.fullmatch(plain) else None


def _with_point(number: str) -> str:
    comma, point = number.rfind(","), number.rfind(".")
    if comma >= 0 and point >= 0:
        thousands, mark = (".", ",") if comma > point else (",", ".")
        return number.replace(thousands, "").replace(mark, ".")
    if number.count(",") > 1 or THOUSANDS.fullmatch(number):
        return number.replace(",", "")
    return number.replace(",", ".")


def whole(value: object) -> int | None:
    """The whole number in a cell, such as a count of units."""
    if type(value) is int and abs(value) < TOO_MUCH:
        return value
    number = decimal(value)
    return int(number) if number is not None and number == int(number) else None


def moment(value: object) -> datetime | None:
    """An ISO time, in UTC; a time without an offset is already UTC."""
    return _moment(text(value))


def day(value: object) -> date | None:
    """The day of a cell: MM/DD/YYYY, an ISO date, or the UTC day of an ISO time."""
    return _day(text(value))


@lru_cache(maxsize=4096)
def _day(cell: str) -> date | None:
    if american := AMERICAN.fullmatch(cell):
        month, number, year = (int(part) for part in american.groups()[:3])
        try:
            return date(year, month, number) if year in YEARS else None
        except ValueError:
            return None
    at = _moment(cell)
    return at.date() if at else None


def _moment(cell: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(cell.removesuffix(" UTC"))
    except ValueError:
        return None
    if at.year not in YEARS:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def label(cell: str) -> str:
    """The normalised form of a label: Lost_Warehouse, lost-warehouse and LostWarehouse are the
    same."""
    return re.sub(r"[^a-z0-9]", "", cell.lower())
