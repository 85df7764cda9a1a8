"""Receives notifications of sources. A short sync reads the records that they name.

A notification is stored before it is confirmed. Its record is read at once, or, while the user has
a live sync or a limit is reached, by a later round of the housekeeping."""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import cast

import msgspec
import structlog

from connectors.base import Clock, InvalidNotification, Notice, Notifying
from service.errors import Invalid, NotFound, ServiceError, Unsigned
from service.model import Options, Trigger
from service.sources import Sources
from service.starting import Starter, StartRequest
from service.store.connections import ConnectionStore
from service.store.notifications import NotificationStore
from service.users import Actor, sub_of

SCHEME = "sha256="
"""The start of a signature. The HMAC-SHA256 of the body follows, in hexadecimal digits."""
AT_ONCE = 50
"""Records that one sync reads, so that it does not keep its user's other syncs waiting for long."""

log = structlog.get_logger()


class Received(msgspec.Struct, frozen=True):
    """The outcome of a notification."""

    id: str
    #: `accepted`, `duplicate`, or `ignored`.
    outcome: str
    #: The reason why it is ignored; empty otherwise.
    why: str = ""


class Notifications:
    """Receives notifications, and starts the syncs that read the records they name."""

    def __init__(
        self,
        secret: str,
        store: NotificationStore,
        connections: ConnectionStore,
        starter: Starter,
        sources: Sources,
        clock: Clock,
    ) -> None:
        self._secret = secret.encode()
        self._store = store
        self._connections = connections
        self._starter = starter
        self._sources = sources
        self._clock = clock

    def check(self, connector: str, body: bytes, signature: str) -> None:
        """Raises NotFound if notifications of this connector are not received, or Unsigned."""
        if not self._secret:
            raise NotFound("Notifications are not received here. Set NOTIFICATIONS_SECRET.")
        if not self._sources.notifies(connector):
            raise NotFound(f"Connector {connector} has no notifications. Check the path.")
        expected = SCHEME + hmac.new(self._secret, body, sha256).hexdigest()
        # Bytes, since text that is not ASCII cannot be compared.
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise Unsigned

    async def receive(self, connector: str, body: bytes) -> Sequence[Received]:
        """Store notifications, and read the records that they name if possible now. Raises Invalid,
        and stores none, if one of them is not valid."""
        source = cast(Notifying, self._sources.get(connector))
        try:
            notices = source.notices(body)
        except InvalidNotification as error:
            raise Invalid.field("body", str(error)) from error
        received = [await self._receive(connector, source, notice) for notice in notices]
        if any(one.outcome == "accepted" for one in received):
            await self.start_waiting()
        return received

    async def _receive(self, connector: str, source: Notifying, notice: Notice) -> Received:
        if not notice.record:
            why = "" if source.heard(notice) else "No sync waits for it here."
            return Received(notice.id, "ignored" if why else "accepted", why)
        found = await self._store.connections_of(connector, notice.account_id)
        if not found:
            return Received(notice.id, "ignored", "The account is not connected here.")
        now, kept = self._clock.now(), False
        for connection_id in found:
            of = (notice.id, notice.dataset, notice.record)
            kept = await self._store.keep(connection_id, *of, now) or kept
        return Received(notice.id, "accepted" if kept else "duplicate")

    async def start_waiting(self) -> None:
        """Start a sync for each connection with records to read, unless its user has a live one."""
        for connection_id, dataset in await self._store.waiting():
            await self._start(connection_id, dataset)

    async def _start(self, connection_id: str, dataset: str) -> None:
        connection = await self._connections.one(connection_id)
        records = await self._store.records(connection_id, dataset, AT_ONCE)
        if connection is None or connection.refused or not records:
            return
        plan = connection.schedule.plan if connection.schedule else ""
        actor = Actor(sub_of(connection.user), connection.tenant, plan)
        options = Options(datasets=(dataset,), records=tuple(records))
        request = StartRequest(connection_id, options, trigger=Trigger.NOTIFICATION)
        try:
            await self._starter.start(actor, request)
        except ServiceError as error:  # a live sync, a limit: try again in the next round
            log.info("notified_sync_waits", connection_id=connection_id, code=error.code)
