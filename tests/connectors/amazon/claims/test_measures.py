"""Measures of both layouts of the fee preview and of the seller, in any of their units."""

from decimal import Decimal
from typing import Any

import pytest

from connectors.amazon.claims.measures import (
    UNKNOWN,
    Measures,
    entered_measures,
    is_above,
    is_disputed,
    is_larger,
    read_measures,
)
from connectors.claims import Dimensions


def size(*sides: float, weight: float | None = None) -> Measures:
    return read_measures(sides, "cm", weight, "g")


@pytest.mark.parametrize(
    ("unit", "side"),
    [("inches", "2"), ("in", "2"), ("centimetres", "5.08"), ("CM", "5,08"), ("mm", "50.8")],
)
def test_sides_of_every_unit_are_compared_in_centimetres(unit: str, side: str) -> None:
    measures = read_measures((side, side, side), unit, None, "")
    assert measures == Measures(*[Decimal("5.08")] * 3)


@pytest.mark.parametrize(
    ("unit", "weight"),
    [("pounds", "1"), ("lb", 1), ("Ounces", "16"), ("g", "453.59237"), ("kg", "0.45359237")],
)
def test_weights_of_every_unit_are_compared_in_grams(unit: str, weight: object) -> None:
    assert read_measures((), "", weight, unit).weight == Decimal("453.59237")


@pytest.mark.parametrize(
    ("sides", "unit"),
    [(("1", "2"), "cm"), (("1", "2", "--"), "cm"), (("1", "2", "0"), "cm"), (("1", "2", "3"), "")],
)
def test_sides_without_a_number_or_a_known_unit_are_unknown(sides: Any, unit: str) -> None:
    assert read_measures(sides, unit, "", "g") == UNKNOWN


def test_the_seller_may_name_the_sides_in_any_order() -> None:
    entered = Dimensions("2", "6", "4", "in", "0.5", "lb")
    expected = read_measures(("6", "4", "2"), "inches", "0.50", "pounds")
    assert entered_measures(entered) == expected
    assert str(expected) == "15.24 x 10.16 x 5.08 cm, 227 g"
    assert entered_measures(None) is None
    assert entered_measures(Dimensions("", "", "", "", "", "")) is None


def test_a_figure_grows_above_rounding_only() -> None:
    assert is_larger(size(10.06, 5, 2), size(10, 5, 2))
    assert not is_larger(size(10.05, 5, 2), size(10, 5, 2))
    assert is_larger(size(weight=101), size(weight=100))
    assert not is_larger(size(10, 5, 2), size(weight=100)), "nothing that both have"
    assert not is_larger(size(9, 5, 2), size(10, 5, 2))


@pytest.mark.parametrize(
    ("amazon", "above"),
    [
        (size(10.5, 5, 2), False),
        (size(10.6, 5, 2), True),
        (size(10, 5, 2, weight=510), False),
        (size(10, 5, 2, weight=511), True),
        (size(9, 5, 2, weight=400), False),
    ],
)
def test_two_people_may_measure_half_a_centimetre_or_two_percent_apart(
    amazon: Measures, above: bool
) -> None:
    assert is_above(amazon, size(10, 5, 2, weight=500)) is above


def test_the_seller_disputes_a_raise_whose_earlier_figure_is_nearer_to_theirs() -> None:
    earlier, raised = size(10, 5, 2), size(12, 5, 2)
    assert is_disputed(raised, earlier, size(10.9, 5, 2))
    assert not is_disputed(raised, earlier, size(11.1, 5, 2))
    assert not is_disputed(earlier, earlier, size(8, 5, 2)), "nothing was raised"
