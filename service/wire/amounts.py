"""Read amounts of money and measures in common notations: 1,234.50, 1.234,50 and 1 234,50 are
equal."""

import re
from decimal import Decimal

LARGEST = 10**9
LONGEST = 40
LARGEST_MEASURE = 100_000
MAX_DECIMALS = 6
# ISO 4217: currencies without a minor unit, and those whose minor unit is a thousandth.
_NO_DECIMALS = frozenset(
    [
        *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"),
        *("VND", "VUV", "XAF", "XOF", "XPF"),
    ]
)
_THREE_DECIMALS = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])

_PLAIN = re.compile(r"([0-9]*)(?:([.,])([0-9]+))?")
_GROUPED = re.compile(
    r"([0-9]{1,3}(?:([.,'’ \u00a0\u2009\u202f])[0-9]{3})(?:\2[0-9]{3})*)"  # noqa: RUF001
    r"(?:(?!\2)[.,]([0-9]+))?"
)
_LAKHS = re.compile(r"([0-9]{1,2}(?:(,)[0-9]{2})+,[0-9]{3})(?:\.([0-9]+))?")


def amount(text: str, currency: str, point: bool = False) -> str:
    """The amount with a decimal point. "1,234" in JPY, which has no decimals, is 1234.

    With `point`, a single point is always the decimal point. Raises ValueError with a text for the
    user, also for an ambiguous amount such as "1,234" in USD."""
    text = text.strip()
    value = _read(text, currency, point) if len(text) <= LONGEST else None
    if value is None:
        raise ValueError(f"{_short(text)} is not an amount like 1234.50")
    if value >= LARGEST:
        raise ValueError(f"{_short(text)} is not an amount from 0 to 999,999,999")
    return f"{value:f}"


def measure(text: str, point: bool = False) -> str:
    """A length or a weight with a decimal point. For `point` and errors see `amount`."""
    text = text.strip()
    value = _read(text, "", point) if len(text) <= LONGEST else None
    if value is None:
        raise ValueError(f"{_short(text)} is not a number like 12.5")
    if not 0 < value < LARGEST_MEASURE:
        raise ValueError(f"{_short(text)} is not a number above 0 and below {LARGEST_MEASURE:,}")
    if value != round(value, MAX_DECIMALS):
        raise ValueError(f"{_short(text)} has more than {MAX_DECIMALS} decimals")
    return f"{value:f}"


def unambiguous(number: str) -> str:
    """The number with four decimals instead of three, which could be read as thousands."""
    return f"{number}0" if re.fullmatch(r"\d+\.\d{3}", number) else number


def as_text(hundredths: int, currency: str | None) -> str:
    """A whole number of hundredths as an amount with the decimals of its currency."""
    return f"{Decimal(hundredths) / 100:.{0 if currency in _NO_DECIMALS else 2}f}"


def exact(amount: Decimal, currency: str) -> str:
    """An amount with the decimals of its currency, or with more if it has more."""
    usual = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    exponent = amount.normalize().as_tuple().exponent
    return f"{amount:.{max(usual, -int(exponent))}f}"


def _read(text: str, currency: str, point: bool) -> Decimal | None:
    if (plain := _PLAIN.fullmatch(text)) and text:
        whole, mark, rest = plain.groups()
        if mark and _may_group(whole, rest) and not (point and mark == "."):
            if currency in _NO_DECIMALS:
                return Decimal(whole + rest)
            if mark == "," or currency not in _THREE_DECIMALS:
                raise ValueError(
                    f"{text!r} is ambiguous, {whole}{rest} or {whole}.{rest}: "
                    f"write {whole}{rest} or {whole}.{rest}0"
                )
        return Decimal(f"{whole or 0}.{rest or ''}")
    if grouped := _GROUPED.fullmatch(text) or _LAKHS.fullmatch(text):
        whole = re.sub("[^0-9]", "", grouped[1])
        return Decimal(f"{whole}.{grouped[3] or ''}")
    return None


def _may_group(whole: str, rest: str) -> bool:
    """Whether the mark between `whole` and `rest` may separate thousands."""
    return len(rest) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0"


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
