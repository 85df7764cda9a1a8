"""Convert values of the service to response shapes: syncs, events, connections, records, claims."""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
from sse_starlette import ServerSentEvent

from connectors.base import ValuationStep
from service.links import sync_links
from service.model import Attempt, Status, Sync
from service.progress import CLAIMS, DatasetProgress
from service.store.claims import StoredClaim
from service.store.completeness import StoredDay
from service.store.connections import Schedule, StoredConnection
from service.store.engine import Values
from service.store.records import StoredDataset
from service.wire import shapes, sync_shapes
from service.wire.amounts import as_text
from service.wire.fields import Out

MAX_ATTEMPTS = 3
#: Datasets whose counters are in every status, even if the connector does not have the dataset.
ALWAYS_COUNTED = ("orders", "inventory", "transactions")
#: Maximum number of syncs whose encoded status is cached.
CACHED_SYNCS = 2048
NULL = msgspec.Raw(b"null")

Json = dict[str, Any]
Shape = TypeVar("Shape", bound=Out)


def shape_of(shape: type[Shape], source: msgspec.Struct | Values, **fields: Any) -> Shape:
    """A shape with the given `fields`. Other fields are copied from `source` by name."""
    values = msgspec.structs.asdict(source) if isinstance(source, msgspec.Struct) else dict(source)
    texts = {name: time(v) for name, v in values.items() if isinstance(v, datetime)}
    return msgspec.convert(SimpleNamespace(**values | texts | fields), shape, from_attributes=True)


# Cached, since most times of a sync (its start, the windows of its datasets) are in every version.
@lru_cache(maxsize=4096)
def time(moment: datetime) -> str:
    """The time as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(stamp: str) -> str:
    """A time from the database, truncated to milliseconds."""
    return f"{stamp[:23]}Z"


def _raw(text: str) -> msgspec.Raw:
    """JSON from the database, which is sent unchanged."""
    return msgspec.Raw(text.encode())


# Syncs ----------------------------------------------------------------------------------------


def status(sync: Sync) -> Json:
    """The status of a sync; also the data of every event. It depends on the version alone."""
    datasets = {dataset.name: dataset for dataset in sync.sources}
    counters: Json = {}
    flat: Json = {}
    for name in dict.fromkeys((*ALWAYS_COUNTED, *datasets)):
        dataset = datasets.get(name)
        counts = (dataset.processed, dataset.total) if dataset else (0, None)
        flat.update(zip((f"{name}_processed", f"total_{name}"), counts, strict=True))
        counters.update(zip(_counter_names(name), counts, strict=True))
    shape = shape_of(
        sync_shapes.SyncStatus,
        sync,
        **flat,
        sync_id=sync.id,
        status=shown_status(sync.status),
        progress=sync.percent,
        claims_detected=sync.known_claims,
        records_processed=sum(dataset.processed for dataset in datasets.values()),
        records_failed=sum(dataset.failed for dataset in datasets.values()),
        datasets=[_dataset(dataset) for dataset in sync.datasets],
        estimated_seconds_remaining=_rounded(sync.seconds_left),
        max_attempts=MAX_ATTEMPTS,
        duration=_duration(sync.started_at, sync.completed_at),
        dry_run=sync.options.dry_run,
        completeness=sync.completeness and shape_of(sync_shapes.CompletenessOut, sync.completeness),
    )
    body: Json = msgspec.to_builtins(shape)
    return body | counters


@cache
def _counter_names(dataset: str) -> tuple[str, str]:
    """For example: ordersProcessed, totalOrders."""
    title = "".join(word.capitalize() for word in dataset.split("_"))
    return f"{title[0].lower()}{title[1:]}Processed", f"total{title}"


def _dataset(dataset: DatasetProgress) -> sync_shapes.DatasetOut:
    window = dataset.checkpoint.window
    timeless = dataset.name == CLAIMS or window.since == window.until
    span = sync_shapes.WindowOut(since=time(window.since), until=time(window.until))
    return shape_of(sync_shapes.DatasetOut, dataset, window=None if timeless else span)


def whole_sync(sync: Sync) -> Json:
    """The sync with all of its attempts, the last one included."""
    start = sync.attempt_at or sync.started_at
    end, status_shown = sync.completed_at or start, shown_status(sync.status)
    last = Attempt(sync.attempt, start, end, status_shown, sync.error)
    attempts = [_attempt(attempt, attempt.ended_at) for attempt in sync.attempts]
    return status(sync) | {"attempts": [*attempts, _attempt(last, sync.completed_at)]}


def _attempt(attempt: Attempt, ended: datetime | None) -> sync_shapes.AttemptOut:
    return shape_of(
        sync_shapes.AttemptOut,
        attempt,
        attempt=attempt.number,
        ended_at=ended and time(ended),
        duration=_duration(attempt.started_at, ended),
    )


def started(sync: Sync, message: str) -> sync_shapes.Started:
    fields = {**sync_links(sync.id), "status": shown_status(sync.status), "message": message}
    return msgspec.convert(fields, sync_shapes.Started)


def addresses(sync: Sync) -> sync_shapes.Addresses:
    return msgspec.convert(sync_links(sync.id), sync_shapes.Addresses)


def shown_status(status: Status) -> str:
    return Status.IN_PROGRESS if status is Status.PENDING else status


def _duration(since: datetime, until: datetime | None) -> float | None:
    """Seconds, never below 0: the clock may have been set back in between."""
    return None if until is None else round(max(0.0, (until - since).total_seconds()), 3)


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


class Encoder:
    """Encodes each version of a sync once, for any number of readers."""

    def __init__(self) -> None:
        self._encoded: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def status(self, sync: Sync) -> bytes:
        version, body = self._encoded.get(sync.id, (0, b""))
        if version != sync.version:
            body = msgspec.json.encode(status(sync))
            self._encoded.pop(sync.id, None)
            self._encoded[sync.id] = (sync.version, body)
            if len(self._encoded) > CACHED_SYNCS:
                self._encoded.popitem(last=False)
        return body


def event(sync: Sync, body: bytes, with_id: bool = True) -> bytes:
    """An event of a stream, with the encoded status of its sync as data."""
    version = str(sync.version) if with_id else None
    return block(data=body.decode(), event=sync.kind, id=version)


def block(**fields: Any) -> bytes:
    """A block of an event stream."""
    return ServerSentEvent(**fields, sep="\n").encode()


def item(row: Values) -> sync_shapes.Item:
    return shape_of(sync_shapes.Item, row, at=_milliseconds(row["at"]))


def audit_entry(row: Values) -> sync_shapes.AuditEntryOut:
    return shape_of(
        sync_shapes.AuditEntryOut, row, at=_milliseconds(row["at"]), details=_raw(row["details"])
    )


# Connections ----------------------------------------------------------------------------------


def connection(stored: StoredConnection) -> Json:
    """A connection with its public settings, without its credentials."""
    shape = shape_of(
        shapes.Connection,
        stored,
        status="lost" if stored.lost else "connected",
        reason=stored.lost,
        schedule=schedule(stored.schedule),
    )
    return {**msgspec.to_builtins(shape), **stored.settings}


def connected(stored: StoredConnection, sync: Sync | str | None) -> Json:
    """A connection with the started or resumed sync, or why no sync was started or resumed."""
    links = msgspec.to_builtins(addresses(sync)) if isinstance(sync, Sync) else None
    warning = {"warning": sync} if isinstance(sync, str) else {}
    return {**connection(stored), "sync": links, **warning}


def schedule(stored: Schedule | None) -> shapes.ScheduleOut | None:
    if stored is None:
        return None
    return shape_of(shapes.ScheduleOut, stored, next_run_at=time(stored.next))


def stored_dataset(
    name: str, stored: StoredDataset | None, days: Sequence[StoredDay] = ()
) -> shapes.LandedOut:
    coverage = stored.coverage if stored else None
    return shapes.LandedOut(
        name=name,
        records=stored.records if stored else 0,
        read_since=time(coverage.since) if coverage else None,
        watermark=time(coverage.until) if coverage else None,
        sync_id=stored.sync_id if stored else None,
        days=[shape_of(shapes.DayOut, day.day, fetched=day.fetched) for day in days],
    )


def completeness(
    days: Mapping[str, Sequence[StoredDay]],
) -> sync_shapes.CompletenessOut | None:
    """The days of all datasets, counted; None if there are none."""
    counts = Counter(day.day.state for of_dataset in days.values() for day in of_dataset)
    if not counts:
        return None
    return sync_shapes.CompletenessOut(
        confirmed=counts["confirmed"],
        single_sourced=counts["single_sourced"],
        short=counts["short"],
    )


def last_sync(sync: Sync | None) -> shapes.LastSync | None:
    if sync is None:
        return None
    return shape_of(shapes.LastSync, sync, sync_id=sync.id, status=shown_status(sync.status))


# Records and claims ---------------------------------------------------------------------------


def record(row: Values) -> shapes.RecordOut:
    return shape_of(
        shapes.RecordOut, row, updated_at=_milliseconds(row["updated_at"]), data=_raw(row["data"])
    )


def recovery(stored: StoredClaim) -> shapes.RecoveryOut:
    return shape_of(shapes.RecoveryOut, stored.claim, **_recovery(stored))


def proven_recovery(
    stored: StoredClaim, evidence: Mapping[str, list[shapes.EvidenceOut]]
) -> shapes.ProvenRecovery:
    """A claim with the records that prove it, by dataset."""
    return shape_of(
        shapes.ProvenRecovery, stored.claim, **_recovery(stored) | {"evidence": evidence}
    )


def _recovery(stored: StoredClaim) -> Json:
    claim = stored.claim
    steps = claim.steps or [ValuationStep(claim.valuation, claim.amount, claim.currency)]
    return {
        "id": stored.id,
        "status": stored.status,
        "connection_id": stored.connection_id,
        "sync_id": stored.sync_id,
        "updated_at": _milliseconds(stored.updated_at),
        "found_at": _milliseconds(stored.found_at),
        "closed_reason": stored.closed_reason,
        "paid": stored.paid and shape_of(shapes.PaymentOut, stored.paid),
        "valuation": [shape_of(shapes.ValuationStepOut, step) for step in steps],
        "summary": claim.summary or claim.title,
        "case_text": claim.case_text or claim.summary or claim.title,
    }


def proof(connection_id: str, kept: Values | None, now: Values | None) -> shapes.EvidenceOut | None:
    """A record as it was kept as evidence, beside what it is now. One that was not kept is shown
    as it is now; None if there is neither."""
    row = kept or now
    if row is None:
        return None
    state, changes = "unchanged", []
    if now is None:
        state = "deleted"
    elif now["data"] != row["data"] and (changes := _changes(row["data"], now["data"])):
        state = "changed"
    return shapes.EvidenceOut(
        id=row["id"],
        connection_id=connection_id,
        sync_id=row["sync_id"],
        updated_at=_milliseconds(row["updated_at"]),
        data=_raw(row["data"]),
        state=state,
        changes=changes,
        now=record(now) if now and state == "changed" else None,
    )


def _changes(before: str, after: str) -> list[shapes.FieldChange]:
    """The top-level fields that differ; records that are no objects differ as a whole."""
    old, new = (_fields(text) for text in (before, after))
    return [
        shapes.FieldChange(field=name, before=old.get(name, NULL), after=new.get(name, NULL))
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]


def _fields(text: str) -> Mapping[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {"": _raw(text)}


def total(row: Values) -> shapes.Total:
    """The claims of one currency and status."""
    return shape_of(shapes.Total, row, amount=_sum(row))


def closing_total(row: Values) -> shapes.ClosingTotal:
    return shape_of(shapes.ClosingTotal, row, amount=_sum(row))


def series_point(row: Values) -> shapes.SeriesPoint:
    return shape_of(shapes.SeriesPoint, row, amount=_sum(row))


def _sum(row: Values) -> str | None:
    hundredths = row["hundredths"]
    return None if hundredths is None else as_text(hundredths, row["currency"])
