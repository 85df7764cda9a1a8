"""How values look on the wire: the status, events, problems, bodies, cursors."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from sse_starlette import ServerSentEvent
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.errors import BodyTooLarge, Invalid, InvalidJSON, ServiceError
from service.model import Attempt, Status, Sync
from service.progress import CLAIMS, DatasetProgress
from service.store.connections import Schedule, StoredConnection
from service.store.engine import Values
from service.store.records import Landed
from service.store.recoveries import Recovery

LARGEST_BODY = 1024 * 1024
MOST_DISCARDED = 8 * LARGEST_BODY
"""A body over the limit is read so far, so that its sender gets to see the answer."""
MAX_ATTEMPTS = 3
ALWAYS_COUNTED = ("orders", "inventory", "transactions")
"""Datasets whose counters every status has, also where the connector has no such dataset."""
REMEMBERED = 2048
LONGEST_TEXT = 1000
"""Characters of what a problem says."""
EARLIEST, LATEST = 1970, 9000
"""Years that a client may name: there is room to add and to subtract."""

T = TypeVar("T")
Json = dict[str, Any]


class JSON(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


# What goes out --------------------------------------------------------------------------------


def time(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status(sync: Sync) -> Json:
    """The sync as API.md describes it; also the data of every event."""
    return {
        "syncId": sync.id,
        "status": _shown(sync.status),
        "stage": sync.stage,
        "progress": sync.percent,
        "message": sync.message,
        "startedAt": time(sync.started_at),
        "completedAt": time(sync.completed_at),
        **_counters(sync),
        "claimsDetected": sync.claims_detected,
        "recordsProcessed": sum(each.processed for each in sync.sources),
        "recordsFailed": sum(each.failed for each in sync.sources),
        "datasets": [_dataset(each) for each in sync.datasets],
        "estimatedSecondsRemaining": None
        if sync.seconds_left is None
        else round(sync.seconds_left),
        "waitingUntil": time(sync.waiting_until),
        "attempt": sync.attempt,
        "maxAttempts": MAX_ATTEMPTS,
        "version": sync.version,
        "error": sync.error,
        "warnings": sync.warnings,
        "duration": duration(sync),
        "connector": sync.connector,
        "connectionId": sync.connection_id,
        "options": sync.options,
        "dryRun": sync.options.dry_run,
        "updatedAt": time(sync.updated_at),
    }


def whole_sync(sync: Sync) -> Json:
    """The sync with each of its attempts, the last one included."""
    begun = sync.attempt_at or sync.started_at
    last = Attempt(sync.attempt, begun, sync.completed_at or begun, _shown(sync.status), sync.error)
    attempts = [*map(_attempt, sync.attempts), _attempt(last)]
    if sync.completed_at is None:
        attempts[-1] |= {"endedAt": None, "duration": None}
    return status(sync) | {"attempts": attempts}


def _attempt(attempt: Attempt) -> Json:
    return {
        "attempt": attempt.number,
        "status": attempt.status,
        "startedAt": time(attempt.started_at),
        "endedAt": time(attempt.ended_at),
        "duration": _seconds(attempt.started_at, attempt.ended_at),
        "error": attempt.error,
    }


def duration(sync: Sync) -> float | None:
    """Seconds from start to end; null before the end."""
    if sync.completed_at is None:
        return None
    return _seconds(sync.started_at, sync.completed_at)


def _seconds(since: datetime, until: datetime) -> float:
    """Never below 0: a clock may be set back in between."""
    return round(max(0.0, (until - since).total_seconds()), 3)


def _shown(status: Status) -> str:
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


def _dataset(dataset: DatasetProgress) -> Json:
    return {
        "name": dataset.name,
        "status": dataset.status,
        "processed": dataset.processed,
        "total": dataset.total,
        "failed": dataset.failed,
        "created": dataset.created,
        "updated": dataset.updated,
        "unchanged": dataset.unchanged,
        "deleted": dataset.deleted,
        "waitingUntil": time(dataset.waiting_until),
        "error": dataset.error,
        "window": _window(dataset),
    }


def _window(dataset: DatasetProgress) -> Json | None:
    """The span of time that is read; null for what has none."""
    window = dataset.checkpoint.window
    if dataset.name == CLAIMS or window.since == window.until:
        return None
    return {"since": time(window.since), "until": time(window.until)}


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


def connection(kept: StoredConnection) -> Json:
    """A connection as its user sees it: never the credentials."""
    return {
        "id": kept.id,
        "connector": kept.connector,
        "region": kept.region,
        "marketplaceIds": kept.marketplace_ids,
        "environment": kept.environment,
        "name": kept.name,
        "status": "lost" if kept.lost else "connected",
        "reason": kept.lost,
        "createdAt": time(kept.created_at),
        "checkedAt": time(kept.checked_at),
        "schedule": schedule(kept.schedule),
    }


def schedule(kept: Schedule | None) -> Json | None:
    if kept is None:
        return None
    return {"cron": kept.cron, "timezone": kept.timezone, "nextRunAt": time(kept.next)}


def landed(name: str, kept: Landed | None) -> Json:
    """What is kept of a dataset: how many records, read from when to when."""
    coverage = kept.coverage if kept else None
    return {
        "name": name,
        "records": kept.records if kept else 0,
        "readSince": time(coverage.since) if coverage else None,
        "watermark": time(coverage.until) if coverage else None,
        "syncId": kept.sync_id if kept else None,
    }


def last_sync(sync: Sync | None) -> Json | None:
    if sync is None:
        return None
    return {
        "syncId": sync.id,
        "status": _shown(sync.status),
        "startedAt": time(sync.started_at),
        "completedAt": time(sync.completed_at),
        "error": sync.error,
    }


def audit_entry(row: Values) -> Json:
    return {
        "at": _milliseconds(row["at"]),
        "action": row["action"],
        "syncId": row["sync_id"],
        "connectionId": row["connection_id"],
        "actor": row["actor"],
        "address": row["address"],
        "userAgent": row["user_agent"],
        "details": msgspec.Raw(row["details"].encode()),
    }


def record(row: Values) -> Json:
    """A landed record, its data as it was received."""
    return {
        "id": row["id"],
        "connectionId": row["connection_id"],
        "syncId": row["sync_id"],
        "updatedAt": _milliseconds(row["updated_at"]),
        "data": msgspec.Raw(row["data"].encode()),
    }


def _milliseconds(stamped: str) -> str:
    """A time of the store, which counts to the microsecond, as the wire has it."""
    return f"{stamped[:23]}Z"


def item(row: Values) -> Json:
    return {
        "dataset": row["dataset"],
        "recordId": row["record_id"],
        "name": row["name"],
        "outcome": row["outcome"],
        "error": row["error"],
        "at": _milliseconds(row["at"]),
    }


def recovery(found: Recovery) -> Json:
    """A claim, as of today."""
    claim = found.claim
    return {
        "id": found.id,
        "rule": claim.rule,
        "title": claim.title,
        "status": found.status,
        "units": claim.units,
        "amount": claim.amount,
        "currency": claim.currency,
        "opens": claim.opens,
        "closes": claim.closes,
        "confidence": claim.confidence,
        "valuation": claim.valuation,
        "details": claim.details,
        "connectionId": found.connection_id,
        "syncId": found.sync_id,
        "updatedAt": _milliseconds(found.updated_at),
    }


def total(row: Values) -> Json:
    """How much, of one currency and status; claims without an amount are counted apart."""
    hundredths = row["hundredths"]
    return {
        "currency": row["currency"],
        "status": row["status"],
        "claims": row["claims"],
        "unvalued": row["unvalued"],
        "amount": None if hundredths is None else f"{Decimal(hundredths) / 100:.2f}",
    }


def problem(error: ServiceError) -> Response:
    """RFC 9457. `detail` says what to do, `code` is for programs."""
    body: Json = {
        "type": f"urn:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _clipped(error.detail),
        "code": error.code,
        **error.more,
    }
    if error.errors:
        body["errors"] = [{k: _clipped(v) for k, v in each.items()} for each in error.errors]
    return Response(
        msgspec.json.encode(body),
        status_code=error.status,
        headers=dict(error.headers),
        media_type="application/problem+json",
    )


def _clipped(text: str) -> str:
    """What was sent is not sent back at any length."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"


# What comes in --------------------------------------------------------------------------------


class In(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A body: unknown fields and wrong types are refused."""


async def read_body(request: Request, shape: type[T], empty: T | None = None) -> T:
    """The body as a value. Raises InvalidJSON, Invalid or BodyTooLarge: nothing has changed."""
    raw = await _bytes(request)
    if not raw.strip() and empty is not None:
        return empty
    return _decoded(raw, shape)


async def read_or_null(request: Request, shape: type[T]) -> T | None:
    """Like read_body, where null means something."""
    raw = await _bytes(request)
    return None if raw.strip() == b"null" else _decoded(raw, shape)


def _decoded(raw: bytes, shape: type[T]) -> T:
    try:
        try:
            found = msgspec.json.decode(raw, type=shape)
        except msgspec.ValidationError as error:
            msgspec.json.decode(raw)  # it may be no JSON either, further on: that comes first
            raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJSON(f"The body is not valid JSON: {error}. Send one JSON object.") from error
    # Of a name given twice msgspec takes the last, others the first: what was meant?
    json.loads(raw, object_pairs_hook=_each_once, parse_int=str, parse_float=str)
    return found


def _each_once(pairs: Sequence[tuple[str, Any]]) -> Json:
    found: Json = {}
    for name, value in pairs:
        if name in found:
            raise Invalid.field(name, "Give it once.")
        found[name] = value
    return found


async def read_text(request: Request) -> str:
    """A body of text. Raises Invalid if it is not UTF-8."""
    try:
        return (await _bytes(request)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid.field("body", "Must be text in UTF-8.") from error


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= LARGEST_BODY:
                body += chunk
            elif size > MOST_DISCARDED:
                raise BodyTooLarge(headers={"Connection": "close"})
    except ClientDisconnect as error:  # nobody hears it, but the log need not show a trace
        raise InvalidJSON("The body broke off.") from error
    if size > LARGEST_BODY:
        raise BodyTooLarge
    return bytes(body)


def _invalid(text: str) -> Invalid:
    """msgspec's words, sorted into the field and what is wrong with it; but not the value, which
    may be a secret in the wrong place."""
    message, at, path = text.rpartition(" - at `")
    if not at:
        message, path = text, ""
    if message.startswith("Invalid enum value"):
        message = "Is none of the values that there are."
    field = path.removesuffix("`").removeprefix("$").removeprefix(".")
    if named := re.search(r"(?:unknown|required) field `(.+?)`", message):
        field = ".".join(part for part in (field, named[1]) if part)
    return Invalid.field(field or "body", message)


def query(request: Request, *allowed: str) -> Mapping[str, str]:
    """The query's parameters, each at most once. An unknown one is refused: a misspelt filter
    must not pass for none."""
    given = request.query_params
    for name in given:
        if name not in allowed:
            raise Invalid.field(name, f"Unknown parameter. There are: {', '.join(allowed)}.")
        if len(given.getlist(name)) > 1:
            raise Invalid.field(name, "Give it once.")
    return given


def whole_number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise Invalid.field(name, f"Must be a whole number from {low} to {high}.")
    return int(text)


def moment(given: Mapping[str, str], name: str) -> datetime | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(text), name)
    except ValueError as error:
        raise Invalid.field(name, "Must be a time like 2026-01-15T12:00:00Z.") from error


def in_utc(moment: datetime, name: str) -> datetime:
    """A time that a client gave. Raises Invalid for one that cannot be reckoned with."""
    if moment.tzinfo is None:
        raise Invalid.field(name, "Must have a time zone: 2026-01-15T12:00:00Z.")
    if not EARLIEST <= moment.year <= LATEST:
        raise Invalid.field(name, f"Must be in a year from {EARLIEST} to {LATEST}.")
    return moment.astimezone(UTC)


def cursor(of: str, *parts: str) -> str:
    """Where a list goes on, in a form that a client need not understand."""
    raw = msgspec.json.encode((of, *parts))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(given: Mapping[str, str], of: str, parts: int) -> Sequence[str] | None:
    text = given.get("cursor")
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=list[str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        found = []
    if len(found) != parts + 1 or found[0] != of or not all(found):
        raise Invalid.field(
            "cursor", "Not a cursor of this list. Use the last answer's nextCursor."
        )
    return found[1:]
