"""Pages that bring nothing new are noticed soon, and none that does is taken for one."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon import repeats
from connectors.amazon.repeats import MOST_STALE, REMEMBERED, Repeats

IDS = st.lists(st.text(max_size=3), min_size=1, max_size=5, unique=True)


def pages_until_the_end(found: Repeats, pages: Sequence[Sequence[str]], most: int) -> int:
    """How many pages of those, which come round and round, are read."""
    for number in range(most):
        if found.note(pages[number % len(pages)]):
            return number + 1
    return most + 1


@given(st.lists(IDS, min_size=1, max_size=8))
def test_pages_that_come_round_are_read_at_most_twice_beyond_the_first_round(
    pages: list[list[str]],
) -> None:
    most = len(pages) + MOST_STALE
    assert pages_until_the_end(Repeats(), pages, most) <= most


def test_a_round_of_more_pages_than_ids_are_remembered_ends_too() -> None:
    pages = [[f"{page}-{n}" for n in range(100)] for page in range(2 * REMEMBERED // 100)]
    assert pages_until_the_end(Repeats(), pages, 10 * len(pages)) == len(pages) + MOST_STALE


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1)), max_size=60))
def test_pages_that_bring_a_new_id_at_least_every_second_time_are_all_read(
    steps: list[tuple[bool, int]],
) -> None:
    """With old ones among them, and a page that is empty or known after each."""
    found = Repeats()
    for number, (known, old) in enumerate(steps):
        assert not found.note([f"new-{number}", *(["new-0"] if old else [])])
        assert not found.note(["new-0"] if known else [])


@given(st.integers(1, 9))
def test_empty_pages_are_read_as_often_as_is_allowed(most: int) -> None:
    found = Repeats(most)
    assert not found.note(["a"])
    assert [bool(found.note([])) for _ in range(most)] == [False] * (most - 1) + [True]


def test_what_is_remembered_is_bounded_and_so_are_the_pages() -> None:
    found = Repeats()
    number = 0
    while not found.note(f"{number}-{n}" for n in range(3)):
        number += 1
    assert number + 1 == repeats.MOST_PAGES
    assert len(found._ids) == REMEMBERED
    assert len(found._pages) == repeats.MOST_PAGES
