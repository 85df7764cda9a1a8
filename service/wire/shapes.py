"""What goes out, field by field. `wire.py` makes these; `/openapi.json` and `/docs` tell them.

Times are RFC 3339 in UTC. An unknown number is null, never a guess. Amounts of money are decimal
numbers in text, with an ISO 4217 currency beside them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.model import Fault, Options
from service.progress import Outcome, Stage
from service.store.claims import STATUSES


def one_of(*words: str) -> Meta:
    """For text that is one of a few words."""
    return Meta(extra_json_schema={"enum": words})


Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[str, Meta(pattern=r"^-?\d+(\.\d+)?$")]
ShownStatus = Annotated[str, one_of("in_progress", "paused", "complete", "failed", "cancelled")]
"""A sync that waits for its turn is in_progress, in stage queued."""
EVENT_KINDS = ("progress", "paused", "complete", "failed", "cancelled", "reset", "evicted")
Outcomes = Annotated[str, one_of("failed", "created", "updated", "unchanged", "deleted")]


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something that is told."""


# Users ----------------------------------------------------------------------------------------


class PlanOfMe(Out, frozen=True):
    """What the user's plan allows: syncs a day (by the day in UTC), days of history that a sync may
    read, and live syncs of the tenant. Null is without limit."""

    name: str
    syncs_per_day: Count | None
    syncs_today: Count
    history_days: Count | None
    concurrency: Count | None


class Me(Out, frozen=True):
    """Who the caller is. `user` is the `sub` of the token, unique within the tenant."""

    user: str
    tenant: str
    role: Annotated[str, one_of("operator")] | None
    plan: PlanOfMe


# Syncs ----------------------------------------------------------------------------------------


class Window(Out, frozen=True):
    """A span of time: from `since` up to `until`."""

    since: Time
    until: Time


class Dataset(Out, frozen=True):
    """How far a dataset is. `processed` is the sum of the other counts; a record that comes twice
    is counted once. `window` is the span of time that is read; null for a snapshot of today.
    `code` is for programs: `not_read` where the sync ended before anything of it was read."""

    name: str
    status: Outcome
    processed: Count
    total: Count | None
    failed: Count
    created: Count
    updated: Count
    unchanged: Count
    deleted: Count
    waiting_until: Time | None
    code: str | None
    error: str | None
    window: Window | None


class SyncStatus(Out, frozen=True):
    """A sync as it is; also the data of every event of its stream.

    Each dataset also has its counters by name: `<dataset>Processed` and `total<Dataset>`, of which
    those of orders, inventory and transactions are always there. `progress` never falls within an
    attempt. `version` grows with every change, and is the id of the event. The time left is as of
    `updatedAt`, `duration` is in seconds."""

    sync_id: str
    status: ShownStatus
    stage: Stage
    progress: Annotated[int, Meta(ge=0, le=100)]
    message: str
    started_at: Time
    completed_at: Time | None
    orders_processed: Count
    total_orders: Count | None
    inventory_processed: Count
    total_inventory: Count | None
    transactions_processed: Count
    total_transactions: Count | None
    claims_detected: Count
    records_processed: Count
    records_failed: Count
    datasets: Sequence[Dataset]
    estimated_seconds_remaining: Count | None
    waiting_until: Time | None
    attempt: Annotated[int, Meta(ge=1)]
    max_attempts: Annotated[int, Meta(ge=1)]
    version: Annotated[int, Meta(ge=1)]
    error: Fault | None
    warnings: Sequence[str]
    duration: Annotated[float, Meta(ge=0)] | None
    connector: str
    connection_id: str
    options: Options
    dry_run: bool
    updated_at: Time


ABOUT_A_SYNC = {"$ref": "#/components/schemas/SyncStatus"}
ABOUT_NONE = {"properties": {"reason": {"type": "string"}}, "additionalProperties": False}
DATA = {
    "contentMediaType": "application/json",
    "contentSchema": {"anyOf": [ABOUT_A_SYNC, {"type": "object", **ABOUT_NONE}]},
}


class Event(Out, frozen=True):
    """One event of a stream: its data is the sync as it is. `reset` (the id that was asked for is
    none of this sync's) and `evicted` (the user has too many streams) are not about a sync."""

    event: Annotated[str, one_of(*EVENT_KINDS)]
    data: Annotated[str, Meta(extra_json_schema=DATA)]
    id: str | msgspec.UnsetType = msgspec.UNSET


class Attempt(Out, frozen=True):
    """One try. The last one may still be going on: then its end and duration are null."""

    attempt: Annotated[int, Meta(ge=1)]
    status: ShownStatus
    started_at: Time
    ended_at: Time | None
    duration: Annotated[float, Meta(ge=0)] | None
    error: Fault | None


class WholeSync(SyncStatus, frozen=True):
    """A sync with each of its attempts, the last one included."""

    attempts: Sequence[Attempt]


class History(Out, frozen=True):
    """Syncs, newest first. `total` is exact up to 10,000 where it is filtered, then null; null
    when a cursor is given."""

    syncs: Sequence[SyncStatus]
    total: Count | None
    next_cursor: str | None


class Addresses(Out, frozen=True):
    """The id of a sync, where to look at it, and where to follow it."""

    sync_id: str
    status_url: str
    stream_url: str


class Started(Addresses, frozen=True):
    """A sync that goes on by itself. One that was attached to may be paused, and one that an
    Idempotency-Key means may have ended."""

    status: ShownStatus
    message: str


class Item(Out, frozen=True):
    """What became of one record."""

    dataset: str
    record_id: str
    name: str | None
    outcome: Outcomes
    error: str | None
    at: Time


class Items(Out, frozen=True):
    """What became of single records of a sync."""

    items: Sequence[Item]
    next_cursor: str | None


class AuditEntry(Out, frozen=True):
    """Who did what. `actor` is the user's `sub`, or what acts for the user: service or schedule."""

    at: Time
    action: str
    sync_id: str | None
    connection_id: str | None
    actor: str
    address: str | None
    user_agent: str | None
    details: msgspec.Raw


class Audit(Out, frozen=True):
    """The audit log, newest first."""

    entries: Sequence[AuditEntry]
    next_cursor: str | None


class Ticket(Out, frozen=True):
    """What an EventSource opens the stream of one sync with, and its life in seconds."""

    ticket: str
    expires_in: Count


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
    """A connector: what it needs to connect an account, what it reads and which claims it finds.

    `settings` is a JSON Schema of the fields that POST /api/connections takes beside `connector`;
    secret ones are `writeOnly`, choices have titles (`oneOf`). `consent` says whether users can
    authorise it on a page of the source."""

    name: str
    label: str
    consent: bool
    settings: Mapping[str, Any]
    datasets: Sequence[ConnectorDataset]
    rules: Sequence[ClaimRule]


class Connectors(Out, frozen=True):
    """The connectors of this service."""

    connectors: Sequence[Connector]


# Connections ----------------------------------------------------------------------------------


class Schedule(Out, frozen=True):
    """When syncs start by themselves."""

    cron: str
    timezone: str
    next_run_at: Time


class Connection(Out, frozen=True):
    """An authorised account. `reason` says why it is lost; `accountId` is the source's own id of
    the account, null until the source has told it. The public settings of its connector stand
    beside these fields; never the credentials."""

    id: str
    connector: str
    account_id: str | None
    name: str
    status: Annotated[str, one_of("connected", "lost")]
    reason: str | None
    created_at: Time
    checked_at: Time | None
    schedule: Schedule | None


class Connections(Out, frozen=True):
    """The user's connections."""

    connections: Sequence[Connection]


class Connected(Connection, frozen=True):
    """A connection, and the sync that goes on with it by itself; where that failed, a warning."""

    sync: Addresses | None
    warning: str | msgspec.UnsetType = msgspec.UNSET


class Landed(Out, frozen=True):
    """What is kept of a dataset: how many records, read from when to when without a gap, and which
    sync has read last."""

    name: str
    records: Count
    read_since: Time | None
    watermark: Time | None
    sync_id: str | None


class Erasing(Out, frozen=True):
    """A forgotten connection whose data is not erased to the end yet."""

    id: str
    status: Annotated[str, one_of("erasing")]
    message: str = (
        "The data is hidden and being erased. It goes on by itself, and ends when no other program "
        "reads the database. Ask again: 404 says that it is done."
    )


class LastSync(Out, frozen=True):
    """The end of a sync."""

    sync_id: str
    status: ShownStatus
    started_at: Time
    completed_at: Time | None
    error: Fault | None


class Freshness(Out, frozen=True):
    """What is kept of a connection, whether a sync is due, and why: as a word for programs and as a
    sentence for people."""

    connection_id: str
    datasets: Sequence[Landed]
    last_complete_sync: LastSync | None
    last_sync: LastSync | None
    schedule: Schedule | None
    sync_needed: bool
    reason: str
    message: str


# What was landed and found --------------------------------------------------------------------


class Record(Out, frozen=True):
    """A landed record, its data as it was received."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: Time
    data: msgspec.Raw


class Records(Out, frozen=True):
    """Landed records, in the order of their ids."""

    records: Sequence[Record]
    next_cursor: str | None


class Recovery(Out, frozen=True):
    """A claim, as of today: waiting until `opens`, claimable until `closes`, then expired.

    `amount` is null where it cannot be told; `valuation` says how it was reckoned."""

    id: str
    rule: str
    title: str
    status: Annotated[str, one_of(*STATUSES)]
    units: int
    amount: Amount | None
    currency: str | None
    opens: date
    closes: date
    confidence: str
    valuation: str
    details: Mapping[str, str]
    connection_id: str
    sync_id: str
    updated_at: Time


class ProvenRecovery(Recovery, frozen=True):
    """A claim with the records that prove it, by dataset."""

    evidence: Mapping[str, Sequence[Record]]


class Total(Out, frozen=True):
    """How much, of one currency and status; claims without an amount are counted apart."""

    currency: str | None
    status: str
    claims: Count
    unvalued: Count
    amount: Amount | None


class Recoveries(Out, frozen=True):
    """A page of claims, and the totals of all."""

    recoveries: Sequence[Recovery]
    totals: Sequence[Total]
    next_cursor: str | None


class Cost(Out, frozen=True):
    """What a unit costs."""

    sku: str
    cost: Amount
    currency: str


class Costs(Out, frozen=True):
    """A page of what units cost, as the user gave it, in the order of the SKUs."""

    costs: Sequence[Cost]
    next_cursor: str | None


class WrongLine(Out, frozen=True):
    """A line that was not taken, and why."""

    line: Count
    sku: str
    message: str


class CostsTaken(Out, frozen=True):
    """How many lines were taken; of those that were not, at most a thousand are named."""

    accepted: Count
    rejected: Count
    errors: Sequence[WrongLine]


# Everything else ------------------------------------------------------------------------------


class Health(Out, frozen=True):
    """Alive, or ready."""

    status: Annotated[str, one_of("ok", "ready")]


class FieldError(Out, frozen=True):
    """What is wrong with a field."""

    field: str
    message: str


class Problem(Out, frozen=True):
    """Why it was refused (RFC 9457): `detail` says what to do, `code` is for programs. Some carry
    more, for example a sync that runs already its `syncId`, `statusUrl` and `streamUrl`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: Sequence[FieldError] | msgspec.UnsetType = msgspec.UNSET
