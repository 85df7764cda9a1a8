"""Response shapes of users, connections, records, claims, costs and problems. `sync_shapes.py` has
the shapes of syncs.

Times are RFC 3339 in UTC. An unknown number is null, never an estimate. Amounts of money are
decimal numbers as text; a field beside them has the ISO 4217 currency."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, get_args

import msgspec

from connectors.base import ClosedReason
from service.model import Fault
from service.store.claim_orders import STATUSES
from service.wire.fields import Amount, Count, Out, Time, one_of
from service.wire.sync_shapes import Addresses, CompletenessOut, ShownStatus

# Users ----------------------------------------------------------------------------------------


class PlanOfMe(Out, frozen=True):
    """The limits of the user's plan. Null means unlimited."""

    name: str
    syncs_per_day: Count | None
    #: Syncs started since midnight UTC.
    syncs_today: Count
    #: How many days of history a sync may read.
    history_days: Count | None
    #: How many live syncs the tenant may have.
    concurrency: Count | None


class Me(Out, frozen=True):
    """The user of the request."""

    #: The `sub` of the token, unique within the tenant.
    user: str
    tenant: str
    role: Annotated[str, one_of("operator")] | None
    plan: PlanOfMe


# Connectors -----------------------------------------------------------------------------------


class ConnectorDataset(Out, frozen=True):
    """A dataset that a connector reads, and the columns of its records in a table."""

    name: str
    label: str
    columns: Sequence[str]


class ClaimRule(Out, frozen=True):
    """A rule by which a connector finds claims."""

    code: str
    title: str
    sentence: str


class Connector(Out, frozen=True):
    """A connector: what it needs, what it reads, and which claims it detects."""

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


# Connections ----------------------------------------------------------------------------------


class ScheduleOut(Out, frozen=True):
    """When syncs of a connection start automatically."""

    cron: str
    timezone: str
    next_run_at: Time


class Connection(Out, frozen=True):
    """An authorised account, without its credentials. It also has the public settings of the
    connector."""

    id: str
    connector: str
    #: The source's id of the account; null until the source has returned it.
    account_id: str | None
    name: str
    status: Annotated[str, one_of("connected", "lost")]
    #: Why the connection is lost.
    reason: str | None
    created_at: Time
    checked_at: Time | None
    schedule: ScheduleOut | None


class ConnectionsOut(Out, frozen=True):
    """The user's connections."""

    connections: Sequence[Connection]


class Connected(Connection, frozen=True):
    """A connection, and the sync that was started or resumed on it."""

    sync: Addresses | None
    #: Why no sync was started or resumed.
    warning: str | msgspec.UnsetType = msgspec.UNSET


class DayOut(Out, frozen=True):
    """A UTC day of a dataset, compared with other datasets."""

    day: date
    #: A second source agrees, none is known yet, or other datasets show records that are missing.
    state: Annotated[str, one_of("confirmed", "single_sourced", "short")]
    records: Count
    missing: Count
    #: Records that reports lacked and that were fetched because other datasets showed them.
    fetched: Count


class LandedOut(Out, frozen=True):
    """The stored records of a dataset."""

    name: str
    records: Count
    #: Everything from this time to `watermark` has been read.
    read_since: Time | None
    watermark: Time | None
    #: The sync that last read the dataset.
    sync_id: str | None
    #: Its days, the oldest first; empty if it cannot be compared with other datasets.
    days: Sequence[DayOut]


class ErasingOut(Out, frozen=True):
    """A forgotten connection whose data is still being erased."""

    id: str
    status: Annotated[str, one_of("erasing")]
    message: str = (
        "The data is hidden and being erased in the background. Erasure ends when no other program "
        "reads the database. Repeat the request: 404 means that it is complete."
    )


class LastSync(Out, frozen=True):
    """How a sync ended."""

    sync_id: str
    status: ShownStatus
    started_at: Time
    completed_at: Time | None
    error: Fault | None


class Freshness(Out, frozen=True):
    """The stored data of a connection, and whether a new sync is needed."""

    connection_id: str
    datasets: Sequence[LandedOut]
    #: The days of all datasets, counted; null if none has been compared.
    completeness: CompletenessOut | None
    last_complete_sync: LastSync | None
    last_sync: LastSync | None
    schedule: ScheduleOut | None
    sync_needed: bool
    #: Why a sync is needed or not, for programs.
    reason: str
    #: The reason as a sentence for people.
    message: str


# Records, claims and costs --------------------------------------------------------------------


class RecordOut(Out, frozen=True):
    """A stored record."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: Time
    #: As the source sent it.
    data: msgspec.Raw


class Records(Out, frozen=True):
    """A page of stored records, in the order of their connections and ids."""

    records: Sequence[RecordOut]
    next_cursor: str | None


class ValuationStepOut(Out, frozen=True):
    """A step of how an amount was calculated."""

    text: str
    #: The result of the step, if it has one.
    amount: Amount | None
    currency: str | None


class PaymentOut(Out, frozen=True):
    """What was paid for a reimbursed claim."""

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
    #: it is paid, closed once nothing is owed for another reason.
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
    #: Null unless the claim is reimbursed, and if the payment is not known.
    paid: PaymentOut | None
    #: Why the claim is closed; null for any other status.
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
    """A proving record as it was when the claim was found, and what the source changed since."""

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
    #: How many of the claims have no amount.
    unvalued: Count
    amount: Amount | None


class ClosingTotal(Out, frozen=True):
    """The claimable claims of one currency that close within a number of days."""

    currency: str | None
    days: Count
    claims: Count
    #: How many of the claims have no amount.
    unvalued: Count
    amount: Amount | None


class Recoveries(Out, frozen=True):
    """A page of claims, and the totals of all pages of the same filter."""

    recoveries: Sequence[RecoveryOut]
    totals: Sequence[Total]
    #: What closes within 7 and within 30 days.
    closing: Sequence[ClosingTotal]
    next_cursor: str | None


class SeriesPoint(Out, frozen=True):
    """The claims of one month, rule and currency."""

    #: The month of the event, such as 2026-01; null if its day is unknown.
    month: str | None
    rule: str
    currency: str | None
    claims: Count
    #: How many of the claims have no amount.
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
