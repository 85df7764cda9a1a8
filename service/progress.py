"""The progress of one dataset: counts, checkpoint, outcome. Frozen values, no I/O."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self

import msgspec

from connectors.base import Cursor, Page, QuotaReason, Window

#: The code of a dataset whose sync ended before anything of it was read.
NOT_READ = "not_read"
#: The dataset that is computed from the others instead of read.
CLAIMS = "claims"

#: Days of restated records that a sync counts.
MAX_RESTATED_DAYS = 1_000
NOTHING = Decimal(0)

NO_WAIT: Mapping[str, None] = dict.fromkeys(
    ("waiting_until", "waiting_for", "waiting_reason", "waiting_operation")
)
"""The fields of a dataset that does not wait."""

_SHORTEST_WINDOW = timedelta(seconds=1)

Waited = Mapping[str, float]
"""Seconds that datasets have waited, by the operation of the source; for other reasons under an
empty name. Datasets that wait at the same time count one by one."""


class Stage(StrEnum):
    """One named step of a sync."""

    QUEUED = "queued"
    STARTING = "starting"
    FETCHING = "fetching"
    PROCESSING = "processing"
    FINALIZING = "finalizing"
    COMPLETE = "complete"


#: The percentage at which each stage begins.
FLOORS: Mapping[Stage, int] = {
    Stage.QUEUED: 0,
    Stage.STARTING: 10,
    Stage.FETCHING: 30,
    Stage.PROCESSING: 60,
    Stage.FINALIZING: 90,
    Stage.COMPLETE: 100,
}


class Outcome(StrEnum):
    """The outcome of a dataset. Only a COMPLETE dataset was read and stored as a whole."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Restated(msgspec.Struct, frozen=True):
    """Changes of a source to the amounts of records that were already stored."""

    #: The records whose amount has changed.
    records: int = 0
    #: Their days in order, at most MAX_RESTATED_DAYS.
    days: tuple[date, ...] = ()
    #: By currency, the new amounts minus the old ones.
    differences: Mapping[str, Decimal] = {}

    def plus(self, other: Self | None) -> Self:
        if other is None:
            return self
        currencies = sorted({*self.differences, *other.differences})
        return msgspec.structs.replace(
            self,
            records=self.records + other.records,
            days=tuple(sorted({*self.days, *other.days}))[:MAX_RESTATED_DAYS],
            differences={
                currency: self.differences.get(currency, NOTHING)
                + other.differences.get(currency, NOTHING)
                for currency in currencies
            },
        )


class Tally(msgspec.Struct, frozen=True):
    """The outcomes of a page's records. A record that this sync has already counted is not counted
    again."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    #: The changed amounts of updated records; None if no amount has changed.
    restated: Restated | None = None

    @property
    def processed(self) -> int:
        return self.created + self.updated + self.unchanged + self.failed


class Checkpoint(msgspec.Struct, frozen=True):
    """The point from which reading continues."""

    window: Window
    #: The connector's own position inside the window; None before the first page.
    cursor: Cursor | None = None


class Coverage(msgspec.Struct, frozen=True):
    """The span of time in which all records of a dataset were read, without a gap. Its end is the
    watermark: the next sync begins there."""

    since: datetime
    until: datetime

    def plausible(self, newest: datetime, overlap: timedelta) -> bool:
        """Whether the end is not after `newest`, the newest data that can have been read. If it is
        after, the clock was ahead when it was written, and the true end is unknown."""
        return self.until - overlap <= newest

    def extended(self, window: Window, reach: timedelta) -> "Coverage":
        """The coverage extended by a window that was read completely. A window that leaves a gap
        replaces the coverage if it is as long as the dataset reaches back, and is ignored
        otherwise."""
        if window.since <= self.until and window.until >= self.since:
            return Coverage(min(self.since, window.since), max(self.until, window.until))
        complete = window.until - window.since >= reach and window.until > self.until
        return Coverage(window.since, window.until) if complete else self


class Completeness(msgspec.Struct, frozen=True):
    """Numbers of days of the compared datasets: confirmed by a second source, without a second
    source, and with missing records."""

    confirmed: int = 0
    single_sourced: int = 0
    short: int = 0


class DatasetProgress(msgspec.Struct, frozen=True):
    """The progress of one dataset within a sync."""

    name: str
    #: The name in texts for people, in the plural.
    label: str
    checkpoint: Checkpoint
    status: Outcome = Outcome.PENDING
    processed: int = 0
    #: Never less than `processed`; None while unknown.
    total: int | None = None
    failed: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    #: The share that was read (0 to 1), for the percentage while no total is known.
    share: float = 0.0
    seconds_left: float | None = None
    waiting_until: datetime | None = None
    waiting_for: str | None = None
    #: The reason alone, and the operation of the source whose quota it waits for.
    waiting_reason: str | None = None
    waiting_operation: str | None = None
    error: str | None = None
    #: NOT_READ, or None.
    code: str | None = None
    #: Whether an empty result is not confirmed by the source yet.
    presumed_empty: bool = False
    #: None if no amount of a stored record has changed.
    restated: Restated | None = None
    #: Whether the beginning of the window was not read before. Fixed at the start.
    historical: bool = False

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

    @property
    def known_fraction(self) -> float | None:
        """The share that has been read, from 0 to 1; None while it is unknown."""
        if not self.ended and not self.total and not self.share:
            return None
        return self.fraction

    @property
    def fully_read(self) -> bool:
        """Whether all records were read: one that was not read does not exist at the source."""
        complete = self.status is Outcome.COMPLETE
        return complete and not self.failed and not self.presumed_empty

    def advanced(self, page: Page, tally: Tally) -> Self:
        """The dataset after a page, with new counts and checkpoint; ended after the last page."""
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
            **NO_WAIT,
            checkpoint=msgspec.structs.replace(self.checkpoint, cursor=page.cursor),
            presumed_empty=self.presumed_empty or page.presumed_empty,
            restated=tally.restated.plus(self.restated) if tally.restated else self.restated,
        )
        if page.cursor is not None:
            return counted
        return counted.end(Outcome.PARTIAL if counted.failed else Outcome.COMPLETE)

    def filled(self, tally: Tally) -> Self:
        """The dataset with missing records that were read after it had ended."""
        processed = self.processed + tally.processed
        return msgspec.structs.replace(
            self,
            processed=processed,
            total=None if self.total is None else max(self.total, processed),
            created=self.created + tally.created,
            updated=self.updated + tally.updated,
            unchanged=self.unchanged + tally.unchanged,
        )

    def storing(self, stored: int, count: int) -> Self:
        """The dataset while its records, which are computed and not read, are stored in parts."""
        return msgspec.structs.replace(
            self, status=Outcome.IN_PROGRESS, processed=stored, total=max(count, stored)
        )

    def end(self, outcome: Outcome, error: str | None = None) -> Self:
        return msgspec.structs.replace(
            self,
            status=outcome,
            error=error,
            total=self.processed if outcome in (Outcome.COMPLETE, Outcome.PARTIAL) else self.total,
            seconds_left=None,
            **NO_WAIT,
        )

    def interrupted(self, status: str) -> Self:
        """The dataset after its sync ended with `status` (cancelled or failed). A dataset that had
        not ended is neither complete nor failed: the sync may not even have requested it."""
        if self.ended:
            return self
        ending = "failed" if status == "failed" else f"was {status}"
        if self.name == CLAIMS:
            done = "Not stored completely" if self.processed else "Not computed"
            return self.end(Outcome.UNKNOWN, f"{done}: the sync {ending} first.")
        if self.processed:
            ended = self.end(Outcome.PARTIAL, f"Not read completely: the sync {ending} first.")
            return msgspec.structs.replace(ended, total=self.total)
        ended = self.end(Outcome.UNKNOWN, f"Not read: the sync {ending} first.")
        return msgspec.structs.replace(ended, code=NOT_READ)

    def reopened(self) -> Self:
        """The dataset after its sync was resumed. Reading continues if the dataset ended with an
        error; otherwise it is unchanged."""
        if self.error is None:
            return self
        status = Outcome.IN_PROGRESS if self.processed else Outcome.PENDING
        return msgspec.structs.replace(self, status=status, error=None, code=None)

    def waiting(self, until: datetime, why: str, seconds: float) -> Self:
        """The dataset at the start of a pause. `why` may be a QuotaReason."""
        return msgspec.structs.replace(
            self,
            status=Outcome.IN_PROGRESS,
            waiting_until=until,
            waiting_for=f"Waiting {seconds:,.0f} s for {why}",
            waiting_reason=str(why),
            waiting_operation=why.operation if isinstance(why, QuotaReason) else None,
            seconds_left=max(self.seconds_left or 0.0, seconds),
        )

    def left_to_wait(self, at: datetime) -> float:
        """The remaining seconds of its pause."""
        until = self.waiting_until
        return max(0.0, (until - at).total_seconds()) if until else 0.0

    def without_waits(self) -> Self:
        return msgspec.structs.replace(self, **NO_WAIT)

    def redacted(self, text: str) -> Self:
        """The dataset without anything from the source; `text` replaces its error."""
        return msgspec.structs.replace(
            self,
            error=self.error and text,
            waiting_for=None,
            waiting_reason=None,
            restated=None,
            checkpoint=Checkpoint(self.checkpoint.window),
        )

    @property
    def description(self) -> str:
        """For example: Fetching orders (1,247 of 2,500). Waiting 179 s for …"""
        if self.ended:
            return f"Fetched {self.processed:,} {self.label}"
        of = "so far" if self.total is None else f"of {self.total:,}"
        text = f"Fetching {self.label} ({self.processed:,} {of})"
        return f"{text}. {self.waiting_for}" if self.waiting_for else text


def plus_wait(waited: Waited, operation: str | None, seconds: float) -> Waited:
    """`waited` with these seconds added. Negative seconds take back an announced wait."""
    name = operation or ""
    total = round(max(0.0, waited.get(name, 0.0) + seconds), 3)
    return {key: value for key, value in {**waited, name: total}.items() if value}


def window_to_read(
    reach: timedelta, overlap: timedelta, until: datetime, coverage: Coverage | None
) -> Window:
    """The default window of a dataset: from `overlap` before the end of the coverage, if that
    includes the whole reach and its end is plausible; else the whole reach."""
    earliest = until - reach
    if coverage is None or coverage.since > earliest or not coverage.plausible(until, overlap):
        return Window(earliest, until)
    since = min(coverage.until - overlap, until - _SHORTEST_WINDOW)
    return Window(max(earliest, since), until)
