"""No malformed cell of any dataset makes a rule fail."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from .test_properties import SELLERS, quick, run

GARBAGE = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(
        ["", "-", "NaN", "1e99", "0001-01-01", "9999-12-31T23:59:59-1200", "13/13/2026"]
    ),
    st.sampled_from(["-3", "1,5", "-1.234,56", "999999999999", "1000000000000", "0", "\u0664"]),
    st.sampled_from(
        ["ZZZ", "XXX", "Q", "Lost_Somewhere", "DEFERRED", "FBA", "M", "\x00", "\ud800"]
    ),
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def spoiled(value: Any, chance: random.Random, garbage: list[Any]) -> Any:
    """The value with some of its members missing or replaced, at any depth."""
    if chance.random() < 0.15:
        return chance.choice(garbage)
    if isinstance(value, dict):
        members = {name: item for name, item in value.items() if chance.random() > 0.05}
        return {name: spoiled(item, chance, garbage) for name, item in members.items()}
    if isinstance(value, list):
        return [spoiled(item, chance, garbage) for item in value]
    return value


@quick
@given(SELLERS, st.randoms(use_true_random=False), st.lists(GARBAGE, min_size=1, max_size=8))
def test_no_rule_ever_raises(
    seller: dict[str, list[Any]], chance: random.Random, garbage: list[Any]
) -> None:
    rows = {
        name: [
            {
                cell: value if cell in ("_seen", "_changed") else spoiled(value, chance, garbage)
                for cell, value in row.items()
            }
            for row in dataset_rows
        ]
        for name, dataset_rows in seller.items()
    }
    for dataset_rows in rows.values():
        for row in dataset_rows:
            row.pop("_id", None)
    findings = run(rows)
    assert findings.ran
    ids = [*(claim.id for claim in findings.claims), *findings.settled]
    assert len(ids) == len(set(ids))
