"""What a report is about: whose, of when, for where; and how its cells are written."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from connectors.amazon_sandbox.generator.seller import Seller

Cells = tuple[str, ...]


class Scope(msgspec.Struct, frozen=True):
    """`start` is None where the caller gave none at the place where it counts.

    `copies` repeats what makes a report large, with other values each time.
    """

    seller: Seller
    start: float | None
    end: float
    created: float
    marketplaces: frozenset[str]
    copies: int = 1

    def holds(self, at: float, default_days: int = 30) -> bool:
        """Whether that moment is in the window; without a start it is the last so many days."""
        start = self.created - default_days * 86_400 if self.start is None else self.start
        return start <= at <= self.end

    def money(self, cents: int) -> str:
        """With a decimal comma, if the seller is paid in euros."""
        return plain(cents).replace(".", "," if self.seller.home.currency == "EUR" else ".")

    @property
    def currency(self) -> str:
        return self.seller.home.currency


def plain(cents: int) -> str:
    return f"{cents / 100:.2f}"


def moment(at: float) -> str:
    """A date and time as reports write it."""
    return datetime.fromtimestamp(int(at), UTC).isoformat()


def american(at: float) -> str:
    """A date with the month first."""
    return f"{datetime.fromtimestamp(int(at), UTC):%m/%d/%Y}"


def count(rows: Iterable[Cells]) -> int:
    return sum(1 for _ in rows)


def quoted(rows: Iterator[Cells]) -> Iterator[Cells]:
    for cells in rows:
        yield tuple('"' + cell.replace('"', '""') + '"' for cell in cells)
