"""The rules: what each needs, which public policy it follows, and the function that applies it."""

from connectors.amazon.claims.cases import HIGH, LOW, Rule
from connectors.amazon.claims.fees import fba_fee_overcharge
from connectors.amazon.claims.inbound import inbound_short
from connectors.amazon.claims.reimbursed import reversal_without_find, under_reimbursed
from connectors.amazon.claims.returns import (
    refund_not_returned,
    return_amazon_damaged,
    return_not_restocked,
)
from connectors.amazon.claims.warehouse import (
    damaged_in_warehouse,
    disposed_unrequested,
    lost_in_warehouse,
)

PRICES = ("stock", "fees")
WAREHOUSE_POLICY = (
    "Amazon's reimbursement policy for FBA inventory: what it loses or damages in its warehouses "
    "can be claimed for sixty days (since 2024-10-23) and is paid at sourcing cost (since "
    "2025-03-31)."
)
RETURNS_POLICY = (
    "Amazon's reimbursement policy for FBA customer returns: claims from sixty to 120 days after "
    "the refund; in the European Union its announcement of 2024 says 45 to 105."
)

RULES = (
    Rule(
        "R1",
        "LOST_WAREHOUSE",
        ("ledger", "reimbursements"),
        f"{WAREHOUSE_POLICY} Ledger reasons M and 5 are misplaced units, F and N are found ones.",
        HIGH,
        lost_in_warehouse,
        PRICES,
    ),
    Rule(
        "R2",
        "DAMAGED_WAREHOUSE",
        ("ledger", "reimbursements"),
        f"{WAREHOUSE_POLICY} Ledger reasons E, 6 and 7 are units damaged there; H, K and U, "
        "damaged when already unsellable, are less sure.",
        HIGH,
        damaged_in_warehouse,
        PRICES,
    ),
    Rule(
        "R3",
        "DISPOSED_UNREQUESTED",
        ("ledger", "reimbursements", "removals"),
        f"{WAREHOUSE_POLICY} Ledger reason D is a disposal; the seller's own are removal orders.",
        HIGH,
        disposed_unrequested,
        PRICES,
    ),
    Rule(
        "R4",
        "REFUND_NOT_RETURNED",
        ("transactions", "returns", "reimbursements"),
        f"{RETURNS_POLICY} A unit that was refunded has to come back or to be paid for.",
        HIGH,
        refund_not_returned,
        ("orders",),
    ),
    Rule(
        "R5",
        "RETURN_AMAZON_DAMAGED",
        ("returns", "reimbursements", "transactions"),
        f"{RETURNS_POLICY} Amazon answers for the dispositions DAMAGED and CARRIER_DAMAGED.",
        HIGH,
        return_amazon_damaged,
        ("orders",),
    ),
    Rule(
        "R6",
        "RETURN_NOT_RESTOCKED",
        ("returns", "ledger"),
        f"{RETURNS_POLICY} A sellable return has to show in the ledger; matched by month only.",
        LOW,
        return_not_restocked,
        ("transactions", "orders", *PRICES),
    ),
    Rule(
        "R7",
        "FBA_FEE_OVERCHARGE",
        ("transactions", "fees"),
        "Amazon's policy on FBA fees by weight and dimensions: a fee can be disputed for ninety "
        "days. Its own fee preview from before the charge says what it had to be.",
        HIGH,
        fba_fee_overcharge,
    ),
    Rule(
        "R8",
        "INBOUND_SHORT",
        ("shipments", "ledger", "reimbursements"),
        "Amazon's policy on inbound shipments: what it received short can be claimed once "
        "receiving is over. Sources differ on how long; nine months by default.",
        HIGH,
        inbound_short,
        PRICES,
    ),
    Rule(
        "R9",
        "REVERSAL_WITHOUT_FIND",
        ("reimbursements", "ledger"),
        "Amazon's policy lets it take a reimbursement back when the item turns up, and lets the "
        "seller dispute it for sixty days.",
        HIGH,
        reversal_without_find,
        ("transactions", "returns", "shipments", "orders"),
    ),
    Rule(
        "R10",
        "UNDER_REIMBURSED",
        ("reimbursements",),
        "Amazon's policy since 2025-03-31 pays the seller's sourcing cost where he has entered it; "
        "an amount can be disputed for sixty days.",
        HIGH,
        under_reimbursed,
        ("stock",),
    ),
)
