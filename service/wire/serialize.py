"""Convert values of the service to the shapes of the API: syncs, events, connections, claims."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sse_starlette import ServerSentEvent

from service.model import Attempt, Status, Sync
from service.progress import CLAIMS, DatasetProgress
from service.registry import addresses
from service.store.claims import StoredClaim
from service.store.connections import Schedule, StoredConnection
from service.store.engine import Values
from service.store.records import StoredDataset
from service.wire import shapes

MAX_ATTEMPTS = 3
ALWAYS_COUNTED = ("orders", "inventory", "transactions")
"""Datasets whose counters every status has, also where the connector has no such dataset."""
REMEMBERED = 2048

Json = dict[str, Any]


def time(moment: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else time(moment)


def _stamped(text: str) -> str:
    """A time of the store, which counts to the microsecond, as the wire has it."""
    return f"{text[:23]}Z"


# Syncs ----------------------------------------------------------------------------------------


def status(sync: Sync) -> Json:
    """The sync as API.md describes it; also the data of every event."""
    counters = _counters(sync)
    told = shapes.SyncStatus(
        sync_id=sync.id,
        status=shown(sync.status),
        stage=sync.stage,
        progress=sync.percent,
        message=sync.message,
        started_at=time(sync.started_at),
        completed_at=_time(sync.completed_at),
        orders_processed=counters["ordersProcessed"],
        total_orders=counters["totalOrders"],
        inventory_processed=counters["inventoryProcessed"],
        total_inventory=counters["totalInventory"],
        transactions_processed=counters["transactionsProcessed"],
        total_transactions=counters["totalTransactions"],
        claims_detected=sync.claims_detected,
        records_processed=sum(each.processed for each in sync.sources),
        records_failed=sum(each.failed for each in sync.sources),
        datasets=[_dataset(each) for each in sync.datasets],
        estimated_seconds_remaining=_whole(sync.seconds_left),
        waiting_until=_time(sync.waiting_until),
        attempt=sync.attempt,
        max_attempts=MAX_ATTEMPTS,
        version=sync.version,
        error=sync.error,
        warnings=sync.warnings,
        duration=_duration(sync.started_at, sync.completed_at),
        connector=sync.connector,
        connection_id=sync.connection_id,
        options=sync.options,
        dry_run=sync.options.dry_run,
        updated_at=time(sync.updated_at),
    )
    flat: Json = msgspec.to_builtins(told)
    return flat | counters


def whole_sync(sync: Sync) -> Json:
    """The sync with each of its attempts, the last one included."""
    begun = sync.attempt_at or sync.started_at
    last = Attempt(sync.attempt, begun, sync.completed_at or begun, shown(sync.status), sync.error)
    attempts = [_attempt(each, each.ended_at) for each in sync.attempts]
    return status(sync) | {"attempts": [*attempts, _attempt(last, sync.completed_at)]}


def started(sync: Sync, message: str) -> shapes.Started:
    where = {"status": shown(sync.status), "message": message, **addresses(sync.id)}
    return msgspec.convert(where, shapes.Started)


def whereabouts(sync: Sync) -> shapes.Addresses:
    return msgspec.convert(addresses(sync.id), shapes.Addresses)


def _attempt(attempt: Attempt, ended: datetime | None) -> shapes.Attempt:
    return shapes.Attempt(
        attempt=attempt.number,
        status=attempt.status,
        started_at=time(attempt.started_at),
        ended_at=_time(ended),
        duration=_duration(attempt.started_at, ended),
        error=attempt.error,
    )


def _duration(since: datetime, until: datetime | None) -> float | None:
    """Seconds; null before the end. Never below 0: a clock may be set back in between."""
    return None if until is None else round(max(0.0, (until - since).total_seconds()), 3)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def shown(status: Status) -> str:
    return Status.IN_PROGRESS if status is Status.PENDING else status


def _counters(sync: Sync) -> Json:
    """Each dataset's counters by name: ordersProcessed, totalOrders, …"""
    found = {each.name: each for each in sync.sources}
    counters: Json = {}
    for name in dict.fromkeys((*ALWAYS_COUNTED, *found)):
        title = "".join(word.capitalize() for word in name.split("_"))
        camel = title[0].lower() + title[1:]
        dataset = found.get(name)
        counters[f"{camel}Processed"] = dataset.processed if dataset else 0
        counters[f"total{title}"] = dataset.total if dataset else None
    return counters


def _dataset(dataset: DatasetProgress) -> shapes.Dataset:
    return shapes.Dataset(
        name=dataset.name,
        status=dataset.status,
        processed=dataset.processed,
        total=dataset.total,
        failed=dataset.failed,
        created=dataset.created,
        updated=dataset.updated,
        unchanged=dataset.unchanged,
        deleted=dataset.deleted,
        waiting_until=_time(dataset.waiting_until),
        code=dataset.code,
        error=dataset.error,
        window=_window(dataset),
    )


def _window(dataset: DatasetProgress) -> shapes.Window | None:
    """The span of time that is read; null for what has none."""
    window = dataset.checkpoint.window
    if dataset.name == CLAIMS or window.since == window.until:
        return None
    return shapes.Window(since=time(window.since), until=time(window.until))


class Encoder:
    """Encodes each version of a sync once, however many ask for it."""

    def __init__(self) -> None:
        self._encoded: dict[str, tuple[int, bytes]] = {}

    def status(self, sync: Sync) -> bytes:
        version, body = self._encoded.get(sync.id, (0, b""))
        if version != sync.version:
            body = msgspec.json.encode(status(sync))
            self._encoded.pop(sync.id, None)
            self._encoded[sync.id] = (sync.version, body)
            if len(self._encoded) > REMEMBERED:
                del self._encoded[next(iter(self._encoded))]
        return body


def event(sync: Sync, body: bytes, with_id: bool = True) -> bytes:
    """One frame of a stream."""
    number = str(sync.version) if with_id else None
    return block(data=body.decode(), event=sync.kind, id=number)


def block(**fields: Any) -> bytes:
    return ServerSentEvent(**fields, sep="\n").encode()


def item(row: Values) -> shapes.Item:
    return shapes.Item(
        dataset=row["dataset"],
        record_id=row["record_id"],
        name=row["name"],
        outcome=row["outcome"],
        error=row["error"],
        at=_stamped(row["at"]),
    )


def audit_entry(row: Values) -> shapes.AuditEntry:
    return shapes.AuditEntry(
        at=_stamped(row["at"]),
        action=row["action"],
        sync_id=row["sync_id"],
        connection_id=row["connection_id"],
        actor=row["actor"],
        address=row["address"],
        user_agent=row["user_agent"],
        details=msgspec.Raw(row["details"].encode()),
    )


# Connections ----------------------------------------------------------------------------------


def connection(kept: StoredConnection) -> Json:
    """A connection as its user sees it, with its public settings; never the credentials."""
    told = shapes.Connection(
        id=kept.id,
        connector=kept.connector,
        account_id=kept.account_id,
        name=kept.name,
        status="lost" if kept.lost else "connected",
        reason=kept.lost,
        created_at=time(kept.created_at),
        checked_at=_time(kept.checked_at),
        schedule=schedule(kept.schedule),
    )
    return {**msgspec.to_builtins(told), **kept.settings}


def connected(kept: StoredConnection, begun: Sync | str | None) -> Json:
    """A connection and the sync that goes on with it; or why none does."""
    sync = whereabouts(begun) if isinstance(begun, Sync) else None
    warning = {"warning": begun} if isinstance(begun, str) else {}
    return {**connection(kept), "sync": msgspec.to_builtins(sync), **warning}


def schedule(kept: Schedule | None) -> shapes.Schedule | None:
    if kept is None:
        return None
    return shapes.Schedule(cron=kept.cron, timezone=kept.timezone, next_run_at=time(kept.next))


def landed(name: str, kept: StoredDataset | None) -> shapes.Landed:
    coverage = kept.coverage if kept else None
    return shapes.Landed(
        name=name,
        records=kept.records if kept else 0,
        read_since=time(coverage.since) if coverage else None,
        watermark=time(coverage.until) if coverage else None,
        sync_id=kept.sync_id if kept else None,
    )


def last_sync(sync: Sync | None) -> shapes.LastSync | None:
    if sync is None:
        return None
    return shapes.LastSync(
        sync_id=sync.id,
        status=shown(sync.status),
        started_at=time(sync.started_at),
        completed_at=_time(sync.completed_at),
        error=sync.error,
    )


# What was landed and found --------------------------------------------------------------------


def record(row: Values) -> shapes.Record:
    return shapes.Record(
        id=row["id"],
        connection_id=row["connection_id"],
        sync_id=row["sync_id"],
        updated_at=_stamped(row["updated_at"]),
        data=msgspec.Raw(row["data"].encode()),
    )


def recovery(found: StoredClaim) -> shapes.Recovery:
    """A claim, as of today."""
    claim = found.claim
    return shapes.Recovery(
        id=found.id,
        rule=claim.rule,
        title=claim.title,
        status=found.status,
        units=claim.units,
        amount=claim.amount,
        currency=claim.currency,
        opens=claim.opens,
        closes=claim.closes,
        confidence=claim.confidence,
        valuation=claim.valuation,
        details=claim.details,
        connection_id=found.connection_id,
        sync_id=found.sync_id,
        updated_at=_stamped(found.updated_at),
    )


def total(row: Values) -> shapes.Total:
    """How much, of one currency and status; claims without an amount are counted apart."""
    hundredths = row["hundredths"]
    return shapes.Total(
        currency=row["currency"],
        status=row["status"],
        claims=row["claims"],
        unvalued=row["unvalued"],
        amount=None if hundredths is None else f"{Decimal(hundredths) / 100:.2f}",
    )
