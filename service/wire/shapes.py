"""Response shapes of users, connectors, claims, costs and problems. `sync_shapes.py` has those of
syncs, `connection_shapes.py` those of connections, `record_shapes.py` those of records.

Times are RFC 3339 in UTC. An unknown number is null, never an estimate. Amounts of money are
decimal numbers as text; a field beside them has the ISO 4217 currency."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, get_args

import msgspec

from connectors.claims import ClosedReason
from service.store.claim_orders import STATUSES
from service.wire.fields import Amount, Count, Day, Out, Time, one_of
from service.wire.record_shapes import RecordOut

# Users ----------------------------------------------------------------------------------------


class PlanOfMe(Out, frozen=True):
    """The limits of the user's plan. Null means unlimited."""

    name: str
    syncs_per_day: Count | None
    #: Syncs started since midnight UTC.
    syncs_today: Count
    #: The days of history that a sync may read.
    history_days: Count | None
    #: The live syncs that the tenant may have.
    concurrency: Count | None


class Me(Out, frozen=True):
    """The user of the request."""

    #: The `sub` of the token, unique within the tenant.
    user: str
    tenant: str
    role: Annotated[str, one_of("operator")] | None
    plan: PlanOfMe


# Connectors -----------------------------------------------------------------------------------


class ColumnOut(Out, frozen=True):
    """A column of a dataset's records in a table, and of its CSV file."""

    #: Unique within the dataset; the head of the column in the CSV file.
    name: str
    label: str
    #: The place of the value in a record: names of fields, separated by dots.
    path: str
    kind: Annotated[str, one_of("text", "number", "money", "date")]
    #: For money: the path of its ISO 4217 code; null if the record has none.
    currency: str | None


class ConnectorDataset(Out, frozen=True):
    """A dataset that a connector reads, and the columns of its records in a table."""

    name: str
    label: str
    columns: Sequence[ColumnOut]


class ClaimRule(Out, frozen=True):
    """A rule by which a connector finds claims."""

    code: str
    title: str
    sentence: str


class Connector(Out, frozen=True):
    """A connector, with its settings, datasets and claim rules."""

    name: str
    label: str
    #: Whether users can authorise it on a page of the source.
    consent: bool
    #: A JSON Schema of the fields of POST /api/connections. Secrets are `writeOnly`.
    settings: Mapping[str, Any]
    datasets: Sequence[ConnectorDataset]
    rules: Sequence[ClaimRule]


class Connectors(Out, frozen=True):
    """The connectors of this service."""

    connectors: Sequence[Connector]


# Records, claims and costs --------------------------------------------------------------------


class ValuationStepOut(Out, frozen=True):
    """A step in the calculation of an amount."""

    text: str
    #: The result of the step, if it has one.
    amount: Amount | None
    currency: str | None


class PaymentOut(Out, frozen=True):
    """The payment for a reimbursed claim."""

    #: Null if it is unknown, or if units were replaced instead.
    amount: Amount | None
    currency: str | None
    at: date | None
    #: The source's id of the payment; several are separated by commas.
    reimbursement_id: str | None


class RecoveryOut(Out, frozen=True):
    """A claim."""

    id: str
    rule: str
    title: str
    #: As of today: waiting before `opens`, claimable until `closes`, then expired; reimbursed once
    #: it is paid; closed if nothing is owed for another reason.
    status: Annotated[str, one_of(*STATUSES)]
    units: int
    #: Null if it cannot be determined.
    amount: Amount | None
    currency: str | None
    opens: date
    closes: date
    confidence: str
    #: How the amount was calculated, step by step.
    valuation: Sequence[ValuationStepOut]
    details: Mapping[str, str]
    #: The day of the event that the window is counted from; null until a sync finds it again.
    happened_at: date | None
    #: When a sync first found the claim.
    found_at: Time
    #: What happened, what is owed and until when, in a few sentences.
    summary: str
    #: The text with which the claim is filed.
    case_text: str
    #: Null unless the claim is reimbursed and the payment is known.
    paid: PaymentOut | None
    #: The reason why the claim is closed; null for any other status.
    closed_reason: Annotated[str, one_of(*get_args(ClosedReason))] | None
    connection_id: str
    sync_id: str
    updated_at: Time


class FieldChange(Out, frozen=True):
    """A field of a record that the source has changed, added or removed."""

    field: str
    #: Null if the record did not have the field.
    before: msgspec.Raw
    #: Null if the record no longer has the field.
    after: msgspec.Raw


class EvidenceOut(RecordOut, frozen=True):
    """A proving record as it was when the claim was found, and what the source has changed
    since."""

    #: `deleted`: no longer stored, because the source no longer has it.
    state: Annotated[str, one_of("unchanged", "changed", "deleted")]
    changes: Sequence[FieldChange]
    #: The record as it is now; null unless it is changed.
    now: RecordOut | None


class ProvenRecovery(RecoveryOut, frozen=True):
    """A claim with its evidence."""

    #: The records that prove the claim, by dataset, as they were when the claim was found.
    evidence: Mapping[str, Sequence[EvidenceOut]]


class Total(Out, frozen=True):
    """The claims of one currency and status."""

    currency: str | None
    status: str
    claims: Count
    #: The number of the claims without an amount.
    unvalued: Count
    amount: Amount | None


class ClosingTotal(Out, frozen=True):
    """The claimable claims of one currency that close within a number of days."""

    currency: str | None
    days: Count
    claims: Count
    #: The number of the claims without an amount.
    unvalued: Count
    amount: Amount | None


class Recoveries(Out, frozen=True):
    """A page of claims, and the totals of all pages of the same filter."""

    recoveries: Sequence[RecoveryOut]
    totals: Sequence[Total]
    #: The claims that close within 7 and within 30 days.
    closing: Sequence[ClosingTotal]
    next_cursor: str | None


class SeriesPoint(Out, frozen=True):
    """The claims of one month, rule and currency."""

    #: The month of the event, such as 2026-01; null if its day is unknown.
    month: str | None
    rule: str
    currency: str | None
    claims: Count
    #: The number of the claims without an amount.
    unvalued: Count
    amount: Amount | None


class RecoverySeries(Out, frozen=True):
    """Claims by the month of their event, by rule and currency; the oldest month first."""

    series: Sequence[SeriesPoint]


class Cost(Out, frozen=True):
    """The cost of one unit of a product."""

    sku: str
    cost: Amount
    currency: str


class Costs(Out, frozen=True):
    """A page of the user's unit costs, in the order of their SKUs."""

    costs: Sequence[Cost]
    next_cursor: str | None


class RemovalReceived(Out, frozen=True):
    """The units of a removal order, or of a part of it, that arrived, as the user reports them."""

    #: The source's id of the removal order.
    order_id: str
    #: Empty for all products.
    sku: str
    #: The source's own code of the product; empty for all products.
    fnsku: str
    #: Empty for all parcels.
    tracking_number: str
    #: 0 if nothing arrived.
    quantity_received: Count
    #: The day on which they arrived.
    date: Day | None


class RemovalsReceived(Out, frozen=True):
    """A page of the user's reports on removal orders, sorted by order, product and parcel."""

    received: Sequence[RemovalReceived]
    next_cursor: str | None


class WrongRemovalLine(Out, frozen=True):
    """A rejected line, and the reason."""

    line: Count
    order_id: str
    message: str


class RemovalsTaken(Out, frozen=True):
    """The result of an upload of received removals."""

    accepted: Count
    rejected: Count
    #: The first thousand rejected lines.
    errors: Sequence[WrongRemovalLine]


class WrongLine(Out, frozen=True):
    """A rejected line, and the reason."""

    line: Count
    sku: str
    message: str


class CostsTaken(Out, frozen=True):
    """The result of an upload of costs."""

    accepted: Count
    rejected: Count
    #: The first thousand rejected lines.
    errors: Sequence[WrongLine]


# Health and problems --------------------------------------------------------------------------


class Health(Out, frozen=True):
    """The service is running, or ready."""

    status: Annotated[str, one_of("ok", "ready")]


class FieldError(Out, frozen=True):
    """An invalid field."""

    field: str
    message: str


class Problem(Out, frozen=True):
    """An error (RFC 9457). Some errors have more fields. For example, `sync_already_running` has
    `syncId`, `statusUrl` and `streamUrl`."""

    type: str
    title: str
    status: int
    #: What went wrong, and what to do.
    detail: str
    #: The error code, for programs.
    code: str
    #: The invalid fields of the request.
    errors: Sequence[FieldError] | msgspec.UnsetType = msgspec.UNSET
