"""Tokens of pages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.amazon_sandbox.answers import Refused
from connectors.amazon_sandbox.operations.paging import (
    Cursor,
    Paging,
    open_cursor,
    seal,
    take,
)
from connectors.amazon_sandbox.operations.query import Query

PAGING = Paging("token", life=30)


def opened(token: str) -> Cursor:
    return open_cursor(PAGING, Query({"token": token}), "me", now=0, life=30)


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 1))
def test_a_sealed_cursor_comes_back_as_it_was(position: int, page: int, copy: int) -> None:
    start = open_cursor(PAGING, Query({}), "me", now=0, life=30)
    cursor = Cursor(start.reading, 0, 0, position, page, copy)
    assert opened(seal(cursor)) == cursor


@settings(max_examples=30)
@given(st.text() | st.binary().map(lambda body: body.hex()))
def test_no_made_up_token_opens(token: str) -> None:
    if token:
        with pytest.raises(Refused, match="invalid or expired"):
            opened(token)


@given(st.lists(st.booleans()), st.integers(1, 9))
def test_pages_hold_every_row_that_passes_once(rows: list[bool], size: int) -> None:
    found: list[bool] = []
    position: int | None = 0
    while position is not None:
        page, position = take(rows, position, size, bool)
        assert len(page) == size or position is None
        found += page
    assert found == [row for row in rows if row]
