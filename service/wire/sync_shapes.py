"""Response shapes of syncs: status, events, history, items and the audit log."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from service.model import Fault, Kind, Options, Trigger
from service.progress import Outcome, Stage
from service.warnings import Code
from service.wire.fields import Amount, Count, Ordinal, Out, Percent, Seconds, Time, one_of

#: A pending sync is shown as in_progress, with stage queued.
ShownStatus = Annotated[str, one_of("in_progress", "paused", "complete", "failed", "cancelled")]
ItemOutcome = Annotated[str, one_of("failed", "created", "updated", "unchanged", "deleted")]
EVENT_KINDS = ("progress", "paused", "complete", "failed", "cancelled", "reset", "evicted")


class WindowOut(Out, frozen=True):
    """A span of time: from `since` up to `until`."""

    since: Time
    until: Time


class RestatedAmount(Out, frozen=True):
    """The total change of the amounts of restated records, in one currency."""

    amount: Amount
    currency: str


class RestatedOut(Out, frozen=True):
    """Stored records whose amount the source has changed."""

    records: Count
    #: The days of these records, at most 1,000.
    days: Count
    #: Their new amounts minus the old ones.
    amounts: Sequence[RestatedAmount]


class WaitingOut(Out, frozen=True):
    """A pause of a dataset."""

    #: The reason of the wait, for people.
    for_: str = msgspec.field(name="for")
    #: The operation of the source whose quota it waits for; null for other reasons.
    operation: str | None
    until: Time


class WarningOut(Out, frozen=True):
    """A warning that the user should know although the sync continues."""

    #: Null if it concerns the whole sync.
    dataset: str | None
    code: Code
    message: str
    #: The number of records, rules or days that it concerns; else of its occurrences.
    count: Count


class DatasetOut(Out, frozen=True):
    """The progress of a dataset."""

    name: str
    status: Outcome
    #: The sum of the other counts. A record that is read twice counts once.
    processed: Count
    total: Count | None
    failed: Count
    created: Count
    updated: Count
    unchanged: Count
    deleted: Count
    #: Null if no amount of a stored record has changed, and for records without amounts.
    restated: RestatedOut | None
    waiting_until: Time | None
    #: Null while it does not wait.
    waiting: WaitingOut | None
    #: The share that has been read, from 0 to 1; null while it is unknown.
    fraction: Annotated[float, Meta(ge=0, le=1)] | None
    #: For programs: `not_read` if the sync ended before it read any of the dataset.
    code: str | None
    error: str | None
    #: The span of time that is read; null for a snapshot of today.
    window: WindowOut | None


class CompletenessOut(Out, frozen=True):
    """Days of the datasets that are compared with others."""

    #: Days on which a second source agrees.
    confirmed: Count
    #: Days for which no second source is known yet.
    single_sourced: Count
    #: Days on which other datasets show records that are missing.
    short: Count


class HistoryRow(Out, frozen=True):
    """A sync in the history. `expand=datasets` adds the other fields of its status."""

    sync_id: str
    status: ShownStatus
    stage: Stage
    #: Percent. It never falls within an attempt.
    progress: Percent
    message: str
    started_at: Time
    completed_at: Time | None
    orders_processed: Count
    total_orders: Count | None
    #: 0 until claims are found; null if the sync has ended without knowing them.
    claims_detected: Count | None
    records_processed: Count
    records_failed: Count
    warnings_count: Count
    #: Seconds from `startedAt` to `completedAt`.
    duration: Seconds | None
    attempt: Ordinal
    #: Grows with every change; also the id of the event.
    version: Ordinal
    error: Fault | None
    connector: str
    connection_id: str
    trigger: Trigger
    kind: Kind
    dry_run: bool
    updated_at: Time


class SyncStatus(HistoryRow, frozen=True):
    """The state of a sync at one version; also the data of every event of its stream."""

    datasets: Sequence[DatasetOut]
    #: As of `updatedAt`.
    estimated_seconds_remaining: Count | None
    waiting_until: Time | None
    max_attempts: Ordinal
    warnings: Sequence[WarningOut]
    #: Null until the datasets have been compared, and if none can be compared.
    completeness: CompletenessOut | None
    options: Options


_STATUS = {"$ref": "#/components/schemas/SyncStatus"}
_REASON = {"properties": {"reason": {"type": "string"}}, "additionalProperties": False}
_EVENT_DATA = {
    "contentMediaType": "application/json",
    "contentSchema": {"anyOf": [_STATUS, {"type": "object", **_REASON}]},
}


class Event(Out, frozen=True):
    """One event of a stream. Its data is the status of the sync, except for `reset` (the
    Last-Event-ID does not belong to this sync) and `evicted` (the user has too many streams)."""

    event: Annotated[str, one_of(*EVENT_KINDS)]
    data: Annotated[str, Meta(extra_json_schema=_EVENT_DATA)]
    id: str | msgspec.UnsetType = msgspec.UNSET


class WaitedOut(Out, frozen=True):
    """The time that datasets have waited for an operation of the source."""

    #: Its name there, such as createReport; null for all other reasons.
    operation: str | None
    #: Datasets that wait at the same time count one by one.
    seconds: Seconds


class AttemptOut(Out, frozen=True):
    """One attempt of a sync."""

    attempt: Ordinal
    status: ShownStatus
    started_at: Time
    #: Null while the attempt is running.
    ended_at: Time | None
    #: Seconds; null while the attempt is running.
    duration: Seconds | None
    error: Fault | None
    #: Pauses of more than a second, the longest first; in the running attempt, including announced
    #: ones.
    waited: Sequence[WaitedOut]


class History(Out, frozen=True):
    """A page of syncs, newest first."""

    #: With `expand=datasets`, each also has the other fields of its status.
    syncs: Sequence[HistoryRow]
    #: Null if a cursor is given, or if more than 10,000 syncs match the filters.
    total: Count | None
    next_cursor: str | None


class Addresses(Out, frozen=True):
    """A sync, with the addresses of its status and of its stream."""

    sync_id: str
    status_url: str
    stream_url: str


class Started(Addresses, frozen=True):
    """An accepted sync. It may be paused if the request attached to it. It may have ended if the
    request repeats an Idempotency-Key."""

    status: ShownStatus
    message: str


class Item(Out, frozen=True):
    """The outcome of one record."""

    dataset: str
    record_id: str
    name: str | None
    outcome: ItemOutcome
    error: str | None
    at: Time


class Items(Out, frozen=True):
    """A page of the outcomes of a sync's records."""

    items: Sequence[Item]
    next_cursor: str | None


class AuditEntryOut(Out, frozen=True):
    """An entry of the audit log."""

    at: Time
    action: str
    sync_id: str | None
    connection_id: str | None
    #: The user's `sub`, or what acts on behalf of the user: `service` or `schedule`.
    actor: str
    address: str | None
    user_agent: str | None
    details: msgspec.Raw


class WholeSync(SyncStatus, frozen=True):
    """A sync with all of its attempts, including the last one, and its entries of the audit log."""

    attempts: Sequence[AttemptOut]
    #: The waits of these attempts, the longest first.
    waited: Sequence[WaitedOut]
    #: Its entries of the audit log, oldest first; at most the newest 100.
    moves: Sequence[AuditEntryOut]


class Audit(Out, frozen=True):
    """A page of the audit log, newest entry first."""

    entries: Sequence[AuditEntryOut]
    next_cursor: str | None


class TicketOut(Out, frozen=True):
    """A credential with which an EventSource opens the stream of one sync."""

    ticket: str
    #: Seconds.
    expires_in: Count
