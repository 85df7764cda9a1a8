"""The scope of a report (seller, window, marketplaces), and the format of its cells."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from connectors.amazon_sandbox.generator.amounts import amount_text
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES, MarketplaceInfo
from connectors.amazon_sandbox.generator.seller import Seller

Cells = tuple[str, ...]


class Scope(msgspec.Struct, frozen=True):
    """The scope of a report. Moments are in seconds since 1970."""

    seller: Seller
    #: None without a `dataStartTime`.
    start: float | None
    end: float
    created: float
    marketplaces: frozenset[str]
    #: How often the ledger repeats its rows of shipments.
    copies: int = 1
    #: Whether reports leave out the order with this id.
    hides: Callable[[str], bool] = lambda order_id: False

    def includes(self, at: float, default_days: int = 30) -> bool:
        """Whether the window includes that moment; by default it starts `default_days` ago."""
        start = self.created - default_days * 86_400 if self.start is None else self.start
        return start <= at <= self.end

    def money(self, cents: int) -> str:
        return localized(cents, self.currency)

    @property
    def currency(self) -> str:
        return self.seller.home.currency

    @property
    def place(self) -> MarketplaceInfo:
        """The one marketplace that a report by marketplace shows: home, or the first one named."""
        home = self.seller.home
        if home.id in self.marketplaces or not self.marketplaces:
            return home
        return MARKETPLACES[min(self.marketplaces)]


def localized(cents: int, currency: str) -> str:
    """An amount, with a decimal comma if it is in euros."""
    return amount_text(cents, currency).replace(".", "," if currency == "EUR" else ".")


def moment(at: float) -> str:
    """A date and time in the format of reports."""
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def us_date(at: float) -> str:
    """A date in the format MM/DD/YYYY."""
    return f"{datetime.fromtimestamp(int(at), UTC):%m/%d/%Y}"


def count(rows: Iterable[Cells]) -> int:
    return sum(1 for _ in rows)


def quoted(rows: Iterator[Cells]) -> Iterator[Cells]:
    for cells in rows:
        yield tuple('"' + cell.replace('"', '""') + '"' for cell in cells)
