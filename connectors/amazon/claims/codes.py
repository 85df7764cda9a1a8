"""Amazon's codes, and what they mean for a claim.

Sources: Seller Central help 200453260 and 200372710 (ledger reasons), 200453320 (dispositions).
Words are compared as `cells.label` writes them: Lost_Warehouse is "lostwarehouse"."""

# Reasons of ledger adjustments -------------------------------------------------------------------

LOST = frozenset({"M", "5"})
DAMAGED = frozenset({"E", "6", "7"})
MAYBE_DAMAGED = frozenset({"H", "K", "U"})
"""Units damaged when already unsellable. Sources differ on whether Amazon pays for them."""
FOUND = frozenset({"F", "N"})
MAYBE_FOUND = frozenset({"N"})
"""Units found, or transferred from another owner: sources differ."""
DISPOSED = frozenset({"D"})
ADJUSTMENTS = LOST | DAMAGED | MAYBE_DAMAGED | FOUND | DISPOSED
"""Every reason that a rule reads. The others (P, Q, O, G, …) only move or relabel units."""

# Dispositions ------------------------------------------------------------------------------------

SELLABLE = "sellable"
WAREHOUSE_DAMAGED = "warehousedamaged"
DISTRIBUTOR_DAMAGED = "distributordamaged"
NOT_THE_SELLERS_FAULT = frozenset({SELLABLE, WAREHOUSE_DAMAGED, "expired"})
"""Dispositions of disposed units for which the seller is not responsible."""
AMAZONS_FAULT = frozenset({"damaged", "carrierdamaged"})
"""Dispositions of returned units that Amazon or its carrier damaged."""

# Reasons of reimbursements -----------------------------------------------------------------------

LOST_WAREHOUSE = "lostwarehouse"
DAMAGED_WAREHOUSE = "damagedwarehouse"
LOST_INBOUND = "lostinbound"
DAMAGED_INBOUND = "damagedinbound"
CUSTOMER_RETURN = "customerreturn"
LOST_OUTBOUND = frozenset({"lostoutbound", "damagedoutbound"})
"""Units lost or damaged on the way to a customer or to the seller."""
REVERSED = "reimbursementreversal"
LOST_OR_DAMAGED = ("lost", "damaged")
"""How the reasons of lost and damaged units begin, in a warehouse, inbound or outbound."""
