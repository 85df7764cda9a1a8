"""A sync and the moves it may make. Frozen values: a change is a new value. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import msgspec

from connectors.base import Cursor, Page, Window
from service.errors import IllegalMove


class Status(StrEnum):
    """Where a sync is in its life. PENDING is shown as `in_progress`, stage `queued`."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"


# From -> to. Whatever is not in this table cannot happen.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_PROGRESS, Status.CANCELLED, Status.FAILED}),
    Status.IN_PROGRESS: frozenset(
        {
            Status.COMPLETE,
            Status.FAILED,
            Status.CANCELLED,
            Status.PAUSED,
            Status.IN_PROGRESS,  # taken over
        }
    ),
    Status.PAUSED: frozenset({Status.PENDING, Status.CANCELLED, Status.FAILED}),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
    Status.COMPLETE: frozenset(),
}

LIVE = frozenset({Status.PENDING, Status.IN_PROGRESS, Status.PAUSED})
ENDED = frozenset(Status) - LIVE


class Stage(StrEnum):
    """One named step of a sync."""

    QUEUED = "queued"
    STARTING = "starting"
    FETCHING = "fetching"
    PROCESSING = "processing"
    FINALIZING = "finalizing"
    COMPLETE = "complete"


FLOORS: Mapping[Stage, int] = {
    Stage.QUEUED: 0,
    Stage.STARTING: 10,
    Stage.FETCHING: 30,
    Stage.PROCESSING: 60,
    Stage.FINALIZING: 90,
    Stage.COMPLETE: 100,
}
"""Percent on the bar when a stage begins."""


class Outcome(StrEnum):
    """What became of a dataset. Only COMPLETE says that all of it was read and kept."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    UNKNOWN = "unknown"


CLAIMS = "claims"
"""The dataset that is not read but detected."""


class Actor(msgspec.Struct, frozen=True):
    """Who asks, and from where."""

    user: str
    tenant: str
    plan: str = ""
    address: str = ""
    user_agent: str = ""


class Tally(msgspec.Struct, frozen=True):
    """What became of a page's records. One that this sync had met before is in none of them."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0

    @property
    def processed(self) -> int:
        return self.created + self.updated + self.unchanged + self.failed


class Checkpoint(msgspec.Struct, frozen=True):
    """Where to read on: inside which window, and the connector's own cursor."""

    window: Window
    cursor: Cursor | None = None


class DatasetProgress(msgspec.Struct, frozen=True):
    """How far one dataset is. `share` (0 to 1) serves the bar where no total is known."""

    name: str
    label: str
    checkpoint: Checkpoint
    status: Outcome = Outcome.PENDING
    processed: int = 0
    total: int | None = None
    failed: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    share: float = 0.0
    seconds_left: float | None = None
    waiting_until: datetime | None = None
    waiting_for: str | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.status not in (Outcome.PENDING, Outcome.IN_PROGRESS)

    @property
    def fraction(self) -> float:
        if self.ended:
            return 1.0
        if self.total:
            return min(self.processed / self.total, 1.0)
        return self.share

    def advanced(self, page: Page, tally: Tally) -> Self:
        """After a page: counted, bookmarked; ended if it was the last."""
        processed = self.processed + tally.processed
        total = self.total if page.total is None else page.total
        counted = msgspec.structs.replace(
            self,
            status=Outcome.IN_PROGRESS,
            processed=processed,
            total=None if total is None else max(total, processed),
            failed=self.failed + tally.failed,
            created=self.created + tally.created,
            updated=self.updated + tally.updated,
            unchanged=self.unchanged + tally.unchanged,
            share=max(self.share, page.share or 0.0),
            seconds_left=page.seconds_left,
            waiting_until=None,
            waiting_for=None,
            checkpoint=msgspec.structs.replace(self.checkpoint, cursor=page.cursor),
        )
        if page.cursor is not None:
            return counted
        return counted.end(Outcome.PARTIAL if counted.failed else Outcome.COMPLETE)

    def end(self, outcome: Outcome, error: str | None = None) -> Self:
        return msgspec.structs.replace(
            self,
            status=outcome,
            error=error,
            total=self.processed if outcome in (Outcome.COMPLETE, Outcome.PARTIAL) else self.total,
            seconds_left=None,
            waiting_until=None,
            waiting_for=None,
        )


class Fault(msgspec.Struct, frozen=True):
    """Why a sync failed or paused, in words for the user."""

    code: str
    message: str
    retryable: bool = False


class Sync(msgspec.Struct, frozen=True):
    """One run over one user's connection. It is its own event: `version` is the event's id."""

    id: str
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
    version: int = 1
    attempt: int = 1
    takeovers: int = 0
    options: Mapping[str, Any] = {}
    claims_detected: int = 0
    seconds_left: float | None = None
    waiting_until: datetime | None = None
    completed_at: datetime | None = None
    error: Fault | None = None
    warnings: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def kind(self) -> str:
        """The name of its event."""
        return self.status if self.status in ENDED or self.status is Status.PAUSED else "progress"

    @property
    def sources(self) -> Sequence[DatasetProgress]:
        """The datasets that are read."""
        return [each for each in self.datasets if each.name != CLAIMS]

    def dataset(self, name: str) -> DatasetProgress:
        return next(each for each in self.datasets if each.name == name)

    # Moves ------------------------------------------------------------------------------------

    def _move(self, status: Status, at: datetime, **changes: Any) -> Self:
        if status not in MOVES[self.status]:
            raise IllegalMove(f"A sync that is {self.status} cannot become {status}.")
        return self._next(at, status=status, **changes)

    def _next(self, at: datetime, **changes: Any) -> Self:
        return msgspec.structs.replace(self, version=self.version + 1, updated_at=at, **changes)

    def taken(self, at: datetime) -> Self:
        """Begun, or taken over from a process that is gone; then it goes on where it was."""
        if self.status is Status.IN_PROGRESS:
            return self._move(
                Status.IN_PROGRESS,
                at,
                takeovers=self.takeovers + 1,
                message="Taken up again after an interruption",
                waiting_until=None,
            )
        if self.stage is not Stage.QUEUED:
            return self._move(Status.IN_PROGRESS, at, message="Going on from where it was")
        return self._move(
            Status.IN_PROGRESS,
            at,
            stage=Stage.STARTING,
            percent=FLOORS[Stage.STARTING],
            message="Checking the connection",
        )

    def resumed(self, at: datetime) -> Self:
        """To be tried again from its checkpoints. A pause was no failure and costs no attempt."""
        return self._move(
            Status.PENDING,
            at,
            attempt=self.attempt + (self.status is not Status.PAUSED),
            completed_at=None,
            error=None,
            message="Waiting for its turn",
            warnings=(),  # each tells of a dataset that is opened again
            datasets=tuple(_reopened(each) for each in self.datasets),
        )

    def cancelled(self, at: datetime) -> Self:
        return self._end(Status.CANCELLED, at, "Cancelled. What was read so far is kept.")

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
            datasets=tuple(
                msgspec.structs.replace(each, waiting_until=None, waiting_for=None)
                for each in self.datasets
            ),
        )

    def completed(self, at: datetime) -> Self:
        count = sum(each.processed for each in self.sources)
        return self._end(
            Status.COMPLETE,
            at,
            f"Complete: {count:,} records" + (", with warnings" if self.warnings else ""),
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
            datasets=tuple(_broken_off(each, status) for each in self.datasets),
            **changes,
        )

    # Progress ---------------------------------------------------------------------------------

    def staged(self, stage: Stage, message: str, at: datetime) -> Self:
        return self._next(
            at,
            stage=stage,
            percent=max(self.percent, FLOORS[stage]),
            message=message,
            waiting_until=None,
        )

    def advanced(self, name: str, page: Page, tally: Tally, at: datetime) -> Self:
        """A page was read: counters, checkpoint and bar in one new value."""
        dataset = self.dataset(name).advanced(page, tally)
        if not dataset.ended or not dataset.failed:
            return self._with(dataset, at)
        lost = f"{dataset.failed:,} of {dataset.processed:,} {dataset.label} could not be read."
        return self._with(dataset, at, warnings=(*self.warnings, lost))

    def waiting(self, name: str | None, until: datetime, why: str, at: datetime) -> Self:
        """A pause of over a second begins, in a dataset or before any is read."""
        seconds = (until - at).total_seconds()
        text = f"Waiting {seconds:,.0f} s for {why}"
        if name is None:
            return self._next(at, waiting_until=until, message=text, seconds_left=seconds)
        before = self.dataset(name)
        dataset = msgspec.structs.replace(
            before,
            status=Outcome.IN_PROGRESS,
            waiting_until=until,
            waiting_for=text,
            seconds_left=max(before.seconds_left or 0.0, seconds),
        )
        return self._with(dataset, at)

    def dataset_failed(
        self, name: str, error: str, at: datetime, otherwise: Outcome = Outcome.FAILED
    ) -> Self:
        """It cannot be read to its end. What came before stays; if nothing did, it is `otherwise`:
        failed, or unknown."""
        dataset = self.dataset(name)
        outcome = Outcome.PARTIAL if dataset.processed else otherwise
        ended = msgspec.structs.replace(dataset.end(outcome, error), total=dataset.total)
        message = f"{dataset.label.capitalize()} could not be read to the end: {error}"
        return self._with(ended, at, warnings=(*self.warnings, message))

    def detected(self, count: int, skipped: Mapping[str, str], at: datetime) -> Self:
        """So many claims; each rule that did not run is named with its reason."""
        claims = msgspec.structs.replace(self.dataset(CLAIMS), processed=count)
        if not skipped:
            return self._with(claims.end(Outcome.COMPLETE), at, claims_detected=count)
        whys: dict[str, list[str]] = {}
        for rule, why in skipped.items():
            whys.setdefault(why, []).append(rule)
        told = " ".join(f"{', '.join(rules)}: {why}" for why, rules in whys.items())
        text = f"Some rules could not run, so there may be more claims. {told}"
        return self._with(
            claims.end(Outcome.PARTIAL, text),
            at,
            claims_detected=count,
            warnings=(*self.warnings, text),
        )

    def undetectable(self, why: str, at: datetime) -> Self:
        claims = self.dataset(CLAIMS).end(Outcome.UNKNOWN, why)
        return self._with(claims, at, warnings=(*self.warnings, why))

    def _with(self, dataset: DatasetProgress, at: datetime, **changes: Any) -> Self:
        datasets = tuple(dataset if each.name == dataset.name else each for each in self.datasets)
        waits = [each.waiting_until for each in datasets if each.waiting_until]
        left = [each.seconds_left for each in datasets if each.seconds_left is not None]
        changed = msgspec.structs.replace(self, datasets=datasets)
        return changed._next(
            at,
            percent=max(self.percent, changed._fetched()),
            message=changed._fetching(dataset),
            waiting_until=max(waits, default=None),
            seconds_left=max(left, default=None),
            **changes,
        )

    def _fetching(self, changed: DatasetProgress) -> str:
        """What is going on: in the dataset that changed or, if it ended, in one that has not."""
        if self.stage is not Stage.FETCHING:
            return self.message
        unended = [each for each in self.sources if not each.ended]
        return _reading(unended[0] if unended and changed.ended else changed)

    def _fetched(self) -> int:
        """The bar while fetching: the mean of the datasets, between the two floors."""
        if self.stage is not Stage.FETCHING or not self.sources:
            return self.percent
        mean = sum(each.fraction for each in self.sources) / len(self.sources)
        floor, ceiling = FLOORS[Stage.FETCHING], FLOORS[Stage.PROCESSING]
        return floor + int((ceiling - floor) * mean)


def _reading(dataset: DatasetProgress) -> str:
    """For example: Fetching orders (1,247 of 2,500). Waiting 179 s for …"""
    if dataset.ended:
        return f"Fetched {dataset.processed:,} {dataset.label}"
    of = "so far" if dataset.total is None else f"of {dataset.total:,}"
    text = f"Fetching {dataset.label} ({dataset.processed:,} {of})"
    return f"{text}. {dataset.waiting_for}" if dataset.waiting_for else text


def _broken_off(dataset: DatasetProgress, how: Status) -> DatasetProgress:
    """What an ended sync says of a dataset that it did not end: never that it was read."""
    if dataset.name == CLAIMS and not dataset.ended:
        return dataset.end(Outcome.UNKNOWN, f"Not computed: the sync was {how} before.")
    if dataset.status is not Outcome.IN_PROGRESS:
        return dataset
    outcome = Outcome.PARTIAL if dataset.processed else Outcome.FAILED
    ended = dataset.end(outcome, f"Not read to the end: the sync was {how} before.")
    return msgspec.structs.replace(ended, total=dataset.total)


def _reopened(dataset: DatasetProgress) -> DatasetProgress:
    """A dataset that broke off is read on at the next try; one that was read stays read."""
    if dataset.error is None:
        return dataset
    status = Outcome.IN_PROGRESS if dataset.processed else Outcome.PENDING
    return msgspec.structs.replace(dataset, status=status, error=None)
