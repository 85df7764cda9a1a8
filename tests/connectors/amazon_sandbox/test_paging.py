"""Page tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.amazon_sandbox.operations.paging import (
    Cursor,
    Paging,
    encode_token,
    open_cursor,
    page_of,
)
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import ApiError

PAGING = Paging("token", lifetime=30)


def decoded(token: str) -> Cursor:
    return open_cursor(PAGING, Query({"token": token}), "me", now=0, lifetime=30)


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 1))
def test_an_encoded_cursor_decodes_to_the_same_cursor(position: int, page: int, copy: int) -> None:
    start = open_cursor(PAGING, Query({}), "me", now=0, lifetime=30)
    cursor = Cursor(start.fingerprint, 0, 0, position, page, copy)
    assert decoded(encode_token(cursor)) == cursor


@settings(max_examples=30)
@given(st.text() | st.binary().map(lambda body: body.hex()))
def test_a_made_up_token_is_invalid(token: str) -> None:
    if token:
        with pytest.raises(ApiError, match="invalid or expired"):
            decoded(token)


@given(st.lists(st.booleans()), st.integers(1, 9))
def test_pages_contain_every_matching_row_once(rows: list[bool], size: int) -> None:
    read: list[bool] = []
    position: int | None = 0
    while position is not None:
        page, position = page_of(rows, position, size, bool)
        assert len(page) == size or position is None
        read += page
    assert read == [row for row in rows if row]
