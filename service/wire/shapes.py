"""Response shapes of users, connections, records, claims, costs and problems. `sync_shapes.py` has
the shapes of syncs.

Times are RFC 3339 in UTC. An unknown number is null, never an estimate. Amounts of money are
decimal numbers as text; a field beside them has the ISO 4217 currency."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import msgspec

from service.model import Fault
from service.store.claims import STATUSES
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


class RecoveryOut(Out, frozen=True):
    """A claim."""

    id: str
    rule: str
    title: str
    #: As of today: waiting before `opens`, claimable until `closes`, then expired.
    status: Annotated[str, one_of(*STATUSES)]
    units: int
    #: Null if it cannot be determined.
    amount: Amount | None
    currency: str | None
    opens: date
    closes: date
    confidence: str
    #: How the amount was calculated.
    valuation: str
    details: Mapping[str, str]
    connection_id: str
    sync_id: str
    updated_at: Time


class ProvenRecovery(RecoveryOut, frozen=True):
    """A claim with its evidence."""

    #: The records that prove the claim, by dataset.
    evidence: Mapping[str, Sequence[RecordOut]]


class Total(Out, frozen=True):
    """The claims of one currency and status."""

    currency: str | None
    status: str
    claims: Count
    #: How many of the claims have no amount.
    unvalued: Count
    amount: Amount | None


class Recoveries(Out, frozen=True):
    """A page of claims, and the totals of all pages."""

    recoveries: Sequence[RecoveryOut]
    totals: Sequence[Total]
    next_cursor: str | None


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
