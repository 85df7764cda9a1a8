"""The days of a rule, by place."""

import pytest

from connectors.amazon.claims import RULES, Days, Rule, rule_windows
from connectors.amazon.marketplaces import place


@pytest.mark.parametrize(
    ("cells", "country"),
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
def test_the_place_of_a_row_comes_from_its_first_cell_that_names_one(
    cells: dict[str, str], country: str
) -> None:
    assert place(**cells) == country


def test_a_country_takes_precedence_over_the_eu_and_both_over_the_usual_days() -> None:
    windows = rule_windows({"EU": {"R4": Days(45, 105)}, "DE": {"R4": Days(1, 2)}})
    assert windows.of("R4", "DE") == Days(1, 2)
    assert windows.of("R4", "FR") == windows.of("R4", "EU") == Days(45, 105)
    assert windows.of("R4", "US") == windows.of("R4", "") == Days(60, 120)
    assert windows.of("R1", "DE") == Days(7, 60)


def test_a_claim_without_a_place_has_the_days_of_home() -> None:
    assert rule_windows(home="DE").of("R4", "") == Days(45, 105)
    assert rule_windows().of("R4", "") == Days(60, 120)


def test_changing_one_rule_leaves_the_others_as_they_are() -> None:
    windows = rule_windows({"EU": {"R4": Days(15, 180)}})
    assert windows.of("R4", "DE") == Days(15, 180)
    assert windows.of("R5", "DE") == Days(45, 105)
    assert windows.of("R1", "DE") == Days(7, 60)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
@pytest.mark.parametrize("country", ["US", "DE", "EU", "XX", ""])
def test_every_rule_has_a_window_in_every_place(rule: Rule, country: str) -> None:
    days = rule_windows().of(rule.code, country)
    assert 0 <= days.opens < days.closes


def test_the_longest_window_includes_changed_places() -> None:
    assert rule_windows().longest(["R1", "R4"]) == 120
    assert rule_windows({"JP": {"R1": Days(7, 540)}}).longest(["R1", "R4"]) == 540
