"""The table of rules, and the table in the documentation that has to agree with it."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from connectors.amazon.claims import RULES, Days, Rule, rule_windows
from connectors.amazon.claims.windows import ClaimWindow

from .sellers import DATASETS, adjusted, only_claim

ROOT = Path(__file__).parents[4]
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


def test_codes_count_up_and_no_two_rules_share_a_name_title_or_function() -> None:
    numbers = [int(rule.code.removeprefix("R")) for rule in RULES]
    assert numbers == sorted(set(numbers))
    for field in ("name", "title", "sentence", "find"):
        assert len({getattr(rule, field) for rule in RULES}) == len(RULES), field


@EACH
def test_a_rule_has_a_title_a_sentence_a_source_and_known_datasets(rule: Rule) -> None:
    assert 0 < len(rule.title) <= 30
    assert rule.sentence.endswith(".")
    assert rule.source.startswith("Amazon's") and rule.source.endswith(".")
    assert rule.confidence in ("high", "low")
    assert rule.inputs and {*rule.inputs, *rule.optional} <= set(DATASETS)


@EACH
def test_the_docstring_of_a_rule_says_what_counts_and_what_does_not(rule: Rule) -> None:
    text = rule.find.__doc__ or ""
    assert text.startswith(f"{rule.code}. ")
    assert "Counts: " in text
    assert "Does not count: " in text


@EACH
def test_a_rule_without_a_window_cannot_be_written(rule: Rule) -> None:
    fields = {name: value for name, value in msgspec.structs.asdict(rule).items()}
    del fields["window"]
    with pytest.raises(TypeError, match="window"):
        Rule(**fields)


def test_the_title_of_a_claim_comes_from_its_rule() -> None:
    assert only_claim({"ledger": [adjusted(0, "M", -1)]}, "R1").title == (
        "1 unit of SKU-1 lost in the warehouse"
    )


def documented() -> Mapping[str, list[str]]:
    """The cells of each rule's row in the documentation."""
    pages = [page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    (page,) = (page for page in pages if "| rule | finds |" in page)
    table = page.partition("| rule | finds |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| R")]
    return {cells[0].split()[0]: cells for cells in rows}


def days_in(cell: str) -> list[Days]:
    days = re.findall(r"(\d+)\u2013(\d+)", cell)
    return [Days(int(opens), int(closes)) for opens, closes in days]


def test_the_documented_rules_are_the_rules() -> None:
    assert list(documented()) == [rule.code for rule in RULES]


@EACH
def test_the_documented_days_of_a_rule_are_its_window(rule: Rule) -> None:
    rows = documented()
    cell = rows[rule.code][3]
    if same := re.match(r"as (R\d+)$", cell):
        cell = rows[same.group(1)][3]
    assert days_in(cell) == [rule.window.usual]


@EACH
def test_the_documented_days_of_a_rule_are_its_window_in_every_place(rule: Rule) -> None:
    text = (ROOT / "docs" / "claims.md").read_text()
    header, _, *lines = text.partition("| rules | US |")[2].partition("\n\n")[0].splitlines()
    places = ["US", *header.strip("| ").split(" | ")]
    (cells,) = (
        cells
        for line in lines
        if rule.code in (cells := line.strip("| ").split(" | "))[0].split(", ")
    )
    assert {"US", "GB", "EU", "JP", "AE", "IN"} <= set(places)
    for place, cell in zip(places, cells[1:], strict=True):
        assert days_in(cell) == [rule_windows().of(rule.code, place)], place
    assert rule.window.places.keys() <= set(places)


def test_the_days_of_a_place_are_those_of_the_country_or_else_of_the_eu() -> None:
    window = ClaimWindow(Days(1, 2), {"EU": Days(3, 4), "DE": Days(5, 6)})
    assert [window.of(place) for place in ("US", "FR", "DE", "")] == [
        Days(1, 2),
        Days(3, 4),
        Days(5, 6),
        Days(1, 2),
    ]
