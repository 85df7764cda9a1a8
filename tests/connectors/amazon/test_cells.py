"""Cells: all formats of numbers and dates, and invalid ones."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon import cells


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("4.10", "4.10"),
        ("4,10", "4.10"),
        (" -4,1 ", "-4.1"),
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1 234,56", "1234.56"),
        ("1\u00a0234,56", "1234.56"),
        ("1'234.56", "1234.56"),
        ("1,234", "1234"),
        ("0,123", "0.123"),
        ("1,234,567", "1234567"),
        ("+7", "7"),
        (3, "3"),
        (9.99, "9.99"),
        (-0.05, "-0.05"),
    ],
)
def test_a_number_is_read_in_every_format(cell: Any, number: str) -> None:
    assert cells.decimal(cell) == Decimal(number)


@pytest.mark.parametrize(
    "cell",
    [
        *("", "--", "n/a", "1e9", "NaN", "Infinity", "\u0663", "1.2.3,4,5", "1" * 40),
        *(None, True, [], {}, float("nan"), float("inf"), 1e300),
    ],
)
def test_an_invalid_number_is_none(cell: Any) -> None:
    assert cells.decimal(cell) is None


@pytest.mark.parametrize(
    ("cell", "count"), [("2", 2), ("-2", -2), ("2.0", 2), ("2,0", 2), (5, 5), ("2.5", None)]
)
def test_a_count_is_whole(cell: Any, count: int | None) -> None:
    assert cells.whole(cell) == count


@pytest.mark.parametrize(
    "cell",
    [
        "07/06/2026",
        "7/6/2026",
        "07/06/2026 09:00:00",
        "2026-07-06",
        "2026-07-06T00:00:00-0700",
        "2026-07-06T09:59:13+00:00",
        "2026-07-06T01:30:00Z",
        "2026-07-06 23:00:00 UTC",
        "2026-07-05T23:00:00-07:00",
        "2026-07-07T01:00:00+0900",
    ],
)
def test_a_day_is_read_in_every_format(cell: str) -> None:
    assert cells.day(cell) == date(2026, 7, 6)


@pytest.mark.parametrize(
    "cell",
    ["", "07/2026", "13/32/2026", "02/30/2026", "0001-01-01", "9999-12-31", "soon", None, 5, 0.5],
)
def test_an_invalid_day_is_none(cell: Any) -> None:
    assert cells.day(cell) is None
    assert cells.moment(cell) is None


@pytest.mark.parametrize(
    "cell", ["Lost_Warehouse", "lost-warehouse", "LostWarehouse", "Lost Warehouse"]
)
def test_a_label_is_normalised(cell: str) -> None:
    assert cells.label(cell) == "lostwarehouse"


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_no_cell_ever_raises(cell: Any) -> None:
    for read in (cells.text, cells.decimal, cells.whole, cells.day, cells.moment):
        read(cell)
