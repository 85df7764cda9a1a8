"""The audit log: who did what. An entry is an optional part of the write that it describes."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.model import Status, Sync, Trigger
from service.store.engine import Engine, Statement, Values, stamp
from service.store.ids import Ids
from service.users import Actor, AuditEntry

_NOTE = """
INSERT INTO audit_logs (id, at, action, user_id, tenant_id, actor, sync_id, connection_id, address,
                        user_agent, details)
VALUES (:id, :at, :action, :user_id, :tenant_id, :actor, :sync_id, :connection_id, :address,
        :user_agent, :details)
"""
_UNREDACTED = """
SELECT id, details FROM audit_logs WHERE user_id = :user AND connection_id = :connection_id
   AND (details LIKE '%"message":%' OR details LIKE '%"name":%')
 LIMIT :limit
"""
_REDACT = "UPDATE audit_logs SET details = :details WHERE id = :id RETURNING id"
SERVICE = "service"
"""The actor of changes that no user requested."""
ACTIONS: Mapping[Status, str] = {
    Status.PENDING: "resumed",
    Status.PAUSED: "paused",
    Status.COMPLETE: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
_ids = Ids()
"""Ids of this process. They grow, so the log is in the order of events."""
_FILTERS = {
    "action": "action = :action",
    "sync_id": "sync_id = :sync_id",
    "since": "at >= :since",
    "until": "at < :until",
}


def started(sync: Sync, actor: Actor) -> Statement:
    """The entry of a sync that the user started, or a schedule on their behalf."""
    by = sync.trigger.value if sync.trigger is Trigger.SCHEDULE else ""
    return note(_entry(sync, "started", actor, by))


def moved(sync: Sync, actor: Actor | None) -> Statement:
    """The entry of a sync that `actor` moved to its current status, or the service if None."""
    return note(_entry(sync, ACTIONS[sync.status], actor))


def note(entry: AuditEntry) -> Statement:
    """The statement that adds an entry."""
    row = {
        "id": _ids.next(entry.at),
        "at": stamp(entry.at),
        "action": entry.action,
        "user_id": entry.user,
        "tenant_id": entry.tenant,
        "actor": entry.actor,
        "sync_id": entry.sync_id or None,
        "connection_id": entry.connection_id or None,
        "address": entry.address or None,
        "user_agent": entry.user_agent or None,
        "details": msgspec.json.encode(entry.details).decode(),
    }
    return Statement(_NOTE, [row], optional=True)


class AuditStore:
    """The audit log of each user's syncs and connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def continue_ids(self) -> None:
        """Make the ids of this process follow the stored ones. Call this before the first entry."""
        sql = "SELECT COALESCE(MAX(id), '') AS id FROM audit_logs"
        _ids.above((await self._engine.read(sql, {}))[0]["id"])

    async def page(
        self, user: str, filters: Mapping[str, Any], limit: int, before: str | None = None
    ) -> Sequence[Values]:
        """A page of entries, newest first. `before` is the last id of the page before."""
        clauses = ["user_id = :user", *(_FILTERS[name] for name in filters)]
        clauses += ["id < :before"] if before else []
        sql = f"""SELECT * FROM audit_logs WHERE {" AND ".join(clauses)}
                  ORDER BY id DESC LIMIT :limit"""
        values = {"user": user, "limit": limit, **filters}
        return await self._engine.read(sql, values | ({"before": before} if before else {}))

    async def redact(self, user: str, connection_id: str, limit: int) -> bool:
        """Remove the account's name and the source's messages from some entries. Returns False if
        no entry is left."""
        values = {"user": user, "connection_id": connection_id, "limit": limit}
        rows = await self._engine.read(_UNREDACTED, values)
        changed = [{"id": row["id"], "details": _redacted(row["details"])} for row in rows]
        if not changed:
            return False
        first, rest = Statement(_REDACT, changed[:1]), Statement(_REDACT, changed[1:])
        return await self._engine.write(first, [rest] if rest.rows else [])


def _redacted(details: str) -> str:
    fields = msgspec.json.decode(details, type=dict[str, Any])
    kept = {name: value for name, value in fields.items() if name not in ("message", "name")}
    return msgspec.json.encode(kept).decode()


def _entry(sync: Sync, action: str, actor: Actor | None, by: str = "") -> AuditEntry:
    return AuditEntry(
        at=sync.updated_at,
        action=action,
        user=sync.user,
        tenant=sync.tenant,
        actor=by or (actor.sub if actor else SERVICE),
        sync_id=sync.id,
        connection_id=sync.connection_id,
        address=actor.address if actor else "",
        user_agent=actor.user_agent if actor else "",
        details=_details(sync),
    )


def _details(sync: Sync) -> Mapping[str, object]:
    details: dict[str, object] = {"attempt": sync.attempt}
    if sync.error:
        details |= {"code": sync.error.code, "message": sync.error.message}
    if sync.status is Status.COMPLETE:
        count = sum(dataset.processed for dataset in sync.read_datasets)
        details |= {"records": count, "claims": sync.known_claims}
    if options := msgspec.to_builtins(sync.options):
        details["options"] = options
    return details
