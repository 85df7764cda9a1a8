"""The table of rules: one value for each rule, and the only place where rules are listed.

To add a rule, write its function (Facts to Cases) in the module of its subject and add a Rule here.
Its window, its titles, `GET /api/connectors` and the dashboard are read from this table; a test
compares the table in the documentation with it. A rule that needs a new row or column first gets it
from `reading/` into `facts.py`."""

from collections.abc import Mapping
from decimal import Decimal

from connectors.amazon.claims.dimensions import FEE_BY_DIMENSIONS, fee_by_dimensions
from connectors.amazon.claims.fees import FULFILMENT_FEE, fba_fee_overcharge
from connectors.amazon.claims.inbound import inbound_short
from connectors.amazon.claims.receipts import inbound_mishandled
from connectors.amazon.claims.referral import REFERRAL_FEE, referral_overcharge
from connectors.amazon.claims.refund_amounts import (
    refund_commission,
    refunded_too_much,
    return_underpaid,
)
from connectors.amazon.claims.removal_shipments import removal_lost
from connectors.amazon.claims.removals import removal_short
from connectors.amazon.claims.replacements import replacement_not_returned
from connectors.amazon.claims.restocking import return_not_restocked
from connectors.amazon.claims.returns import refund_not_returned, return_amazon_damaged
from connectors.amazon.claims.reversals import reversal_without_find
from connectors.amazon.claims.rule import LOW, Rule
from connectors.amazon.claims.storage import storage_overcharge
from connectors.amazon.claims.transfers import transfer_lost
from connectors.amazon.claims.underpayment import under_reimbursed
from connectors.amazon.claims.warehouse import (
    damaged_in_warehouse,
    disposed_unrequested,
    lost_in_warehouse,
)
from connectors.amazon.claims.windows import ClaimWindow, Windows
from connectors.amazon.marketplaces import EUROPE
from connectors.amazon.settings import Days, FeeLimit
from connectors.base import Misconfigured

PRICES = ("stock", "fees")
"""The datasets that value a unit which was not sold."""

WAREHOUSE = ClaimWindow(Days(7, 60))
"""The first week is for Amazon's reports, which show finds and payments some days late."""
SOONER = Days(45, 105)
RETURNS = ClaimWindow(Days(60, 120), {"GB": SOONER, EUROPE: SOONER, "JP": SOONER})
INBOUND = ClaimWindow(
    Days(15, 270),
    {"GB": Days(15, 180), EUROPE: Days(15, 180), "AE": Days(15, 60), "IN": Days(0, 60)},
)
"""Nine months of thirty days; six in Europe, according to a copy of Amazon's page."""
FEES = ClaimWindow(Days(0, 90))
SIXTY_DAYS = ClaimWindow(Days(0, 60))
IN_TRANSIT = ClaimWindow(Days(15, 75))

FEE_LIMITS: Mapping[str, FeeLimit] = {"US": FeeLimit(Decimal("5.00"), "USD", Decimal("0.20"))}
"""The limits of the fee kept on a refund, where they are known (AMAZON_REFUND_FEE_LIMITS adds
more)."""

WAREHOUSE_POLICY = (
    "Amazon's FBA inventory reimbursement policy: units that Amazon loses or damages in its "
    "warehouses can be claimed for 60 days (since 2024-10-23) and are paid at sourcing cost (since "
    "2025-03-31)."
)
RETURNS_POLICY = (
    "Amazon's FBA customer returns reimbursement policy: claims from 60 to 120 days after the "
    "refund; in the European Union, the United Kingdom and Japan from 45 to 105 days since January "
    "2025."
)

RULES = (
    Rule(
        code="R1",
        name="LOST_WAREHOUSE",
        title="Lost in the warehouse",
        sentence="Units that Amazon lost in its warehouse and has neither found nor paid for.",
        claim_title="{units} lost in the warehouse",
        source=f"{WAREHOUSE_POLICY} Ledger reasons M and 5 are lost units, F and N are found ones.",
        inputs=("ledger", "reimbursements"),
        optional=PRICES,
        counts_from="loss",
        window=WAREHOUSE,
        find=lost_in_warehouse,
    ),
    Rule(
        code="R2",
        name="DAMAGED_WAREHOUSE",
        title="Damaged in the warehouse",
        sentence="Units that Amazon damaged in its warehouse and has not paid for.",
        claim_title="{units} damaged in the warehouse",
        source=f"{WAREHOUSE_POLICY} Ledger reasons E, 6 and 7 are units damaged there; H, K and U "
        "are units that were unsellable before, for which payment is less certain.",
        inputs=("ledger", "reimbursements"),
        optional=PRICES,
        counts_from="loss",
        window=WAREHOUSE,
        find=damaged_in_warehouse,
    ),
    Rule(
        code="R3",
        name="DISPOSED_UNREQUESTED",
        title="Disposed of without request",
        sentence="Units that Amazon disposed of without a request from you and has not paid for.",
        claim_title="{units} disposed of without request",
        source=f"{WAREHOUSE_POLICY} Ledger reason D is a disposal; removal orders are the seller's "
        "own requests.",
        inputs=("ledger", "reimbursements", "removals"),
        optional=("shipments", *PRICES),
        counts_from="loss",
        window=WAREHOUSE,
        find=disposed_unrequested,
    ),
    Rule(
        code="R4",
        name="REFUND_NOT_RETURNED",
        title="Refunded, not returned",
        sentence="Units refunded to a customer who did not return them, and not paid for.",
        claim_title="{units} refunded and never returned",
        source=f"{RETURNS_POLICY} A refunded unit must come back or be paid for.",
        inputs=("transactions", "returns", "reimbursements"),
        optional=("orders",),
        counts_from="refund",
        window=RETURNS,
        find=refund_not_returned,
    ),
    Rule(
        code="R5",
        name="RETURN_AMAZON_DAMAGED",
        title="Return damaged by Amazon",
        sentence="Returned units that Amazon or its carrier damaged and has not paid for.",
        claim_title="{units} returned, damaged by Amazon",
        source=f"{RETURNS_POLICY} Amazon is responsible for the dispositions DAMAGED and "
        "CARRIER_DAMAGED.",
        inputs=("returns", "reimbursements", "transactions"),
        optional=("orders",),
        counts_from="refund",
        window=RETURNS,
        find=return_amazon_damaged,
    ),
    Rule(
        code="R6",
        name="RETURN_NOT_RESTOCKED",
        title="Return not restocked",
        sentence="Sellable returns that the ledger does not show as put back into stock.",
        claim_title="{units} returned and not put back into stock",
        source=f"{RETURNS_POLICY} A sellable return must show in the ledger; the two are matched "
        "by month only.",
        inputs=("returns", "ledger"),
        optional=("transactions", "orders", *PRICES),
        counts_from="return",
        window=RETURNS,
        confidence=LOW,
        find=return_not_restocked,
    ),
    Rule(
        code=FULFILMENT_FEE,
        name="FBA_FEE_OVERCHARGE",
        title="Fulfilment fee too high",
        sentence="Fulfilment fees above the fee that Amazon's own previews announced.",
        claim_title="{units} charged {charged}, not {expected} {currency}",
        source="Amazon's policy on FBA fees by weight and dimensions: a fee can be disputed for 90 "
        "days. Amazon's fee previews before and after the charge state the fee that was due.",
        inputs=("transactions", "fees"),
        counts_from="charge",
        window=FEES,
        find=fba_fee_overcharge,
    ),
    Rule(
        code="R8",
        name="INBOUND_SHORT",
        title="Missing from a shipment",
        sentence="Units of an inbound shipment that Amazon has neither received nor paid for.",
        claim_title="{units} missing from shipment {shipment}",
        source="Amazon's policy on inbound shipments: missing units can be claimed once receiving "
        "has ended, for nine months; for six in Europe, and for 60 days in the United Arab "
        "Emirates and India. Sources differ.",
        inputs=("shipments", "ledger", "reimbursements"),
        optional=PRICES,
        counts_from="delivery",
        window=INBOUND,
        find=inbound_short,
    ),
    Rule(
        code="R9",
        name="REVERSAL_WITHOUT_FIND",
        title="Payment taken back",
        sentence="Reimbursements that Amazon took back although the units did not turn up.",
        claim_title="{units}: reimbursement taken back",
        source="Amazon's policy on reimbursement reversals: Amazon may take a payment back when "
        "the unit turns up, and the seller can dispute it for 60 days.",
        inputs=("reimbursements", "ledger"),
        optional=(
            *("transactions", "returns", "replacements", "shipments", "removals"),
            *("removal_shipments", "orders"),
        ),
        counts_from="reversal",
        window=WAREHOUSE,
        find=reversal_without_find,
    ),
    Rule(
        code="R10",
        name="UNDER_REIMBURSED",
        title="Paid below cost",
        sentence="Lost or damaged units that Amazon paid for with less than they cost you.",
        claim_title="{units} paid below cost",
        source="Amazon's policy since 2025-03-31 pays the sourcing cost that the seller entered; "
        "an amount can be disputed for 60 days.",
        inputs=("reimbursements",),
        optional=("stock",),
        counts_from="payment",
        window=SIXTY_DAYS,
        find=under_reimbursed,
    ),
    Rule(
        code="R11",
        name="REMOVAL_SHORT",
        title="Missing from a removal",
        sentence="Units of a completed removal order that were neither sent, disposed of nor paid.",
        claim_title="{units} missing from removal order {order}",
        source="Amazon's policy on removal orders: units that are lost or damaged in a removal are "
        "paid on request, for 60 days.",
        inputs=("removals", "reimbursements"),
        optional=("ledger", "shipments", *PRICES),
        counts_from="completion",
        window=SIXTY_DAYS,
        find=removal_short,
    ),
    Rule(
        code="R12",
        name="REMOVAL_LOST",
        title="Lost on the way to you",
        sentence="Units of a removal order that were sent to you, did not arrive and were not paid "
        "for.",
        claim_title="{units} sent by removal order {order}: {arrival}",
        source="Amazon's policy on removal orders: units that are lost in transit are paid on "
        "request, from 15 to 75 days after their shipment.",
        inputs=("removal_shipments", "reimbursements"),
        optional=("removals", "ledger", "shipments", *PRICES),
        counts_from="shipment",
        window=IN_TRANSIT,
        find=removal_lost,
    ),
    Rule(
        code="R13",
        name="RETURN_UNDERPAID",
        title="Refund paid in part",
        sentence="Refunded units that Amazon paid for with less than the refund took from you.",
        claim_title="{units} paid {paid}, not {due} {currency}",
        source="Amazon's FBA customer returns reimbursement policy: a refunded unit that does not "
        "come back is paid at its sale price less fees; an amount can be disputed for 60 days.",
        inputs=("transactions", "returns", "reimbursements"),
        optional=("orders",),
        counts_from="payment",
        window=SIXTY_DAYS,
        find=return_underpaid,
    ),
    Rule(
        code="R14",
        name="INBOUND_DAMAGED",
        title="Damaged or taken back inbound",
        sentence="Units of a shipment that Amazon received damaged or took back, and did not pay.",
        claim_title="{units} {what}, shipment {shipment}",
        source="Amazon's policy on inbound shipments: units that Amazon damages or loses while "
        "receiving them are paid for, like missing ones.",
        inputs=("shipments", "ledger", "reimbursements"),
        optional=PRICES,
        counts_from="delivery",
        window=INBOUND,
        find=inbound_mishandled,
    ),
    Rule(
        code="R15",
        name="REPLACEMENT_NOT_RETURNED",
        title="Replaced, not returned",
        sentence="Units replaced for a customer who did not return the original, and not paid for.",
        claim_title="{units} replaced, the original never returned",
        source=f"{RETURNS_POLICY} The days count from a replacement as from a refund: the original "
        "unit must come back or be paid for.",
        inputs=("replacements", "transactions", "returns", "reimbursements"),
        optional=("orders", *PRICES),
        counts_from="replacement",
        window=RETURNS,
        find=replacement_not_returned,
    ),
    Rule(
        code=REFERRAL_FEE,
        name="REFERRAL_OVERCHARGE",
        title="Referral fee too high",
        sentence="Referral fees above the share of the price that Amazon's previews announced.",
        claim_title="{units} charged a referral fee of {charged}, not {expected} {currency}",
        source="Amazon's policy on selling fees: the fee preview states the referral fee of a "
        "product; a fee can be disputed for 90 days.",
        inputs=("transactions", "fees"),
        counts_from="charge",
        window=FEES,
        find=referral_overcharge,
    ),
    Rule(
        code="R17",
        name="REFUND_COMMISSION",
        title="Too much kept on a refund",
        sentence="Refunds on which Amazon kept more of its referral fee than its policy allows.",
        claim_title="{units} refunded: {kept} kept, not {allowed} {currency}",
        source="Amazon's policy on refund administration fees: Amazon keeps an amount or a share "
        "of the referral fee, whichever is less; in the United States 5.00 USD or 20 %.",
        inputs=("transactions",),
        counts_from="refund",
        window=FEES,
        find=refund_commission,
    ),
    Rule(
        code="R18",
        name="REFUNDED_TOO_MUCH",
        title="Refunded above the price",
        sentence="Refunds of Amazon that gave a customer more than they had paid.",
        claim_title="{units} refunded for {refunded}, sold for {price} {currency}",
        source="Amazon's policy on refunds by customer service: a refund is at most the price that "
        "the customer paid.",
        inputs=("transactions", "returns", "reimbursements"),
        optional=("orders",),
        counts_from="refund",
        window=FEES,
        find=refunded_too_much,
    ),
    Rule(
        code=FEE_BY_DIMENSIONS,
        name="FEE_DIMENSIONS",
        title="Measured too large",
        sentence="Fulfilment fees of units that Amazon measured larger than before, or than you.",
        claim_title="{units} charged {charged} each for a larger measurement",
        source="Amazon's policy on FBA fees by weight and dimensions: Amazon's own measurement "
        "governs, so ask for a new one; a product that was measured twice in 60 days is not "
        "measured again, and a fee can be disputed for 90 days.",
        inputs=("transactions", "fees"),
        counts_from="charge",
        window=FEES,
        find=fee_by_dimensions,
    ),
    Rule(
        code="R20",
        name="TRANSFER_LOST",
        title="Lost between warehouses",
        sentence="Units that left one warehouse of Amazon and did not arrive in another.",
        claim_title="{units} lost between warehouses",
        source=f"{WAREHOUSE_POLICY} A unit in transfer must arrive or be shown as lost.",
        inputs=("ledger", "reimbursements"),
        optional=PRICES,
        counts_from="transfer",
        window=SIXTY_DAYS,
        confidence=LOW,
        find=transfer_lost,
    ),
    Rule(
        code="R21",
        name="STORAGE_OVERCHARGE",
        title="Storage fee too high",
        sentence="Storage fees for more units than the ledger shows in the warehouses.",
        claim_title="{units} charged for storage in {month} beyond the {shown} that were stored",
        source="Amazon's policy on monthly storage fees: they are charged for the average number "
        "of units that were stored in the month; a fee can be disputed for 90 days.",
        inputs=("storage_fees", "ledger", "inventory"),
        counts_from="charge",
        window=FEES,
        confidence=LOW,
        find=storage_overcharge,
    ),
)


def rule_windows(
    changes: Mapping[str, Mapping[str, Days]] | None = None, home: str = ""
) -> Windows:
    """The windows of all rules, with `changes` by place and code. `home` is the place of claims
    that name none; if empty, it is the place with the most sales.

    Raises Misconfigured if the changes name an unknown rule."""
    codes = [rule.code for rule in RULES]
    for place, days in (changes or {}).items():
        if unknown := [code for code in days if code not in codes]:
            raise Misconfigured(
                f"AMAZON_CLAIM_WINDOWS: {place} names the rule {unknown[0][:20]!r}, which does not "
                f"exist. The rules are {', '.join(codes)}."
            )
    return Windows({rule.code: rule.window for rule in RULES}, changes or {}, home)


DEFAULT_WINDOWS = rule_windows()
