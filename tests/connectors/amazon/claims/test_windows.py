"""The days of a rule, by place."""

import pytest

from connectors.amazon.claims import Days, Windows
from connectors.amazon.marketplaces import place


@pytest.mark.parametrize(
    ("told", "country"),
    [
        ({"marketplace": "A1PA6795UKMFR9", "currency": "USD"}, "DE"),
        ({"country": "uk"}, "GB"),
        ({"marketplace": "unknown", "country": "FR"}, "FR"),
        ({"currency": "EUR"}, "EU"),
        ({"currency": "eur"}, "EU"),
        ({"country": "My shop", "currency": "CAD"}, "CA"),
        ({}, ""),
    ],
)
def test_a_place_is_told_by_whatever_a_row_has(told: dict[str, str], country: str) -> None:
    assert place(**told) == country


def test_a_country_comes_before_its_union_and_both_before_what_is_usual() -> None:
    windows = Windows(places={"EU": {"R4": Days(45, 105)}, "DE": {"R4": Days(1, 2)}})
    assert windows.of("R4", "DE") == Days(1, 2)
    assert windows.of("R4", "FR") == windows.of("R4", "EU") == Days(45, 105)
    assert windows.of("R4", "US") == windows.of("R4", "") == Days(60, 120)
    assert windows.of("R1", "DE") == Days(7, 60)


def test_what_names_no_place_is_at_home() -> None:
    assert Windows(home="DE").of("R4", "") == Days(45, 105)
    assert Windows().of("R4", "") == Days(60, 120)


def test_a_caller_may_change_one_rule_and_leave_the_others() -> None:
    windows = Windows(usual={"R8": Days(15, 180)})
    assert windows.of("R8", "US") == Days(15, 180)
    assert windows.of("R1", "US") == Days(7, 60)
