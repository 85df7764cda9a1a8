"""Every row is on exactly one page, and a cursor is valid for its own list only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.wire.paging import Paged, cursor


@given(st.sets(st.text(min_size=1, max_size=5)), st.integers(1, 8))
def test_every_row_is_on_exactly_one_page(keys: set[str], limit: int) -> None:
    rows, shown, next_cursor = sorted(keys), list[str](), None
    while True:
        page = Paged(limit=limit, cursor=next_cursor).page("letters")
        rest = [row for row in rows if (row,) > page.after]
        part, next_cursor = page.cut(rest[: page.read_limit], key=lambda row: (row,))
        shown += part
        if next_cursor is None:
            break
        assert len(part) == limit
    assert shown == rows


def test_a_cursor_is_opaque_text_that_needs_no_quoting() -> None:
    text = cursor("items", "orders", "ä/?&=")
    assert text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    assert Paged(cursor=text).page("items", key_length=2).after == ("orders", "ä/?&=")


@pytest.mark.parametrize(
    "text", ["", "x", "W10", "bnVsbA", cursor("data", "a"), cursor("items"), cursor("items", "")]
)
def test_text_that_is_not_a_cursor_of_the_list_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Paged(cursor=text).page("items")
