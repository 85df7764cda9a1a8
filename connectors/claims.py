"""Claims for money that the other side of a connection owes, and their inputs."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

import msgspec


class Money(msgspec.Struct, frozen=True):
    """A decimal amount as text, and its ISO 4217 currency."""

    amount: str
    currency: str


class Dimensions(msgspec.Struct, frozen=True):
    """The size and the weight of a packed unit: decimal numbers as text, with their units."""

    length: str
    width: str
    height: str
    #: cm or in.
    length_unit: str
    weight: str
    #: g, kg, lb or oz.
    weight_unit: str


class RemovalArrival(msgspec.Struct, frozen=True):
    """The number of units of a removal order that arrived, as the user reports it.

    Non-empty fields narrow it to a product or parcel."""

    #: The source's id of the removal order.
    order: str
    #: The units that arrived; 0 if none did.
    units: int
    sku: str = ""
    #: The source's own code of the product.
    fnsku: str = ""
    tracking: str = ""
    #: The day on which they arrived.
    day: date | None = None


class RemovalColumns(msgspec.Struct, frozen=True):
    """The fields in which the records of a dataset, as JSON objects, name removal orders and their
    products. A name is empty if the records have no such field."""

    dataset: str
    order: str
    sku: str
    fnsku: str
    tracking: str = ""


class ValuationStep(msgspec.Struct, frozen=True):
    """One step of how an amount was computed, as a sentence, with its result if it has one."""

    text: str
    amount: str | None = None
    currency: str | None = None


class Paid(msgspec.Struct, frozen=True):
    """The payment of the other side for a case."""

    #: None if it is unknown, or if units were replaced instead.
    amount: str | None
    currency: str | None
    at: date | None
    #: The source's id of the payment; several are separated by commas.
    reimbursement_id: str | None


ClosedReason = Literal["found", "reconciled", "reversed", "no longer supported"]
"""Why nothing is owed although there is no valid payment: the units turned up; the other side's
books are balanced; the payment or the reversal in question was taken back, so that any amount owed
is another case; the records or the rules no longer support the case."""


class Claim(msgspec.Struct, frozen=True):
    """Money that the other side owes the user, with its evidence."""

    #: Made of the rule and the natural key of the case, so that a case found again has the same id.
    id: str
    rule: str
    title: str
    #: waiting (until `opens`), claimable (until `closes`) or expired.
    status: str
    units: int
    #: None if it cannot be determined.
    amount: str | None
    currency: str | None
    opens: date
    closes: date
    confidence: str
    #: How the amount was computed.
    valuation: str
    #: The ids of the records that prove it, by dataset.
    evidence: Mapping[str, Sequence[str]]
    details: Mapping[str, str] = {}
    #: The day of the event that the window is counted from.
    happened_at: date | None = None
    #: A summary in a few sentences: the event, the amount owed, and the deadline.
    summary: str = ""
    #: The text with which the user files the claim.
    case_text: str = ""
    #: How the amount was computed, step by step.
    steps: Sequence[ValuationStep] = ()


class Findings(msgspec.Struct, frozen=True):
    """The result of a detection."""

    claims: Sequence[Claim]
    #: The rules that had all their inputs: a case that is no longer found is no longer a claim.
    ran: Sequence[str]
    #: The ids of cases that have been paid.
    settled: Sequence[str] = ()
    #: Why each other rule did not run.
    skipped: Mapping[str, str] = {}
    #: Why nothing is owed any longer, by the id of the case.
    closed: Mapping[str, ClosedReason] = {}
    #: The ids in `closed` of cases that have no valid payment: a payment reported earlier was taken
    #: back, or was for another case.
    unpaid: Sequence[str] = ()
    #: The payments, by the ids in `settled`.
    payments: Mapping[str, Paid] = {}
    #: By rule, the day of the oldest event that it looks for; older claims stay as they are.
    searched_since: Mapping[str, date] = {}


class ClaimRule(msgspec.Struct, frozen=True):
    """A rule by which a connector finds claims, as users see it."""

    #: Its stable code, which claims carry.
    code: str
    title: str
    #: One sentence on what it finds.
    sentence: str
