"""Connecting by consent: the user authorises the service on a page of the source."""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.base import Clock, Granted
from service.connections import Connections, NewConnection
from service.errors import ConnectionRefused, Invalid
from service.source_calls import calling_source
from service.sources import Sources
from service.store.connections import StoredConnection
from service.store.consents import ConsentStore
from service.users import Actor


class ConsentRequest(msgspec.Struct, frozen=True):
    """The connection that a user wants to authorise on a page of the source."""

    connector: str
    #: The public settings, by their names in JSON.
    settings: dict[str, Any]
    skip_historical_sync: bool = False
    #: The connection to reconnect; None for a new one.
    connection_id: str | None = None


class Consented(msgspec.Struct, frozen=True):
    """A connection that a consent has connected or reconnected."""

    connection: StoredConnection
    skip_historical_sync: bool


class Consents:
    """Starts and completes consents. Each is valid once, for its user, for 15 minutes."""

    def __init__(
        self, store: ConsentStore, connections: Connections, sources: Sources, clock: Clock
    ) -> None:
        self._store = store
        self._connections = connections
        self._sources = sources
        self._clock = clock

    async def authorize(self, actor: Actor, request: ConsentRequest, redirect_uri: str) -> str:
        """The address of the source's consent page. The redirect back contains our state."""
        consent = self._sources.consent(request.connector)
        settings = request.settings
        if request.connection_id:
            stored = await self._connections.get(actor, request.connection_id)
            if stored.connector != request.connector:
                raise Invalid.field("connectionId", f"Not a connection of {request.connector}.")
            settings = {**settings, **stored.settings}  # like the region of the account
        state = secrets.token_urlsafe(32)
        with calling_source(self._sources.settings(request.connector)):
            url = consent.authorize_url(settings, state, redirect_uri)
        body = msgspec.json.encode((request, redirect_uri)).decode()
        await self._store.begin(state, actor.user, self._clock.now(), body)
        return url

    async def complete(self, actor: Actor, connector: str, answer: Mapping[str, str]) -> Consented:
        """Exchange the parameters of the redirect for credentials; check and store the account.

        Raises Invalid for a state that belongs to another user, was used before or is too old."""
        request, redirect_uri = await self._take_request(actor, answer["state"])
        if request.connector != connector:
            raise Invalid.field("state", "This consent was started for another connector.")
        with calling_source(self._sources.settings(connector)):
            granted = await self._sources.consent(connector).exchange(answer, redirect_uri)
        connection = await self._connect(actor, request, granted)
        return Consented(connection, request.skip_historical_sync)

    async def _connect(
        self, actor: Actor, request: ConsentRequest, granted: Granted
    ) -> StoredConnection:
        if request.connection_id:
            return await self._connections.reconnect(actor, request.connection_id, granted)
        types = self._sources.settings(request.connector)
        try:
            settings = types.join(request.settings, granted.settings)
        except msgspec.ValidationError:  # its text may contain a credential
            raise ConnectionRefused("The source granted credentials in an unknown form.") from None
        new = NewConnection(request.connector, settings)
        return await self._connections.connect(actor, new, granted.account_id)

    async def _take_request(self, actor: Actor, state: str) -> tuple[ConsentRequest, str]:
        body = await self._store.end(state, actor.user, self._clock.now())
        if body is None:
            raise Invalid.field(
                "state",
                "This consent was started by another user, was used before, or took too long. "
                "Start again.",
            )
        return msgspec.json.decode(body, type=tuple[ConsentRequest, str])
