"""Amounts of money, counted in the smallest unit of their currency: cents, or whole yen."""

_WITHOUT_DECIMALS = frozenset({"JPY"})


def units_of(currency: str) -> int:
    """How many of its smallest units the currency's main unit has."""
    return 1 if currency in _WITHOUT_DECIMALS else 100


def amount_number(cents: int, currency: str) -> float:
    """The amount as Finances writes it."""
    scale = units_of(currency)
    return cents if scale == 1 else cents / scale


def amount_text(cents: int, currency: str) -> str:
    """The amount with the decimals of its currency: 12.30, or 1230 for yen."""
    return str(cents) if units_of(currency) == 1 else f"{cents / 100:.2f}"
