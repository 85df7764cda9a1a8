"""Endless lists are detected soon, and no finite list is taken for one."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon import repeats
from connectors.amazon.repeats import MAX_STALE, REMEMBERED, Repeats

IDS = st.lists(st.text(max_size=3), min_size=1, max_size=5, unique=True)


def pages_until_the_end(detector: Repeats, pages: Sequence[Sequence[str]], most: int) -> int:
    """The number of pages read of a list that detector these pages."""
    for number in range(most):
        if detector.note(pages[number % len(pages)]):
            return number + 1
    return most + 1


@given(st.lists(IDS, min_size=1, max_size=8))
def test_repeated_pages_are_read_at_most_twice_after_the_first_cycle(
    pages: list[list[str]],
) -> None:
    most = len(pages) + MAX_STALE
    assert pages_until_the_end(Repeats(), pages, most) <= most


def test_a_cycle_longer_than_the_remembered_ids_ends_too() -> None:
    pages = [[f"{page}-{n}" for n in range(100)] for page in range(2 * REMEMBERED // 100)]
    assert pages_until_the_end(Repeats(), pages, 10 * len(pages)) == len(pages) + MAX_STALE


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1)), max_size=60))
def test_pages_with_a_new_id_at_least_every_second_time_are_all_read(
    steps: list[tuple[bool, int]],
) -> None:
    """Pages also contain known ids, and are followed by empty or known pages."""
    detector = Repeats()
    for number, (is_known, old) in enumerate(steps):
        assert not detector.note([f"new-{number}", *(["new-0"] if old else [])])
        assert not detector.note(["new-0"] if is_known else [])


@given(st.integers(1, 9))
def test_empty_pages_are_read_up_to_the_limit(most: int) -> None:
    detector = Repeats(most)
    assert not detector.note(["a"])
    assert [bool(detector.note([])) for _ in range(most)] == [False] * (most - 1) + [True]


def test_the_remembered_ids_and_the_pages_are_bounded() -> None:
    detector = Repeats()
    number = 0
    while not detector.note(f"{number}-{n}" for n in range(3)):
        number += 1
    assert number + 1 == repeats.MAX_PAGES
    assert len(detector._ids) == REMEMBERED
    assert len(detector._pages) == repeats.MAX_PAGES
