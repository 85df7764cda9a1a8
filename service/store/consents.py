"""Consents that users have begun on a page of a source."""

from datetime import datetime, timedelta

from service.store.engine import Engine, Statement, stamp

CONSENT_LIFETIME = timedelta(minutes=15)

_BEGIN = """
INSERT INTO consents (state, user_id, begun_at, body) VALUES (:state, :user_id, :at, :body)
RETURNING state
"""
_FIND = """
SELECT body FROM consents WHERE state = :state AND user_id = :user AND begun_at >= :since
"""
_END = """
DELETE FROM consents WHERE state = :state AND user_id = :user AND begun_at >= :since
RETURNING state
"""
_EXPIRE = "DELETE FROM consents WHERE begun_at < :before"


class ConsentStore:
    """The consents. Only `service.consents` writes here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def begin(self, state: str, user: str, at: datetime, body: str) -> None:
        """Store a consent, and delete those that have expired."""
        row = {"state": state, "user_id": user, "at": stamp(at), "body": body}
        old = [{"before": stamp(at - CONSENT_LIFETIME)}]
        await self._engine.write(Statement(_BEGIN, [row]), [Statement(_EXPIRE, old)])

    async def end(self, state: str, user: str, at: datetime) -> str | None:
        """Remove the consent of this state and return its body. Returns None if it has expired, was
        used before, or belongs to another user."""
        values = {"state": state, "user": user, "since": stamp(at - CONSENT_LIFETIME)}
        rows = await self._engine.read(_FIND, values)
        ours = await self._engine.write(Statement(_END, [values]), [])
        return str(rows[0]["body"]) if rows and ours else None
