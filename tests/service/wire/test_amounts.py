"""Amounts of money and measures: all usual notations are read, ambiguous ones are refused."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.wire.amounts import amount, exact, measure, unambiguous


@pytest.mark.parametrize(
    ("text", "currency", "value"),
    [
        ("1,234", "JPY", "1234"),
        ("1.234", "JPY", "1234"),
        ("1,234,567", "JPY", "1234567"),
        ("1,234.50", "USD", "1234.50"),
        ("1.234,50", "EUR", "1234.50"),
        ("1.234.567,89", "EUR", "1234567.89"),
        ("1,234,567", "USD", "1234567"),
        ("1,23,456.00", "INR", "123456.00"),
        ("1 234,50", "EUR", "1234.50"),
        ("1\u202f234,50", "EUR", "1234.50"),
        ("1\u00a0234", "SEK", "1234"),
        ("1'234.50", "CHF", "1234.50"),
        ("1\u2019234.50", "CHF", "1234.50"),
        ("3,25", "EUR", "3.25"),
        ("3.5", "USD", "3.5"),
        (" 4.20 ", "USD", "4.20"),
        ("0.125", "USD", "0.125"),
        ("0,125", "EUR", "0.125"),
        (",5", "EUR", "0.5"),
        (".5", "USD", "0.5"),
        ("1234.567", "USD", "1234.567"),
        ("1.2340", "USD", "1.2340"),
        ("1.234", "KWD", "1.234"),
        ("12", "JPY", "12"),
        ("0", "USD", "0"),
        ("007", "USD", "7"),
    ],
)
def test_amounts_are_read_in_all_usual_notations(text: str, currency: str, value: str) -> None:
    assert amount(text, currency) == value


@pytest.mark.parametrize(
    ("text", "currency"), [("1,234", "USD"), ("1.234", "EUR"), ("12.345", "GBP")]
)
def test_an_ambiguous_amount_is_refused_with_both_readings(text: str, currency: str) -> None:
    digits = text.replace(",", "").replace(".", "")
    with pytest.raises(ValueError, match=f"{digits} or .*0"):
        amount(text, currency)


@given(st.decimals(0, 999_999_999, places=2), st.sampled_from(["USD", "EUR", "JPY", "KWD"]))
def test_an_amount_with_cents_is_the_same_in_every_notation(value: Any, currency: str) -> None:
    english = f"{value:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    french = english.replace(",", "\u202f").replace(".", ",")
    plain = f"{value:.2f}"
    assert {amount(form, currency) for form in (english, german, french, plain)} == {plain}


@given(st.text(max_size=30) | st.from_regex(r"[0-9.,' ]{1,12}", fullmatch=True))
def test_an_amount_keeps_all_digits_of_its_text(text: str) -> None:
    try:
        value = amount(text, "USD")
    except ValueError:
        return
    digits = [character for character in value if character.isdigit()]
    assert "".join(digits).lstrip("0") == "".join(filter(str.isdigit, text)).lstrip("0")


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        *(("2.5", "USD", "2.50"), ("-0.125", "EUR", "-0.125"), ("0", "GBP", "0.00")),
        *(("100.0", "JPY", "100"), ("0.5", "JPY", "0.5"), ("1.5", "KWD", "1.500")),
    ],
)
def test_an_exact_amount_has_at_least_the_decimals_of_its_currency(
    value: str, currency: str, text: str
) -> None:
    assert exact(Decimal(value), currency) == text


@pytest.mark.parametrize(
    ("text", "value"), [("6", "6"), (" 15,24 ", "15.24"), ("1 234,5", "1234.5"), ("0.125", "0.125")]
)
def test_measures_are_read_in_the_notations_of_amounts(text: str, value: str) -> None:
    assert measure(text) == value


@pytest.mark.parametrize("text", ["1,234", "1.234", "0", "-1", "1e3", "100000", "0.1234567", ""])
def test_an_ambiguous_or_impossible_measure_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        measure(text)


@pytest.mark.parametrize("number", ["6", "6.5", "6.125", "1234.567"])
def test_an_unambiguous_number_is_read_as_it_was_written(number: str) -> None:
    assert float(measure(unambiguous(number))) == float(number) == float(measure(number, True))
