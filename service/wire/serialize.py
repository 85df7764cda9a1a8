"""Convert values of the service to response shapes: syncs, events, connections, records, claims."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
from sse_starlette import ServerSentEvent

from connectors.claims import ValuationStep
from service.links import sync_links
from service.model import Attempt, Status, Sync
from service.progress import CLAIMS, DatasetProgress, Restated, Waited, plus_wait
from service.store.claims import StoredClaim
from service.store.engine import Values
from service.wire import record_shapes, shapes, sync_shapes
from service.wire.amounts import as_text, exact
from service.wire.fields import Out

MAX_ATTEMPTS = 3
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
    """The status of a sync; also the data of every event. It depends only on the version."""
    shape = shape_of(
        sync_shapes.SyncStatus,
        sync,
        **_row(sync),
        datasets=[_dataset(dataset) for dataset in sync.datasets],
        warnings=[shape_of(sync_shapes.WarningOut, warning) for warning in sync.warnings],
        estimated_seconds_remaining=_rounded(sync.seconds_left),
        max_attempts=MAX_ATTEMPTS,
        completeness=sync.completeness and shape_of(sync_shapes.CompletenessOut, sync.completeness),
    )
    body: Json = msgspec.to_builtins(shape)
    return body


def history_row(sync: Sync) -> sync_shapes.HistoryRow:
    """A sync in the history, without its datasets and warnings."""
    return shape_of(sync_shapes.HistoryRow, sync, **_row(sync))


def _row(sync: Sync) -> Json:
    """The fields of a row that a sync does not have by the same name."""
    orders = next((dataset for dataset in sync.read_datasets if dataset.name == "orders"), None)
    return {
        "sync_id": sync.id,
        "status": shown_status(sync.status),
        "progress": sync.percent,
        "orders_processed": orders.processed if orders else 0,
        "total_orders": orders.total if orders else None,
        "claims_detected": sync.known_claims,
        "records_processed": sum(dataset.processed for dataset in sync.read_datasets),
        "records_failed": sum(dataset.failed for dataset in sync.read_datasets),
        "warnings_count": len(sync.warnings),
        "duration": _duration(sync.started_at, sync.completed_at),
        "kind": sync.kind,
        "dry_run": sync.options.dry_run,
    }


def _dataset(dataset: DatasetProgress) -> sync_shapes.DatasetOut:
    window = dataset.checkpoint.window
    timeless = dataset.name == CLAIMS or window.since == window.until
    span = sync_shapes.WindowOut(since=time(window.since), until=time(window.until))
    return shape_of(
        sync_shapes.DatasetOut,
        dataset,
        window=None if timeless else span,
        fraction=dataset.known_fraction,
        waiting=_waiting(dataset),
        restated=dataset.restated and _restated(dataset.restated),
    )


def _waiting(dataset: DatasetProgress) -> sync_shapes.WaitingOut | None:
    if dataset.waiting_until is None:
        return None
    return sync_shapes.WaitingOut(
        for_=dataset.waiting_reason or dataset.waiting_for or "",
        operation=dataset.waiting_operation,
        until=time(dataset.waiting_until),
    )


def _restated(restated: Restated) -> sync_shapes.RestatedOut:
    return sync_shapes.RestatedOut(
        records=restated.records,
        days=len(restated.days),
        amounts=[
            sync_shapes.RestatedAmount(amount=exact(amount, currency), currency=currency)
            for currency, amount in restated.differences.items()
        ],
    )


def whole_sync(sync: Sync, moves: Sequence[Values]) -> Json:
    """The sync with all of its attempts, the last one included, and its entries of the audit
    log."""
    start = sync.attempt_at or sync.started_at
    end, status_shown = sync.completed_at or start, shown_status(sync.status)
    last = Attempt(sync.attempt, start, end, status_shown, sync.error, sync.waited)
    waited: Waited = {}
    for attempt in (*sync.attempts, last):
        for operation, seconds in attempt.waited.items():
            waited = plus_wait(waited, operation, seconds)
    attempts = [_attempt(attempt, attempt.ended_at) for attempt in sync.attempts]
    return status(sync) | {
        "attempts": [*attempts, _attempt(last, sync.completed_at)],
        "waited": _waited(waited),
        "moves": [audit_entry(row) for row in moves],
    }


def _attempt(attempt: Attempt, ended: datetime | None) -> sync_shapes.AttemptOut:
    return shape_of(
        sync_shapes.AttemptOut,
        attempt,
        attempt=attempt.number,
        ended_at=ended and time(ended),
        duration=_duration(attempt.started_at, ended),
        waited=_waited(attempt.waited),
    )


def _waited(waited: Waited) -> Sequence[sync_shapes.WaitedOut]:
    longest = sorted(waited.items(), key=lambda item: -item[1])
    return [
        sync_shapes.WaitedOut(operation=name or None, seconds=seconds) for name, seconds in longest
    ]


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
    return block(data=body.decode(), event=sync.event, id=version)


def block(**fields: Any) -> bytes:
    """A block of an event stream."""
    return ServerSentEvent(**fields, sep="\n").encode()


def item(row: Values) -> sync_shapes.Item:
    return shape_of(sync_shapes.Item, row, at=_milliseconds(row["at"]))


def audit_entry(row: Values) -> sync_shapes.AuditEntryOut:
    return shape_of(
        sync_shapes.AuditEntryOut, row, at=_milliseconds(row["at"]), details=_raw(row["details"])
    )


# Records and claims ---------------------------------------------------------------------------


def record(row: Values) -> record_shapes.RecordOut:
    return shape_of(
        record_shapes.RecordOut,
        row,
        updated_at=_milliseconds(row["updated_at"]),
        data=_raw(row["data"]),
    )


def whole_record(row: Values, claims: Sequence[Values]) -> record_shapes.WholeRecord:
    """A record with its history and the claims that it proves."""
    first_seen = row["first_seen_at"]
    return shape_of(
        record_shapes.WholeRecord,
        row,
        updated_at=_milliseconds(row["updated_at"]),
        first_seen_at=first_seen and _milliseconds(first_seen),
        data=_raw(row["data"]),
        claims=[shape_of(record_shapes.ProvenClaim, claim) for claim in claims],
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
    """A record as it was kept as evidence, and as it is now. A record that was not kept is shown as
    it is now; None if there is neither."""
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
    """The top-level fields that differ. Records that are not objects differ as a whole."""
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
