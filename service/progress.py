"""How far a dataset is: read, counted, bookmarked, ended. Frozen values, no I/O."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

import msgspec

from connectors.base import Cursor, Page, Window

NOT_READ = "not_read"
"""The code of a dataset of which nothing was read before its sync ended."""
CLAIMS = "claims"
"""The dataset that is not read but detected."""


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


class Coverage(msgspec.Struct, frozen=True):
    """The span of time of which all that a source has of a dataset was read, without a gap. Its end
    is the watermark: the next sync begins there."""

    since: datetime
    until: datetime

    def believed(self, newest: datetime, overlap: timedelta) -> bool:
        """Whether its end can be true, where nothing newer than `newest` can have been read. If
        not, the clock by which it was written was ahead, and nobody knows how far was read."""
        return self.until - overlap <= newest

    def joined(self, window: Window, reach: timedelta) -> "Coverage":
        """With a window that was read whole. One that leaves a gap counts only if it is as long as
        the dataset reaches back."""
        if window.since <= self.until and window.until >= self.since:
            return Coverage(min(self.since, window.since), max(self.until, window.until))
        whole = window.until - window.since >= reach and window.until > self.until
        return Coverage(window.since, window.until) if whole else self


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
    code: str | None = None

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
    def faultless(self) -> bool:
        """Whether what it did not bring can be said not to be there."""
        return self.status is Outcome.COMPLETE and not self.failed

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

    def broken_off(self, how: str) -> Self:
        """What an ended sync (`how`: cancelled or failed) says of a dataset that it did not end:
        never that it was read, nor that it failed, since the sync may not even have asked for it.
        """
        if self.ended:
            return self
        ending = "failed" if how == "failed" else f"was {how}"
        if self.name == CLAIMS:
            return self.end(Outcome.UNKNOWN, f"Not computed: the sync {ending} before.")
        if self.processed:
            ended = self.end(Outcome.PARTIAL, f"Not read to the end: the sync {ending} before.")
            return msgspec.structs.replace(ended, total=self.total)
        ended = self.end(Outcome.UNKNOWN, f"Not read: the sync {ending} before.")
        return msgspec.structs.replace(ended, code=NOT_READ)

    def reopened(self) -> Self:
        """A dataset that broke off is read on at the next try; one that was read stays read."""
        if self.error is None:
            return self
        status = Outcome.IN_PROGRESS if self.processed else Outcome.PENDING
        return msgspec.structs.replace(self, status=status, error=None, code=None)

    def waiting(self, until: datetime, text: str, seconds: float) -> Self:
        return msgspec.structs.replace(
            self,
            status=Outcome.IN_PROGRESS,
            waiting_until=until,
            waiting_for=text,
            seconds_left=max(self.seconds_left or 0.0, seconds),
        )

    def calm(self) -> Self:
        """It waits no more."""
        return msgspec.structs.replace(self, waiting_until=None, waiting_for=None)

    def redacted(self, text: str) -> Self:
        """Without what came from the source; `text` stands in for its error."""
        return msgspec.structs.replace(
            self,
            error=self.error and text,
            waiting_for=None,
            checkpoint=Checkpoint(self.checkpoint.window),
        )

    def told(self) -> str:
        """For example: Fetching orders (1,247 of 2,500). Waiting 179 s for …"""
        if self.ended:
            return f"Fetched {self.processed:,} {self.label}"
        of = "so far" if self.total is None else f"of {self.total:,}"
        text = f"Fetching {self.label} ({self.processed:,} {of})"
        return f"{text}. {self.waiting_for}" if self.waiting_for else text


def window_to_read(
    reach: timedelta, overlap: timedelta, until: datetime, known: Coverage | None
) -> Window:
    """What a sync reads of a dataset unless told: from where the last one ended, a little before,
    if that had read all of the reach and its end can be true; else the whole reach."""
    whole = until - reach
    if known is None or known.since > whole or not known.believed(until, overlap):
        return Window(whole, until)
    return Window(max(whole, min(known.until - overlap, until - _SHORTEST)), until)


_SHORTEST = timedelta(seconds=1)
