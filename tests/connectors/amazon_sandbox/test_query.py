"""Parsing of query parameters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import ApiError


def moment(text: str) -> float | None:
    return Query({"at": text}).moment("at")


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-02",
        "1970-01-02T00:00Z",
        "1970-01-02T00:00:00",
        "1970-01-02T00:00:00Z",
        "1970-01-02T00:00:00.000Z",
        "1970-01-02T09:00:00+09:00",
        "1970-01-01T16:00:00-0800",
    ],
)
def test_all_formats_of_a_moment_are_equal(text: str) -> None:
    assert moment(text) == 86_400


@pytest.mark.parametrize(
    "text",
    ["now", "1970-01-02T09:00:00 09:00", "1970-13-02", "19700102", "0001-01-01T00:00:00+09:00"],
)
def test_an_invalid_moment_is_named(text: str) -> None:
    with pytest.raises(ApiError, match=r"Invalid date/time field \[at\]"):
        moment(text)


@given(st.text())
def test_any_text_is_a_moment_or_rejected(text: str) -> None:
    try:
        assert moment(text) is None or text
    except ApiError as refused:
        assert refused.status == 400


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("True", True), ("false", False), ("", False)]
)
def test_a_flag_ignores_case(text: str, flag: bool) -> None:
    assert Query({"details": text}).flag("details") is flag


def test_a_repeated_parameter_is_an_array() -> None:
    query = Query.of([("a", "1"), ("b", "x"), ("a", "2,3")])
    assert query.many("a") == ["1", "2", "3"]
    assert query.without({"a"}) == [("b", "x")]
