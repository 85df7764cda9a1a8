"""Amounts of money: all usual notations are read, and ambiguous ones are refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.wire.amounts import amount


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
