"""Which seller: a seed and a size, and the names it goes by."""

import re
from typing import Self

import msgspec

from connectors.amazon_sandbox.generator.draw import digest

MOST_ORDERS = 1_000_000  # a mistyped size must not eat the machine's memory

_NAME = re.compile(r"(\d{1,18})(?:-(\d{1,7}))?", re.ASCII)
_PREFIX = "Atzr|sandbox-"
_CODE = "sandbox-"


class Identity(msgspec.Struct, frozen=True):
    seed: int
    orders: int

    @property
    def name(self) -> str:
        return f"{self.seed}-{self.orders}"

    @property
    def refresh_token(self) -> str:
        return _PREFIX + self.name

    @property
    def partner_id(self) -> str:
        """The selling partner's id, as it is given out with a consent."""
        return "A" + digest(self.name)[:13].upper()

    @property
    def code(self) -> str:
        """What is given out with a consent, to be redeemed for the refresh token."""
        return _CODE + self.name

    @classmethod
    def of_name(cls, name: str, default_orders: int) -> Self | None:
        """The seller called SEED or SEED-ORDERS; None if that is no seller's name."""
        match = _NAME.fullmatch(name)
        if not match:
            return None
        orders = default_orders if match[2] is None else int(match[2])
        return cls(int(match[1]), orders) if orders <= MOST_ORDERS else None

    @classmethod
    def of_token(cls, token: str, default_orders: int) -> Self | None:
        """The seller whose refresh token this is; None if it is nobody's."""
        if not token.startswith(_PREFIX):
            return None
        return cls.of_name(token.removeprefix(_PREFIX), default_orders)

    @classmethod
    def of_code(cls, code: str, default_orders: int) -> Self | None:
        """The seller who consented with that code; None if nobody did."""
        if not code.startswith(_CODE):
            return None
        return cls.of_name(code.removeprefix(_CODE), default_orders)
