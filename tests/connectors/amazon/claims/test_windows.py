"""The days of a rule, by place."""

import json

import pytest

from connectors.amazon.claims import RULES, Days, Rule, rule_windows
from connectors.amazon.marketplaces import place
from connectors.amazon.settings import read_settings
from connectors.base import Misconfigured


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
@pytest.mark.parametrize("country", ["US", "GB", "DE", "EU", "JP", "AE", "IN", "XX", ""])
def test_every_rule_has_a_window_in_every_place(rule: Rule, country: str) -> None:
    days = rule_windows().of(rule.code, country)
    assert 0 <= days.opens < days.closes


def test_the_longest_window_includes_changed_places() -> None:
    assert rule_windows().longest(["R1", "R4"]) == 120
    assert rule_windows({"JP": {"R1": Days(7, 540)}}).longest(["R1", "R4"]) == 540


@pytest.mark.parametrize("country", ["GB", "DE", "FR", "EU", "JP"])
def test_returns_can_be_claimed_from_day_45_to_105_in_europe_and_japan(country: str) -> None:
    for rule in ("R4", "R5", "R6"):
        assert rule_windows().of(rule, country) == Days(45, 105)
        assert rule_windows().of(rule, "US") == Days(60, 120)


@pytest.mark.parametrize(
    ("country", "days"),
    [
        *[("US", (15, 270)), ("CA", (15, 270)), ("JP", (15, 270)), ("GB", (15, 180))],
        *[("DE", (15, 180)), ("AE", (15, 60)), ("IN", (0, 60))],
    ],
)
def test_the_days_of_inbound_shipments_differ_by_place(country: str, days: tuple[int, int]) -> None:
    assert rule_windows().of("R8", country) == Days(*days)


# AMAZON_CLAIM_WINDOWS -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ({"DE": {"R99": [45, 105]}}, ["DE", "'R99'", "does not exist", "R1, R2"]),
        ({"DE": {"r4": [45, 105]}}, ["'r4'", "does not exist"]),
        ({"XX": {"R4": [45, 105]}}, ["'XX'", "not a place", "DE", "GB"]),
        ({"UK": {"R4": [45, 105]}}, ["'UK'", "not a place", "GB"]),
        ({"GB": {"R4": [105, 45]}}, ["GB R4", "[105,45]", "cannot open after it closes"]),
        ({"EU": {"R8": [-1, 60]}}, ["EU R8", "[-1,60]", "cannot be negative"]),
        ({"EU": {"R8": [0, 99999]}}, ["EU R8", "at most 3650 days"]),
        ({"EU": {"R8": [1]}}, ['{"DE":{"R4":[45,105]}}']),
        ({"EU": {"R8": ["1", 2]}}, ['{"DE":{"R4":[45,105]}}']),
        ([], ['{"DE":{"R4":[45,105]}}']),
    ],
)
def test_a_wrong_window_is_refused_with_an_error_that_names_it(
    windows: object, words: list[str]
) -> None:
    with pytest.raises(Misconfigured) as error:
        rule_windows(read_settings({"AMAZON_CLAIM_WINDOWS": json.dumps(windows)}).claim_windows)
    for word in ("AMAZON_CLAIM_WINDOWS", *words):
        assert word in str(error.value)


def test_a_valid_window_replaces_the_default() -> None:
    text = json.dumps({"AE": {"R8": [0, 0]}, "EU": {"R1": [7, 540]}})
    windows = rule_windows(read_settings({"AMAZON_CLAIM_WINDOWS": text}).claim_windows)
    assert windows.of("R8", "AE") == Days(0, 0)
    assert windows.of("R1", "DE") == Days(7, 540)
