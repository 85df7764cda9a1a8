"""Connections: connect, reconnect, schedule, list and forget accounts.

Credentials are encrypted here and are passed to their connector only."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet
from uuid_utils import uuid7

from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectionLost,
    ConnectionSettings,
    Granted,
    Retryable,
    Waiting,
    Window,
)
from service.connection_settings import Values
from service.credentials import decrypt, digest, encrypt
from service.errors import (
    AlreadyConnected,
    ConnectionBusy,
    ConnectionRefused,
    NotFound,
    OtherAccount,
    StartupError,
)
from service.intake import calls_of, fit_account, fit_settings, seconds_of
from service.schedules import ScheduleRequest, next_run
from service.source_calls import calling_source, refuse_to_wait
from service.sources import Sources
from service.store.audit import note
from service.store.connections import (
    UNDECRYPTABLE,
    ConnectionStore,
    Run,
    Schedule,
    StoredConnection,
)
from service.store.engine import Refused, Statement
from service.users import Actor, AuditEntry

CHECK_LIFETIME = timedelta(hours=1)
"""An account check that succeeded this recently is not repeated: sources count such calls too."""

MAX_AHEAD = timedelta(days=1)
"""After the clock was set back, a run up to this far ahead of its schedule is kept."""


class NewConnection(msgspec.Struct, frozen=True):
    """The account that a user wants to connect."""

    connector: str
    settings: ConnectionSettings

    def __repr__(self) -> str:
        return f"NewConnection({self.connector!r})"  # without the credentials


class Connections:
    """The only way to change a connection."""

    def __init__(
        self, store: ConnectionStore, sources: Sources, keys: MultiFernet, clock: Clock
    ) -> None:
        self._store = store
        self._sources = sources
        self._keys = keys
        self._clock = clock

    # Connecting -------------------------------------------------------------------------------

    async def connect(
        self, actor: Actor, new: NewConnection, account_id: str | None = None
    ) -> StoredConnection:
        """Check the account, then store the connection. `account_id` comes from a consent. Raises
        ConnectionRefused if the source refuses the account, AlreadyConnected if the user already
        has it."""
        candidate = Connection(f"conn_{uuid7().hex}", new.connector, new.settings)
        account = await self._account(candidate)
        settings = self._sources.settings(new.connector)
        public, secrets = settings.split(account.settings or new.settings)
        public = fit_settings(public)
        now = self._clock.now()
        connection = StoredConnection(
            id=candidate.id,
            user=actor.user,
            tenant=actor.tenant,
            connector=new.connector,
            settings=public,
            realm=settings.realm(public),
            name=account.name,
            credentials=encrypt(self._keys, secrets),
            created_at=now,
            checked_at=now,
            account_id=account.id or account_id,
            account_confirmed=account.id is not None,
            token_digest=digest(secrets),
            status_since=now,
            authorised_until=account.authorised_until,
        )
        entry = self._note(actor, connection, "connected")
        await self._identify(actor)
        try:
            await self._store.connect(connection, account.learned, entry)
        except Refused:
            raise await self._taken(connection) from None
        return connection

    async def reconnect(
        self, actor: Actor, connection_id: str, granted: Granted
    ) -> StoredConnection:
        """Check new credentials of the same account, then replace the old ones. Changes nothing if
        it raises OtherAccount or AlreadyConnected."""
        stored = await self.get(actor, connection_id)
        settings = self._sources.settings(stored.connector)
        try:
            joined = settings.join(stored.settings, granted.settings)
        except msgspec.ValidationError:  # its text may contain a credential
            raise ConnectionRefused("The credentials do not fit this connection.") from None
        account = await self._account(Connection(stored.id, stored.connector, joined))
        account_id = account.id or granted.account_id
        if account_id and stored.account_id and account_id != stored.account_id:
            raise OtherAccount
        _, secrets = settings.split(joined)
        now = self._clock.now()
        connection = msgspec.structs.replace(
            stored,
            credentials=encrypt(self._keys, secrets),
            name=account.name or stored.name,
            checked_at=now,
            lost=None,
            account_id=account_id or stored.account_id,
            account_confirmed=account.id is not None,
            token_digest=digest(secrets),
            status_since=now,
            authorised_until=account.authorised_until,
        )
        entry = self._note(actor, connection, "reconnected")
        try:
            if not await self._store.reconnect(connection, now, account.learned, entry):
                await self.get(actor, connection_id)  # forgotten meanwhile?
                raise OtherAccount
        except Refused:
            raise await self._taken(connection) from None
        return connection

    async def _identify(self, actor: Actor) -> None:
        """Add the digests that connections from before schema 0007 lack."""
        for connection in await self._store.of_user(actor.user):
            if connection.token_digest is None and connection.credentials is not None:
                with suppress(ConnectionLost, Refused):  # no key, or the same token twice
                    if identity := digest(self._secrets(connection)):
                        await self._store.identify(connection.id, identity)

    async def _taken(self, connection: StoredConnection) -> AlreadyConnected:
        """The error for an account that another connection of the user already has."""
        holder = await self._store.holder(connection)
        if holder is None:  # forgotten just now
            return AlreadyConnected("This account was connected until just now. Try again.")
        text = (
            f"This account is connected already, as {holder}. Use that connection. If its "
            f"credentials have changed, reconnect it: POST /api/connections/{holder}/reconnect."
        )
        return AlreadyConnected(text, more={"connectionId": holder})

    async def _account(self, candidate: Connection) -> Account:
        """The account that the source returns. Raises ConnectionRefused, Invalid or
        SourceUnavailable."""
        connector = self._sources.get(candidate.connector)
        with calling_source(self._sources.settings(candidate.connector)):
            return fit_account(await connector.check(candidate, refuse_to_wait))

    # Names ------------------------------------------------------------------------------------

    async def rename(self, actor: Actor, connection_id: str, name: str) -> StoredConnection:
        """Give a connection a name of the user's own, which a reconnect does not replace."""
        stored = await self.get(actor, connection_id)
        renamed = msgspec.structs.replace(stored, given_name=name)
        entry = self._note(actor, renamed, "renamed")
        if not await self._store.rename(connection_id, name, entry):
            raise NotFound
        return renamed

    # Schedules --------------------------------------------------------------------------------

    async def schedule(
        self, actor: Actor, connection_id: str, requested: ScheduleRequest | None
    ) -> StoredConnection:
        """Set the schedule; None removes it. Raises Invalid, which names the field."""
        stored = await self.get(actor, connection_id)
        schedule = requested.to_schedule(self._clock.now(), actor.plan) if requested else None
        action = "scheduled" if requested else "unscheduled"
        details = msgspec.to_builtins(requested) if requested else {}
        entry = self._note(actor, stored, action, details)
        if not await self._store.schedule(connection_id, schedule, entry):
            raise NotFound
        return msgspec.structs.replace(stored, schedule=schedule)

    async def due(self) -> Sequence[StoredConnection]:
        """The connections whose scheduled sync is due."""
        return await self._store.due(self._clock.now())

    def run_of(self, schedule: Schedule) -> Run | None:
        """The due run of a schedule, which replaces all missed ones, and the one after it; None if
        the schedule is disabled."""
        if schedule.next is None:
            return None
        return Run(schedule.next, next_run(schedule, self._clock.now()))

    async def skip_run(self, connection_id: str, run: Run) -> bool:
        """Replace a due run with the one after it. Returns False if another process was first."""
        return await self._store.postpone(connection_id, run)

    async def postpone_run(self, connection_id: str, run: Run, by: timedelta) -> bool:
        """Postpone a due run until `by` from now. Returns False if another process was first."""
        return await self._store.postpone(connection_id, Run(run.due, self._clock.now() + by))

    async def correct_future_runs(self) -> None:
        """Correct runs that are far in the future because the clock was set back. A run less than a
        day ahead of its schedule is kept: the run before it has already started."""
        after = ""
        while page := await self._store.scheduled(after):
            for connection in page:
                run = self.run_of(connection.schedule) if connection.schedule else None
                if run and run.due > run.next + MAX_AHEAD:
                    await self._store.postpone(connection.id, run)
            after = page[-1].id

    # Looking up and forgetting ----------------------------------------------------------------

    async def list(self, actor: Actor) -> Sequence[StoredConnection]:
        return await self._store.of_user(actor.user)

    async def list_with_forgotten(self, actor: Actor) -> Sequence[StoredConnection]:
        """List all connections, including forgotten ones, whose records may still be stored."""
        return await self._store.of_user(actor.user, forgotten=True)

    async def get(self, actor: Actor, connection_id: str) -> StoredConnection:
        """A connection of this user. Raises NotFound, also for another user's connection."""
        connection = await self._store.one(connection_id)
        if connection is None or connection.user != actor.user:
            raise NotFound(
                f"You have no connection {connection_id}. GET /api/connections lists them."
            )
        return connection

    async def find(self, connection_id: str) -> StoredConnection | None:
        return await self._store.one(connection_id)

    async def twins(self, connection_id: str) -> Sequence[str]:
        """The other connections of the same account, including forgotten ones."""
        return await self._store.twins(connection_id)

    async def forget(self, actor: Actor, connection_id: str, erase: bool) -> None:
        """Erase the credentials; with `erase`, also erase the data. Raises ConnectionBusy while a
        sync of the connection is live."""
        stored = await self.get(actor, connection_id)
        entry = self._note(actor, stored, "disconnected", {"data": "erased" if erase else "kept"})
        if not await self._store.forget(connection_id, self._clock.now(), erase, entry):
            raise ConnectionBusy

    # Using ------------------------------------------------------------------------------------

    async def open(self, connection_id: str) -> Connection:
        """The connection with decrypted credentials. Raises ConnectionLost if it was forgotten or
        its credentials or settings are no longer usable."""
        stored = await self._store.one(connection_id)
        if stored is None or stored.credentials is None:
            raise ConnectionLost("This account is no longer connected. Connect it again.")
        secrets = self._secrets(stored)
        try:
            settings = self._sources.settings(stored.connector).join(stored.settings, secrets)
        except msgspec.ValidationError:  # its text may contain a credential
            text = "The stored settings do not fit this version of the connector. Connect again."
            raise ConnectionLost(text) from None
        learned = await self._store.learned(connection_id)
        account_id = stored.account_id if stored.account_confirmed else None
        return Connection(stored.id, stored.connector, settings, learned, account_id)

    async def learned(self, connection_id: str) -> Mapping[str, str]:
        """The values that the connector asked to keep about the connection."""
        return await self._store.learned(connection_id)

    async def check(self, connection: Connection, waiting: Waiting) -> bool:
        """Check the account at the source, unless it was checked within the last hour. Returns
        False while it is unknown whether these credentials belong to the connected account.

        Raises OtherAccount or AlreadyConnected, as `confirm_account` does."""
        stored = await self._store.one(connection.id)
        now = self._clock.now()
        unconfirmed = stored is not None and stored.unconfirmed
        fresh = stored and stored.checked_at and abs(now - stored.checked_at) < CHECK_LIFETIME
        if fresh and not unconfirmed:
            return True
        connector = self._sources.get(connection.connector)
        account = fit_account(await connector.check(connection, waiting))
        if account.id and account.id != connection.account_id:
            await self.confirm_account(connection, account.id)
            unconfirmed = False
        until = account.authorised_until
        await self._store.checked(connection.id, now, None, account.learned, until)
        return not unconfirmed

    async def estimate(
        self, connection: StoredConnection, windows: Mapping[str, Window]
    ) -> tuple[float | None, int | None]:
        """The seconds and the calls that reading these windows takes, as the connector plans it;
        None for an unknown one. The source is not called."""
        connector = self._sources.get(connection.connector)
        try:
            opened = await self.open(connection.id)
        except ConnectionLost:
            return None, None
        plan = connector.plan(opened, windows)
        return seconds_of(plan), calls_of(plan)

    async def confirm_account(self, connection: Connection, account_id: str) -> None:
        """Store the account that the source returned for these credentials.

        Raises OtherAccount if it is not the connection's, AlreadyConnected if another connection
        of the user has it, Retryable if the connection has other credentials by now."""
        stored = await self._store.one(connection.id)
        if stored is None:
            raise ConnectionLost("This account is no longer connected. Connect it again.")
        _, secrets = self._sources.settings(connection.connector).split(connection.settings)
        named = msgspec.structs.replace(stored, account_id=account_id, token_digest=digest(secrets))
        try:
            if await self._store.confirm_account(named):
                return
        except Refused:
            raise await self._taken(named) from None
        if stored.account_id not in (None, account_id):
            raise OtherAccount
        raise Retryable("The account was reconnected meanwhile.")

    async def mark_lost(self, connection_id: str, why: str) -> None:
        """Record that the source refuses the credentials. No sync starts until a reconnect."""
        await self._store.checked(connection_id, self._clock.now(), why, {})

    # Credentials ------------------------------------------------------------------------------

    async def rotate_keys(self) -> int:
        """Encrypt all credentials with the newest key; returns how many. Raises StartupError,
        before anything is changed, if SECRETS_KEYS lacks a key that is in use."""
        stored = await self._store.all_credentials()
        try:
            rotated = [
                (id, old, encrypt(self._keys, decrypt(self._keys, old))) for id, old in stored
            ]
        except InvalidToken as error:
            raise StartupError(
                "Some credentials were encrypted with a key that SECRETS_KEYS does not contain. "
                "Give the new key first and all old ones after it."
            ) from error
        return sum([await self._store.rotate(id, old, new) for id, old, new in rotated])

    def _secrets(self, stored: StoredConnection) -> Values:
        try:
            return decrypt(self._keys, stored.credentials or "")
        except (InvalidToken, msgspec.DecodeError) as error:
            raise ConnectionLost(UNDECRYPTABLE) from error

    def _note(
        self,
        actor: Actor,
        connection: StoredConnection,
        action: str,
        details: Mapping[str, object] | None = None,
    ) -> Statement:
        about = {"connector": connection.connector, "name": connection.shown_name}
        return note(
            AuditEntry(
                at=self._clock.now(),
                action=action,
                user=actor.user,
                tenant=actor.tenant,
                actor=actor.sub,
                connection_id=connection.id,
                address=actor.address,
                user_agent=actor.user_agent,
                details={**about, **(details or {})},
            )
        )
