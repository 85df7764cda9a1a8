"""A sync and its possible status changes. Values are frozen: a change is a new value. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import msgspec

from connectors.base import Page, QuotaReason
from service.errors import IllegalMove
from service.progress import (
    CLAIMS,
    FLOORS,
    Completeness,
    DatasetProgress,
    Outcome,
    Stage,
    Tally,
    Waited,
    plus_wait,
)
from service.warnings import Code, SyncWarning, Warnings, with_warnings

#: Takeovers without a new checkpoint after which a sync may count as stalled.
TAKEOVERS = 3
#: Earlier attempts that a sync keeps; older ones are dropped.
MAX_ATTEMPTS_KEPT = 20
#: The message of a sync whose connection was forgotten with its data.
ERASED = "The data of this sync was erased."


class Status(StrEnum):
    """The status of a sync. Clients see PENDING as `in_progress` with the stage `queued`."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


# From -> to. Any other status change is refused.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_PROGRESS, Status.CANCELLED, Status.FAILED}),
    Status.IN_PROGRESS: frozenset(
        {
            Status.COMPLETE,
            Status.FAILED,
            Status.CANCELLED,
            Status.PAUSED,
            Status.IN_PROGRESS,  # taken over by another process
        }
    ),
    Status.PAUSED: frozenset({Status.PENDING, Status.CANCELLED, Status.FAILED}),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
    Status.COMPLETE: frozenset(),
}

LIVE = frozenset({Status.PENDING, Status.IN_PROGRESS, Status.PAUSED})
ENDED = frozenset(Status) - LIVE


class Trigger(StrEnum):
    """The trigger that started a sync."""

    USER = "user"
    SCHEDULE = "schedule"
    #: A new connection.
    CONNECT = "connect"
    #: A notification of the source.
    NOTIFICATION = "notification"


class Kind(StrEnum):
    """The kind of a sync: what it reads."""

    #: Data of a period that was not read before.
    HISTORICAL = "historical"
    #: Changes since the last sync.
    INCREMENTAL = "incremental"
    #: Everything; records that the source no longer has are deleted.
    FULL = "full"
    #: Nothing is stored.
    DRY_RUN = "dry_run"


class Options(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The options of a start."""

    #: Names of the datasets to read; None for all.
    datasets: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    #: Read and count, but store no records.
    dry_run: bool = False
    #: Read everything, and delete the records that the source no longer has.
    overwrite: bool = False
    #: Let `overwrite` delete more than a tenth of a dataset.
    allow_mass_delete: bool = False
    #: The order among the waiting syncs of a tenant, highest first.
    priority: int = 0
    #: Records whose outcome is stored: `failed`, `all`, or empty for the operator's default.
    items: str = ""
    #: The ids of the records to read, of one dataset; None for all. Notifications set it.
    records: tuple[str, ...] | None = None


class Fault(msgspec.Struct, frozen=True):
    """The reason why a sync failed or paused. The message is for the user."""

    code: str
    message: str
    retryable: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that did not complete the sync, and why."""

    number: int
    started_at: datetime
    ended_at: datetime
    status: str
    error: Fault | None = None
    waited: Waited = {}


class Sync(msgspec.Struct, frozen=True):
    """One run over one connection of a user. A sync is also the data of its events."""

    id: str
    #: The user's id (see `user_id`), not their `sub`.
    user: str
    tenant: str
    connector: str
    connection_id: str
    started_at: datetime
    updated_at: datetime
    datasets: tuple[DatasetProgress, ...]
    status: Status = Status.PENDING
    stage: Stage = Stage.QUEUED
    percent: int = 0
    message: str = "Waiting for its turn"
    #: Grows by one with every change; also the id of the event.
    version: int = 1
    attempt: int = 1
    #: Automatic retries since the last new checkpoint.
    retries: int = 0
    #: Takeovers by another process since the last new checkpoint.
    takeovers: int = 0
    options: Options = Options()
    trigger: Trigger = Trigger.USER
    claims_detected: int = 0
    seconds_left: float | None = None
    waiting_until: datetime | None = None
    completed_at: datetime | None = None
    checkpoint_at: datetime | None = None
    #: The start of the current attempt.
    attempt_at: datetime | None = None
    error: Fault | None = None
    warnings: Warnings = ()
    #: The seconds that the current attempt has waited, including the rest of announced pauses.
    waited: Waited = {}
    #: The attempts before the current one.
    attempts: tuple[Attempt, ...] = ()
    #: None until its datasets have been compared.
    completeness: Completeness | None = None

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def pause_notice(self) -> str:
        """The text for a paused sync: since when and why it is paused, and what to do."""
        since = f"The sync has been paused since {self.updated_at:%Y-%m-%d %H:%M} UTC"
        if self.error is None or self.error.code != "connection_lost":
            return f"{since}: {self.error.message if self.error else ''} Resume it, or cancel it."
        path = f"POST /api/connections/{self.connection_id}/reconnect"
        return f"{since} because the connection was lost: reconnect it ({path}), or cancel it."

    @property
    def kind(self) -> Kind:
        if self.options.dry_run:
            return Kind.DRY_RUN
        if self.options.overwrite:
            return Kind.FULL
        historical = any(dataset.historical for dataset in self.read_datasets)
        return Kind.HISTORICAL if historical else Kind.INCREMENTAL

    @property
    def event(self) -> str:
        """The name of the event for this status."""
        return self.status if self.status in ENDED or self.status is Status.PAUSED else "progress"

    @property
    def read_datasets(self) -> Sequence[DatasetProgress]:
        """The datasets that the connector reads. Claims are not among them."""
        return [dataset for dataset in self.datasets if dataset.name != CLAIMS]

    @property
    def known_claims(self) -> int | None:
        """The number of detected claims; None if the sync has ended without knowing it."""
        known = (Outcome.COMPLETE, Outcome.PARTIAL)
        unknown = any(row.name == CLAIMS and row.status not in known for row in self.datasets)
        return None if unknown and self.status in ENDED else self.claims_detected

    def dataset(self, name: str) -> DatasetProgress:
        return next(dataset for dataset in self.datasets if dataset.name == name)

    def stalled(self, at: datetime, timeout: timedelta) -> bool:
        """Whether the sync was taken over repeatedly and made no progress for `timeout`, not
        counting planned waits."""
        last = max(filter(None, (self.started_at, self.checkpoint_at, self.waiting_until)))
        return self.takeovers >= TAKEOVERS and at > last + timeout

    # Status changes ---------------------------------------------------------------------------

    def _move(self, status: Status, at: datetime, **changes: Any) -> Self:
        if status not in MOVES[self.status]:
            raise IllegalMove(f"A sync that is {self.status} cannot become {status}.")
        return self._next(at, status=status, **changes)

    def _next(self, at: datetime, **changes: Any) -> Self:
        return msgspec.structs.replace(self, version=self.version + 1, updated_at=at, **changes)

    def taken(self, at: datetime) -> Self:
        """The sync in progress: started, continued, or taken over from a process that has ended."""
        if self.status is Status.IN_PROGRESS:
            return self._move(
                Status.IN_PROGRESS,
                at,
                takeovers=self.takeovers + 1,
                message="Continuing after an interruption",
            )
        if self.stage is not Stage.QUEUED:
            return self._move(Status.IN_PROGRESS, at, message="Continuing from the last checkpoint")
        return self._move(
            Status.IN_PROGRESS,
            at,
            stage=Stage.STARTING,
            percent=FLOORS[Stage.STARTING],
            message="Checking the connection",
        )

    def resumed(self, at: datetime) -> Self:
        """The sync waiting to run again from its checkpoints. A pause is not a failure, so resuming
        a paused sync does not count as a new attempt."""
        return self._move(
            Status.PENDING,
            at,
            attempt=self.attempt + (self.status is not Status.PAUSED),
            attempts=self._attempts(self.status, self.error, self.completed_at or self.updated_at),
            attempt_at=at,
            waited={},
            retries=0,
            takeovers=0,
            completed_at=None,
            error=None,
            message="Waiting for its turn",
            completeness=None,
            warnings=(),  # they concern datasets that are reopened here
            datasets=tuple(dataset.reopened() for dataset in self.datasets),
        )

    def retrying(self, fault: Fault, until: datetime, at: datetime) -> Self:
        """The sync after a failed attempt. The next attempt begins at `until`."""
        seconds = (until - at).total_seconds()
        return self._next(
            at,
            attempt=self.attempt + 1,
            retries=self.retries + 1,
            attempts=self._attempts(Status.FAILED, fault, at),
            attempt_at=until,
            waited={},
            message=f"{fault.message} Trying again in {seconds:,.0f} s",
            waiting_until=until,
            seconds_left=None,
            datasets=tuple(dataset.without_waits() for dataset in self.datasets),
        )

    def _attempts(self, status: Status, fault: Fault | None, at: datetime) -> tuple[Attempt, ...]:
        """The earlier attempts and the current one, which ended at `at`."""
        started = self.attempt_at or self.started_at
        waited = self.waited_until(at)
        current = Attempt(self.attempt, min(started, at), at, status, fault, waited)
        return (*self.attempts, current)[-MAX_ATTEMPTS_KEPT:]

    def waited_until(self, at: datetime) -> Waited:
        """The seconds that the current attempt has waited, without the rest of datasets' pauses."""
        waited = self.waited
        for dataset in self.datasets:
            if left := dataset.left_to_wait(at):
                waited = plus_wait(waited, dataset.waiting_operation, -left)
        return waited

    def cancelled(self, at: datetime) -> Self:
        return self._end(Status.CANCELLED, at, "Cancelled. The records read so far are kept.")

    def failed(self, fault: Fault, at: datetime) -> Self:
        return self._end(Status.FAILED, at, fault.message, error=fault)

    def paused(self, fault: Fault, at: datetime) -> Self:
        return self._move(
            Status.PAUSED,
            at,
            message=fault.message,
            error=fault,
            seconds_left=None,
            waiting_until=None,
            waited=self.waited_until(at),
            datasets=tuple(dataset.without_waits() for dataset in self.datasets),
        )

    def completed(self, at: datetime) -> Self:
        count = sum(dataset.processed for dataset in self.read_datasets)
        records = "records counted, none stored" if self.options.dry_run else "records"
        return self._end(
            Status.COMPLETE,
            at,
            f"Complete: {count:,} {records}" + (", with warnings" if self.warnings else ""),
            stage=Stage.COMPLETE,
            percent=FLOORS[Stage.COMPLETE],
        )

    def _end(self, status: Status, at: datetime, message: str, **changes: Any) -> Self:
        return self._move(
            status,
            at,
            message=message,
            completed_at=at,
            seconds_left=None,
            waiting_until=None,
            waited=self.waited_until(at),
            datasets=tuple(dataset.interrupted(status) for dataset in self.datasets),
            **changes,
        )

    def redacted(self) -> Self:
        """The sync without texts and cursors from the source."""
        if self.message == ERASED:
            return self
        return msgspec.structs.replace(
            self,
            version=self.version + 1,
            message=ERASED,
            warnings=(),
            error=_redacted(self.error),
            attempts=tuple(
                msgspec.structs.replace(attempt, error=_redacted(attempt.error))
                for attempt in self.attempts
            ),
            datasets=tuple(dataset.redacted(ERASED) for dataset in self.datasets),
        )

    # Progress ---------------------------------------------------------------------------------

    def staged(self, stage: Stage, message: str, at: datetime) -> Self:
        """The sync at the start of a stage."""
        return self._next(
            at,
            stage=stage,
            percent=max(self.percent, FLOORS[stage]),
            message=message,
            waiting_until=None,
        )

    def advanced(self, name: str, page: Page, tally: Tally, at: datetime) -> Self:
        """The sync after a page, with new counters, checkpoint and percentage."""
        dataset = self.dataset(name).advanced(page, tally)
        changes: dict[str, Any] = {}
        if tally.processed or dataset.ended:  # records that are read twice are not progress
            changes = {"retries": 0, "takeovers": 0, "checkpoint_at": at}
        new = [SyncWarning(Code.SOURCE, page.warning, name)] if page.warning else []
        if dataset.ended and dataset.failed:
            counts = f"{dataset.failed:,} of {dataset.processed:,} {dataset.label}"
            text = f"{counts} could not be read."
            new.append(SyncWarning(Code.RECORDS_FAILED, text, name, dataset.failed))
        if new:
            changes["warnings"] = with_warnings(self.warnings, new)
        return self._with(dataset, at, **changes)

    def waiting(self, name: str | None, until: datetime, why: str, at: datetime) -> Self:
        """The sync at the start of a pause of more than a second. One dataset pauses, or the whole
        sync if `name` is None."""
        seconds = max(0.0, (until - at).total_seconds())  # the pause may end before it is recorded
        operation = why.operation if isinstance(why, QuotaReason) else None
        if name is None:
            text = f"Waiting {seconds:,.0f} s for {why}"
            waited = plus_wait(self.waited, operation, seconds)
            return self._next(
                at, waiting_until=until, message=text, seconds_left=seconds, waited=waited
            )
        before = self.dataset(name)  # it may announce another end of the same pause
        waited = plus_wait(self.waited, before.waiting_operation, -before.left_to_wait(at))
        waited = plus_wait(waited, operation, seconds)
        return self._with(before.waiting(until, why, seconds), at, waited=waited)

    def dataset_failed(
        self, name: str, error: str, at: datetime, otherwise: Outcome = Outcome.FAILED
    ) -> Self:
        """The sync after a dataset failed. The dataset is partial if any of its records were read,
        else `otherwise` (failed or unknown)."""
        dataset = self.dataset(name)
        outcome = Outcome.PARTIAL if dataset.processed else otherwise
        ended = msgspec.structs.replace(dataset.end(outcome, error), total=dataset.total)
        message = f"{dataset.label.capitalize()} could not be read completely: {error}"
        warning = SyncWarning(Code.DATASET_INCOMPLETE, message, name)
        return self._with(ended, at, warnings=(*self.warnings, warning))

    def with_deleted(self, name: str, count: int, at: datetime) -> Self:
        """The sync after a full refresh deleted `count` records of a dataset."""
        dataset = self.dataset(name)
        return self._with(msgspec.structs.replace(dataset, deleted=dataset.deleted + count), at)

    def warned(self, warning: SyncWarning, at: datetime) -> Self:
        return self._next(at, warnings=(*self.warnings, warning))

    def storing_claims(self, stored: int, count: int, at: datetime) -> Self:
        """The sync while the `count` claims that it found are stored in parts."""
        text = f"Storing claims ({stored:,} of {count:,})"
        floor, ceiling = FLOORS[Stage.PROCESSING], FLOORS[Stage.FINALIZING]
        staged = self.staged(Stage.PROCESSING, text, at)
        return msgspec.structs.replace(
            staged,
            percent=max(self.percent, floor + (ceiling - floor) * stored // max(count, 1)),
            claims_detected=max(self.claims_detected, stored),
            datasets=tuple(
                dataset.storing(stored, count) if dataset.name == CLAIMS else dataset
                for dataset in self.datasets
            ),
        )

    def detected(self, count: int, skipped: Mapping[str, str], at: datetime) -> Self:
        """The sync after the detection found `count` claims. `skipped` contains the reason of each
        rule that did not run."""
        claims = msgspec.structs.replace(self.dataset(CLAIMS), processed=count)
        if not skipped:
            return self._with(claims.end(Outcome.COMPLETE), at, claims_detected=count)
        rules_by_reason: dict[str, list[str]] = {}
        for rule, why in skipped.items():
            rules_by_reason.setdefault(why, []).append(rule)
        reasons = " ".join(f"{', '.join(rules)}: {why}" for why, rules in rules_by_reason.items())
        text = f"Some rules could not run, so more claims may exist. {reasons}"
        return self._with(
            claims.end(Outcome.PARTIAL, text),
            at,
            claims_detected=count,
            warnings=(
                *self.warnings,
                SyncWarning(Code.RULES_SKIPPED, text, CLAIMS, len(skipped)),
            ),
        )

    def undetectable(self, why: str, at: datetime) -> Self:
        """The sync after the detection of claims failed."""
        claims = self.dataset(CLAIMS).end(Outcome.UNKNOWN, why)
        warning = SyncWarning(Code.CLAIMS_UNKNOWN, why, CLAIMS)
        return self._with(claims, at, warnings=(*self.warnings, warning))

    def skipping_claims(self, why: str, at: datetime) -> Self:
        """The sync after the detection of claims was skipped, which is not a fault."""
        return self._with(self.dataset(CLAIMS).end(Outcome.UNKNOWN, why), at)

    def _with(self, changed: DatasetProgress, at: datetime, **changes: Any) -> Self:
        datasets = tuple(
            changed if dataset.name == changed.name else dataset for dataset in self.datasets
        )
        waits = [dataset.waiting_until for dataset in datasets]
        left = [dataset.seconds_left for dataset in datasets if dataset.seconds_left is not None]
        sync = msgspec.structs.replace(self, datasets=datasets)
        return sync._next(
            at,
            percent=max(self.percent, sync._fetched()),
            message=sync._fetching(changed),
            waiting_until=max(filter(None, waits), default=None),
            seconds_left=max(left, default=None),
            **changes,
        )

    def _fetching(self, changed: DatasetProgress) -> str:
        """The message while fetching. It describes the dataset that changed or, if that has ended,
        one that has not."""
        if self.stage is not Stage.FETCHING:
            return self.message
        open_datasets = [dataset for dataset in self.read_datasets if not dataset.ended]
        return (open_datasets[0] if open_datasets and changed.ended else changed).description

    def _fetched(self) -> int:
        """The percentage while fetching, from the mean of the datasets between the two floors."""
        if self.stage is not Stage.FETCHING or not self.read_datasets:
            return self.percent
        mean = sum(dataset.fraction for dataset in self.read_datasets) / len(self.read_datasets)
        floor, ceiling = FLOORS[Stage.FETCHING], FLOORS[Stage.PROCESSING]
        return floor + int((ceiling - floor) * mean)


def _redacted(fault: Fault | None) -> Fault | None:
    return fault and msgspec.structs.replace(fault, message=ERASED)
