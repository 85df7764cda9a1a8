"""Connections: connect, reconnect, schedule, list and forget accounts.

Credentials are encrypted here and are passed to their connector only."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

import anyio
import msgspec
from cryptography.fernet import InvalidToken, MultiFernet
from uuid_utils import uuid7

from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectionLost,
    ConnectionSettings,
    ConnectorError,
    Granted,
    InvalidConnection,
    Misconfigured,
    Retryable,
    Waiting,
)
from service.connection_settings import SettingsType, Values
from service.credentials import decrypt, digest, encrypt
from service.errors import (
    AlreadyConnected,
    ConnectionBusy,
    ConnectionRefused,
    ConnectorMisconfigured,
    Invalid,
    NotFound,
    OtherAccount,
    SourceUnavailable,
    StartupError,
)
from service.intake import fit_account, fit_settings, fit_text, reason
from service.schedules import ScheduleRequest, next_run
from service.sources import Sources
from service.store.audit import note
from service.store.connections import UNDECRYPTABLE, ConnectionStore, StoredConnection
from service.store.engine import Refused, Statement
from service.users import Actor, AuditEntry

CHECK_LIFETIME = timedelta(hours=1)
"""An account check that succeeded this recently is not repeated: sources count such calls too."""

MAX_AHEAD = timedelta(days=1)
"""After the clock was set back, a run up to this far ahead of its schedule is kept."""
SOURCE_TIMEOUT = 50.0
"""Maximum seconds of a call to a source while a user waits, to connect or to consent."""


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
            return fit_account(await connector.check(candidate, _refuse_to_wait))

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

    async def take_run(self, due: StoredConnection, postponed: timedelta | None = None) -> bool:
        """Claim a due run, which replaces all missed ones. False if another process has claimed it.
        The next run follows the schedule, or is `postponed` from now."""
        if due.schedule is None:
            return False
        now = self._clock.now()
        later = due.schedule if postponed else next_run(due.schedule, now)
        when = now + postponed if postponed else later.next
        return await self._store.postpone(due.id, due.schedule.next, when)

    async def correct_future_runs(self) -> None:
        """Correct runs that are far in the future because the clock was set back. A run less than a
        day ahead of its schedule is kept: the run before it has already started."""
        now, after = self._clock.now(), ""
        while page := await self._store.scheduled(after):
            for connection in page:
                schedule = connection.schedule
                due = schedule and next_run(schedule, now).next
                if schedule and due and schedule.next > due + MAX_AHEAD:
                    await self._store.postpone(connection.id, schedule.next, due)
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
        """What its connector asked to keep about the connection."""
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
        await self._store.checked(connection.id, now, None, account.learned)
        return not unconfirmed

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
        about = {"connector": connection.connector, "name": connection.name}
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


@contextmanager
def calling_source(settings: SettingsType) -> Iterator[None]:
    """Limit the time of a call that a user waits for, and turn its errors into problems."""
    try:
        with anyio.fail_after(SOURCE_TIMEOUT):
            yield
    except (ConnectorError, TimeoutError) as error:
        raise _refusal(error, settings.secret) from error


async def _refuse_to_wait(until: datetime, why: str) -> None:
    raise Retryable(f"Busy: waiting for {why}. Try again after {until:%H:%M:%S} UTC.")


def _refusal(error: ConnectorError | TimeoutError, secret: Sequence[str]) -> Exception:
    """The problem for an error of the source. A refusal of the account names the secret fields."""
    match error:
        case TimeoutError():
            return SourceUnavailable(
                f"The source did not answer within {SOURCE_TIMEOUT:,.0f} s. Try again later.",
                headers={"Retry-After": "60"},
            )
        case InvalidConnection(fields=fields):
            return Invalid(
                reason(error),
                errors=[{"field": k, "message": fit_text(v)} for k, v in fields.items()],
            )
        case Retryable():
            return SourceUnavailable(reason(error), headers={"Retry-After": "60"})
        case Misconfigured():
            return ConnectorMisconfigured(reason(error))
        case _:
            errors = [{"field": name, "message": reason(error)} for name in secret]
            return ConnectionRefused(reason(error), errors=errors)
