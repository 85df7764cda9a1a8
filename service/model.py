"""A sync and the moves it may make. Frozen values: a change is a new value. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from urllib.parse import quote

import msgspec

from connectors.base import Page
from service.errors import IllegalMove
from service.progress import CLAIMS, FLOORS, DatasetProgress, Outcome, Stage, Tally

TAKEOVERS = 3
"""How often a sync is taken over without a new checkpoint before it may be called stalled."""
MOST_ATTEMPTS_TOLD = 20
ERASED = "The data of this sync was erased."
"""What a sync tells whose connection was forgotten with its data."""


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


def user_id(tenant: str, sub: str) -> str:
    """The key of a user in every table, map and limit: tenant and `sub` together.

    No two pairs share an id: quoting removes every "/" from the tenant, so the first "/" always
    separates the two. Clients never see an id: they know a user by its `sub`."""
    return f"{quote(tenant, safe='')}/{sub}"


def sub_of(user: str) -> str:
    """The `sub` in a user's id."""
    return user.partition("/")[2]


class Actor(msgspec.Struct, frozen=True):
    """Who makes a request, and from where. `sub` is the name that people see; `role` is `operator`
    or nothing."""

    sub: str
    tenant: str
    plan: str = ""
    address: str = ""
    user_agent: str = ""
    role: str = ""

    @property
    def user(self) -> str:
        """The id by which everything of this user is kept."""
        return user_id(self.tenant, self.sub)


class AuditEntry(msgspec.Struct, frozen=True):
    """Who did what to which sync or connection of a user (its id); `actor` is the user's `sub`, or
    what acts for the user: `service`, or `schedule`."""

    at: datetime
    action: str
    user: str
    tenant: str
    actor: str
    sync_id: str = ""
    connection_id: str = ""
    address: str = ""
    user_agent: str = ""
    details: Mapping[str, Any] = {}


class Options(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a start asked for. `dry_run` reads and counts but lands nothing; `overwrite` reads all
    there is and deletes what is no more, over a tenth only with `allow_mass_delete`; `priority`
    orders the waiting syncs of a tenant; `items` says of which records the outcome is noted."""

    datasets: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    dry_run: bool = False
    overwrite: bool = False
    allow_mass_delete: bool = False
    priority: int = 0
    items: str = ""


class Fault(msgspec.Struct, frozen=True):
    """Why a sync failed or paused, in words for the user."""

    code: str
    message: str
    retryable: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """A try that did not bring the sync to its end, and why."""

    number: int
    started_at: datetime
    ended_at: datetime
    status: str
    error: Fault | None = None


class Sync(msgspec.Struct, frozen=True):
    """One run over one user's connection. It is its own event: `version` is the event's id.
    `user` is a user's id (see `user_id`), not the `sub`.

    `retries` and `takeovers` count what has happened since the last new checkpoint, which was at
    `checkpoint_at`; `attempt_at` is when this attempt began, `attempts` are those before it."""

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
    retries: int = 0
    takeovers: int = 0
    options: Options = Options()
    claims_detected: int = 0
    seconds_left: float | None = None
    waiting_until: datetime | None = None
    completed_at: datetime | None = None
    checkpoint_at: datetime | None = None
    attempt_at: datetime | None = None
    error: Fault | None = None
    warnings: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def standing(self) -> str:
        """Of a paused sync: since when, why, and what to do."""
        since = f"The sync is paused since {self.updated_at:%Y-%m-%d %H:%M} UTC"
        if self.error is None or self.error.code != "connection_lost":
            return f"{since}: {self.error.message if self.error else ''} Resume it, or cancel it."
        where = f"POST /api/connections/{self.connection_id}/reconnect"
        return f"{since} because the connection was lost: reconnect it ({where}), or cancel it."

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

    def stalled(self, at: datetime, timeout: timedelta) -> bool:
        """Taken over again and again, and nothing new for longer than it had to wait anyhow."""
        last = max(filter(None, (self.started_at, self.checkpoint_at, self.waiting_until)))
        return self.takeovers >= TAKEOVERS and at > last + timeout

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
            attempts=self._tried(self.status, self.error, self.completed_at or self.updated_at),
            attempt_at=at,
            retries=0,
            takeovers=0,
            completed_at=None,
            error=None,
            message="Waiting for its turn",
            warnings=(),  # each tells of a dataset that is opened again
            datasets=tuple(each.reopened() for each in self.datasets),
        )

    def retrying(self, fault: Fault, until: datetime, at: datetime) -> Self:
        """An attempt failed, and the next begins by itself after a pause."""
        seconds = (until - at).total_seconds()
        return self._next(
            at,
            attempt=self.attempt + 1,
            retries=self.retries + 1,
            attempts=self._tried(Status.FAILED, fault, at),
            attempt_at=until,
            message=f"{fault.message} Trying again in {seconds:,.0f} s",
            waiting_until=until,
            seconds_left=None,
            datasets=tuple(each.calm() for each in self.datasets),
        )

    def _tried(self, status: Status, fault: Fault | None, at: datetime) -> tuple[Attempt, ...]:
        begun = self.attempt_at or self.started_at
        over = Attempt(self.attempt, min(begun, at), at, status, fault)
        return (*self.attempts, over)[-MOST_ATTEMPTS_TOLD:]

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
            datasets=tuple(each.calm() for each in self.datasets),
        )

    def completed(self, at: datetime) -> Self:
        count = sum(each.processed for each in self.sources)
        what = "records counted, none kept" if self.options.dry_run else "records"
        return self._end(
            Status.COMPLETE,
            at,
            f"Complete: {count:,} {what}" + (", with warnings" if self.warnings else ""),
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
            datasets=tuple(each.broken_off(status) for each in self.datasets),
            **changes,
        )

    def redacted(self) -> Self:
        """Without the texts and bookmarks that came from the source."""
        if self.message == ERASED:
            return self
        return msgspec.structs.replace(
            self,
            version=self.version + 1,
            message=ERASED,
            warnings=(),
            error=_redacted(self.error),
            attempts=tuple(
                msgspec.structs.replace(each, error=_redacted(each.error)) for each in self.attempts
            ),
            datasets=tuple(each.redacted(ERASED) for each in self.datasets),
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
        before = self.dataset(name)
        dataset = before.advanced(page, tally)
        new: dict[str, Any] = {}
        if tally.processed or dataset.ended:  # what comes again is no progress
            new = {"retries": 0, "takeovers": 0, "checkpoint_at": at}
        said = [page.warning] if page.warning else []
        if dataset.ended and dataset.failed:
            lost = f"{dataset.failed:,} of {dataset.processed:,} {dataset.label} could not be read."
            said.append(lost)
        if fresh := [each for each in said if each not in self.warnings]:
            new["warnings"] = (*self.warnings, *fresh)
        return self._with(dataset, at, **new)

    def waiting(self, name: str | None, until: datetime, why: str, at: datetime) -> Self:
        """A pause of over a second begins, in a dataset or before any is read."""
        seconds = (until - at).total_seconds()
        text = f"Waiting {seconds:,.0f} s for {why}"
        if name is None:
            return self._next(at, waiting_until=until, message=text, seconds_left=seconds)
        return self._with(self.dataset(name).waiting(until, text, seconds), at)

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

    def swept(self, name: str, deleted: int, at: datetime) -> Self:
        """So many records of a dataset are no more."""
        dataset = self.dataset(name)
        gone = msgspec.structs.replace(dataset, deleted=dataset.deleted + deleted)
        return self._with(gone, at)

    def warned(self, text: str, at: datetime) -> Self:
        return self._next(at, warnings=(*self.warnings, text))

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
        return (unended[0] if unended and changed.ended else changed).told()

    def _fetched(self) -> int:
        """The bar while fetching: the mean of the datasets, between the two floors."""
        if self.stage is not Stage.FETCHING or not self.sources:
            return self.percent
        mean = sum(each.fraction for each in self.sources) / len(self.sources)
        floor, ceiling = FLOORS[Stage.FETCHING], FLOORS[Stage.PROCESSING]
        return floor + int((ceiling - floor) * mean)


def _redacted(fault: Fault | None) -> Fault | None:
    return fault and msgspec.structs.replace(fault, message=ERASED)
