"""The placement of a scenario: its product, its moment, and the random stream for its details."""

import random

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.journal import (
    Ending,
    Journal,
    Movement,
    PlantedClaim,
    Reimbursement,
    reimbursement,
)
from connectors.amazon_sandbox.generator.randomness import decimal_id
from connectors.amazon_sandbox.generator.times import DAY, day

CENTERS = ("PHL7", "ONT8", "MDW2", "DFW7", "TPA1")


class Placement(msgspec.Struct, frozen=True):
    journal: Journal
    product: Product
    #: When the scenario begins, in seconds since 1970.
    at: int
    #: Unique for each occurrence; seeds the random stream and the ids.
    name: str
    #: Counts the scenarios of the same kind.
    index: int
    #: The ledger has Amazon's own unreconciled quantities, for some of its rows.
    modern: bool
    rng: random.Random

    @property
    def reference(self) -> str:
        return decimal_id(int.from_bytes(self.name.encode(), "big"), 7, 12)

    @property
    def center(self) -> str:
        return CENTERS[self.product.number % len(CENTERS)]

    @property
    def reimbursed_late(self) -> bool:
        """Whether the scenario ends with a very late reimbursement, as every second one of a kind
        does."""
        return self.index % 2 == 1

    def adjust(
        self,
        reason: str,
        quantity: int,
        after: float = 0,
        *,
        disposition: str = "SELLABLE",
        unreconciled: int | None = None,
    ) -> int:
        """Add an adjustment `after` days after the start. Returns its units, or 0 if it is still to
        come."""
        return self.journal.add_movement(
            Movement(
                at=self.moment(after),
                product=self.product,
                event="Adjustments",
                reference=self.reference if reason != "F" else self.reference[::-1],
                quantity=quantity,
                center=self.center,
                disposition=disposition,
                reason=reason,
                unreconciled=unreconciled,
            )
        )

    def add_reimbursement(
        self, reason: str, units: int, after: float, unit_cents: int | None = None
    ) -> int:
        """Add a reimbursement approved `after` days after the start. Returns its units, or 0 if it
        is not visible yet."""
        return self.journal.add_reimbursement(self.reimbursement(reason, units, after, unit_cents))

    def reimbursement(
        self, reason: str, units: int, after: float = 0, unit_cents: int | None = None
    ) -> Reimbursement:
        id = decimal_id(int.from_bytes(f"{self.name} {after}".encode(), "big"), 11, 11)
        return reimbursement(
            id, self.moment(after), reason, self.product, units, unit_cents=unit_cents
        )

    def add_claim(self, claim: PlantedClaim, reason: str, order_id: str = "") -> None:
        """Add a claim, with the reimbursement that settles it on demand."""
        on_demand = self.reimbursement(reason, claim.units, after=-1)
        self.journal.add_claim(claim, msgspec.structs.replace(on_demand, order_id=order_id))

    def end(self, rule: str, key: str, reason: str, after: float) -> None:
        """Record that the claim ended without a payment, `after` days after the start."""
        self.journal.add_ending(Ending(rule, key, reason, self.moment(after)))

    def end_paid(self, rule: str, key: str, *paid: Reimbursement) -> None:
        """Record that these reimbursements, which become visible together, end the claim."""
        self.journal.add_ending(Ending(rule, key, "reimbursed", paid[0].visible_at, paid))

    def moment(self, after: float) -> int:
        """The moment `after` days after the start, in seconds since 1970."""
        return self.at + int(after * DAY)

    @property
    def date(self) -> str:
        return day(self.at).isoformat()
