"""Where a story happens: one product, one moment, and the dice for its details."""

import random

import msgspec

from connectors.amazon_sandbox.generator.book import Book, Finding, Movement, Payment, payment
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, day, digits

CENTERS = ("PHL7", "ONT8", "MDW2", "DFW7", "TPA1")


class Spot(msgspec.Struct, frozen=True):
    """`name` is the story's own; `index` counts the stories of its kind. `modern`: the ledger has
    Amazon's own open figures (for some of its rows)."""

    book: Book
    product: Product
    at: int
    name: str
    index: int
    modern: bool
    rng: random.Random

    @property
    def reference(self) -> str:
        return digits(int.from_bytes(self.name.encode(), "big"), 7, 12)

    @property
    def center(self) -> str:
        return CENTERS[self.product.number % len(CENTERS)]

    @property
    def late(self) -> bool:
        """Every second story of a kind ends with a payment that comes very late."""
        return self.index % 2 == 1

    def adjust(
        self,
        reason: str,
        quantity: int,
        after: float = 0,
        *,
        disposition: str = "SELLABLE",
        unsettled: int | None = None,
    ) -> int:
        """Enter an adjustment so many days after the beginning; its units if it is known yet."""
        return self.book.move(
            Movement(
                at=self.moment(after),
                product=self.product,
                event="Adjustments",
                reference=self.reference if reason != "F" else self.reference[::-1],
                quantity=quantity,
                center=self.center,
                disposition=disposition,
                reason=reason,
                unsettled=unsettled,
            )
        )

    def pay(self, reason: str, units: int, after: float, each: int | None = None) -> int:
        """Enter a reimbursement approved so many days later; its units if it is seen yet."""
        return self.book.pay(self.payment(reason, units, after, each))

    def payment(
        self, reason: str, units: int, after: float = 0, each: int | None = None
    ) -> Payment:
        id = digits(int.from_bytes(f"{self.name} {after}".encode(), "big"), 11, 11)
        return payment(id, self.moment(after), reason, self.product, units, each=each)

    def claims(self, finding: Finding, reason: str) -> None:
        """Enter the claim, with the reimbursement that would settle it on demand."""
        self.book.settle(finding, self.payment(reason, finding.units, after=-1))

    def moment(self, after: float) -> int:
        return self.at + int(after * DAY)

    @property
    def date(self) -> str:
        return day(self.at).isoformat()
