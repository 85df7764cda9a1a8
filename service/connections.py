"""Connect, reconnect, schedule, see, forget. Credentials are encrypted here and leave only towards
their connector."""

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import anyio
import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from uuid_utils import uuid7

from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectionLost,
    ConnectorError,
    Granted,
    InvalidConnection,
    Misconfigured,
    Retryable,
    Waiting,
)
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
from service.intake import fit_account, fit_text, reason
from service.schedules import ScheduleRequest, next_run
from service.sources import Sources
from service.store.audit import note
from service.store.connections import UNDECRYPTABLE, ConnectionStore, StoredConnection
from service.store.engine import Refused, Statement
from service.users import Actor, AuditEntry

CHECK_LASTS = timedelta(hours=1)
"""An account check that succeeded this recently is not repeated: sources count such calls too."""

BACK_AT_MOST = timedelta(days=1)
"""How long the clock may have been set back for a schedule to wait until it has caught up."""
ANSWERS_WITHIN = 50.0
"""Seconds that a source may take for whatever a user waits for: connecting, or consenting."""


class NewConnection(msgspec.Struct, frozen=True):
    """What a user gives to connect an account."""

    connector: str
    region: str
    marketplace_ids: tuple[str, ...]
    refresh_token: str
    environment: str

    def __repr__(self) -> str:
        return f"NewConnection({self.connector!r})"  # never the credentials


class ConsentRequest(msgspec.Struct, frozen=True):
    """What a user wants to connect by consenting on a page of the source."""

    connector: str
    region: str
    marketplace_ids: tuple[str, ...]
    environment: str
    skip_historical_sync: bool = False
    connection_id: str | None = None


class Connections:
    """The one door to every connection."""

    def __init__(
        self, store: ConnectionStore, sources: Sources, keys: MultiFernet, clock: Clock
    ) -> None:
        self._store = store
        self._sources = sources
        self._keys = keys
        self._clock = clock

    async def connect(
        self, actor: Actor, new: NewConnection, account_id: str | None = None
    ) -> StoredConnection:
        """Check the account, then keep it; `account_id` is what a consent told of it. Raises
        ConnectionRefused if the source refuses, AlreadyConnected if the user has this account."""
        candidate = Connection(
            id=f"conn_{uuid7().hex}",
            connector=new.connector,
            region=new.region,
            marketplace_ids=new.marketplace_ids,
            environment=new.environment,
            refresh_token=new.refresh_token,
        )
        account = await self._account(candidate)
        now = self._clock.now()
        connection = StoredConnection(
            id=candidate.id,
            user=actor.user,
            tenant=actor.tenant,
            connector=new.connector,
            region=new.region,
            marketplace_ids=account.marketplace_ids,
            environment=new.environment,
            name=account.name,
            credentials=self._encrypt(new.refresh_token),
            created_at=now,
            checked_at=now,
            account_id=account.id or account_id,
            account_confirmed=account.id is not None,
            token_digest=_digest(new.refresh_token),
        )
        noted = self._note(actor, connection, "connected")
        await self._identify(actor)
        try:
            await self._store.connect(connection, account.learned, noted)
        except Refused:
            raise await self._taken(connection) from None
        return connection

    async def reconnect(self, actor: Actor, connection_id: str, given: Granted) -> StoredConnection:
        """New credentials for the same account, checked before they replace the old ones. Raises
        OtherAccount or AlreadyConnected, and then nothing has changed."""
        kept = await self.get(actor, connection_id)
        account = await self._account(_opened(kept, given.refresh_token, {}))
        told = account.id or given.account_id
        if told and kept.account_id and told != kept.account_id:
            raise OtherAccount
        now = self._clock.now()
        connection = msgspec.structs.replace(
            kept,
            credentials=self._encrypt(given.refresh_token),
            name=account.name or kept.name,
            checked_at=now,
            lost=None,
            account_id=told or kept.account_id,
            account_confirmed=account.id is not None,
            token_digest=_digest(given.refresh_token),
        )
        noted = self._note(actor, connection, "reconnected")
        try:
            if not await self._store.reconnect(connection, now, account.learned, noted):
                await self.get(actor, connection_id)  # forgotten meanwhile?
                raise OtherAccount
        except Refused:
            raise await self._taken(connection) from None
        return connection

    async def _identify(self, actor: Actor) -> None:
        """Give the connections of an earlier release the digests of their tokens."""
        for each in await self._store.of_user(actor.user):
            if each.token_digest is None and each.credentials is not None:
                with suppress(ConnectionLost, Refused):  # no key, or the same token twice
                    digest = _digest(self._decrypt(each.credentials))
                    await self._store.identify(each.id, digest)

    async def _taken(self, connection: StoredConnection) -> AlreadyConnected:
        """Another connection of the user has the same account."""
        holder = await self._store.holder(connection)
        if holder is None:  # forgotten just now
            return AlreadyConnected("This account was connected until just now. Try again.")
        text = (
            f"This account is connected already, as {holder}. Use that connection. If its "
            f"credentials have changed, reconnect it: POST /api/connections/{holder}/reconnect."
        )
        return AlreadyConnected(text, more={"connectionId": holder})

    async def _account(self, candidate: Connection) -> Account:
        """Who we would be connected as. Raises ConnectionRefused, Invalid or SourceUnavailable."""
        connector = self._sources.get(candidate.connector)
        try:
            with anyio.fail_after(ANSWERS_WITHIN):
                return fit_account(await connector.check(candidate, _impatient))
        except (ConnectorError, TimeoutError) as error:
            raise _refusal(error) from error

    async def schedule(
        self, actor: Actor, connection_id: str, wanted: ScheduleRequest | None
    ) -> StoredConnection:
        """From now on syncs start by themselves, or no longer. Raises Invalid naming the field."""
        kept = await self.get(actor, connection_id)
        schedule = wanted.to_schedule(self._clock.now(), actor.plan) if wanted else None
        action = "scheduled" if wanted else "unscheduled"
        details = {"cron": wanted.cron, "timezone": wanted.timezone} if wanted else {}
        noted = self._note(actor, kept, action, details)
        if not await self._store.schedule(connection_id, schedule, noted):
            raise NotFound
        return msgspec.structs.replace(kept, schedule=schedule)

    async def due(self) -> Sequence[StoredConnection]:
        """Those of which a scheduled sync should have begun by now."""
        return await self._store.due(self._clock.now())

    async def claim(self, due: StoredConnection, postponed: timedelta | None = None) -> bool:
        """Take a due run, however many were missed; False if another process has taken it. The next
        comes when the schedule says, or after the time by which it is postponed."""
        if due.schedule is None:
            return False
        now = self._clock.now()
        later = due.schedule if postponed else next_run(due.schedule, now)
        when = now + postponed if postponed else later.next
        return await self._store.postpone(due.id, due.schedule.next, when)

    async def pull_back(self) -> None:
        """Schedules that a clock set back has left far ahead: they run at their next time by the
        clock as it is now. One less than a day ahead is left alone: its run of that time was made.
        """
        now, after = self._clock.now(), ""
        while found := await self._store.scheduled(after):
            for kept in found:
                due = kept.schedule and next_run(kept.schedule, now).next
                if due and kept.schedule and kept.schedule.next > due + BACK_AT_MOST:
                    await self._store.postpone(kept.id, kept.schedule.next, due)
            after = found[-1].id

    async def authorize(self, actor: Actor, asked: "ConsentRequest", redirect_uri: str) -> str:
        """The page of the source where the user consents; it sends him back with our state."""
        consent = self._sources.consent(asked.connector)
        if asked.connection_id:
            await self.get(actor, asked.connection_id)
        state = secrets.token_urlsafe(32)
        try:
            url = consent.authorize_url(asked.region, state, redirect_uri)
        except ConnectorError as error:
            raise _refusal(error) from error
        body = msgspec.json.encode((asked, redirect_uri)).decode()
        await self._store.begin_consent(state, actor.user, self._clock.now(), body)
        return url

    async def consented(
        self, actor: Actor, connector: str, answer: Mapping[str, str]
    ) -> StoredConnection:
        """The user came back with our state and the source's answer: exchanged, checked and kept.

        Raises Invalid for a state that is not this user's, was used before, or is too old."""
        body = await self._store.end_consent(answer["state"], actor.user, self._clock.now())
        if body is None:
            raise Invalid.field(
                "state",
                "This consent was not begun by you, was used before, or took too long. "
                "Begin again.",
            )
        asked, redirect_uri = msgspec.json.decode(body, type=tuple[ConsentRequest, str])
        if asked.connector != connector:
            raise Invalid.field("state", "This consent was begun for another connector.")
        try:
            with anyio.fail_after(ANSWERS_WITHIN):
                granted = await self._sources.consent(connector).exchange(answer, redirect_uri)
        except (ConnectorError, TimeoutError) as error:
            raise _refusal(error) from error
        if asked.connection_id:
            return await self.reconnect(actor, asked.connection_id, granted)
        new = NewConnection(
            connector,
            asked.region,
            tuple(asked.marketplace_ids),
            granted.refresh_token,
            asked.environment,
        )
        return await self.connect(actor, new, granted.account_id)

    async def list(self, actor: Actor) -> Sequence[StoredConnection]:
        return await self._store.of_user(actor.user)

    async def ever(self, actor: Actor) -> Sequence[StoredConnection]:
        """Also those that were forgotten: what they have landed may still be there."""
        return await self._store.of_user(actor.user, forgotten=True)

    async def get(self, actor: Actor, connection_id: str) -> StoredConnection:
        """Raises NotFound, also for somebody else's."""
        connection = await self._store.one(connection_id)
        if connection is None or connection.user != actor.user:
            raise NotFound(
                f"You have no connection {connection_id}. GET /api/connections lists them."
            )
        return connection

    async def find(self, connection_id: str) -> StoredConnection | None:
        return await self._store.one(connection_id)

    async def forget(self, actor: Actor, connection_id: str, erase: bool) -> None:
        """Erase the credentials; `erase` also what was landed. Refused while a sync is live."""
        kept = await self.get(actor, connection_id)
        noted = self._note(actor, kept, "disconnected", {"data": "erased" if erase else "kept"})
        if not await self._store.forget(connection_id, self._clock.now(), erase, noted):
            raise ConnectionBusy

    async def open(self, connection_id: str) -> Connection:
        """As its connector needs it. Raises ConnectionLost if it was forgotten meanwhile."""
        kept = await self._store.one(connection_id)
        if kept is None or kept.credentials is None:
            raise ConnectionLost("This account is no longer connected. Connect it again.")
        learned = await self._store.learned(connection_id)
        known = kept.account_id if kept.account_confirmed else None
        return _opened(kept, self._decrypt(kept.credentials), learned, known)

    async def check(self, connection: Connection, waiting: Waiting) -> bool:
        """Ask the source who we are, unless it told us within the last hour. False while it is not
        known whether these credentials are of the account that was connected.

        Raises OtherAccount or AlreadyConnected, as `told` does."""
        kept = await self._store.one(connection.id)
        now = self._clock.now()
        doubted = kept is not None and kept.doubted
        fresh = kept and kept.checked_at and abs(now - kept.checked_at) < CHECK_LASTS
        if fresh and not doubted:
            return True
        connector = self._sources.get(connection.connector)
        account = fit_account(await connector.check(connection, waiting))
        if account.id and account.id != connection.account_id:
            await self.told(connection, account.id)
            doubted = False
        await self._store.checked(connection.id, now, None, account.learned)
        return not doubted

    async def told(self, connection: Connection, account_id: str) -> None:
        """The source named the account of these credentials: from now on it is known.

        Raises OtherAccount if it is not the connection's, AlreadyConnected if another connection
        of the user has it, Retryable if the connection has other credentials by now."""
        kept = await self._store.one(connection.id)
        if kept is None:
            raise ConnectionLost("This account is no longer connected. Connect it again.")
        named = msgspec.structs.replace(
            kept, account_id=account_id, token_digest=_digest(connection.refresh_token)
        )
        try:
            if await self._store.told(named):
                return
        except Refused:
            raise await self._taken(named) from None
        if kept.account_id not in (None, account_id):
            raise OtherAccount
        raise Retryable("The account was reconnected meanwhile.")

    async def twins(self, connection_id: str) -> Sequence[str]:
        """The other connections of the same account, also those that were forgotten."""
        return await self._store.twins(connection_id)

    async def lost(self, connection_id: str, why: str) -> None:
        """The credentials are no longer valid: no sync starts until they are replaced."""
        await self._store.checked(connection_id, self._clock.now(), why, {})

    async def rotate_keys(self) -> int:
        """Encrypt all credentials with the newest key; how many. Raises StartupError, before
        anything is changed, if some were encrypted with a key that is not there any more."""
        everything = await self._store.all_credentials()
        try:
            turned = [(id, old, self._keys.rotate(old.encode()).decode()) for id, old in everything]
        except InvalidToken as error:
            raise StartupError(
                "Some credentials were encrypted with a key that SECRETS_KEYS does not hold. Give "
                "the new key first and all old ones after it."
            ) from error
        return sum([await self._store.rotate(id, old, new) for id, old, new in turned])

    def _note(
        self,
        actor: Actor,
        connection: StoredConnection,
        action: str,
        details: Mapping[str, object] | None = None,
    ) -> Statement:
        told = {"connector": connection.connector, "name": connection.name}
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
                details={**told, **(details or {})},
            )
        )

    def _encrypt(self, refresh_token: str) -> str:
        return self._keys.encrypt(refresh_token.encode()).decode()

    def _decrypt(self, credentials: str) -> str:
        try:
            return self._keys.decrypt(credentials.encode()).decode()
        except InvalidToken as error:
            raise ConnectionLost(UNDECRYPTABLE) from error


def read_keys(text: str) -> MultiFernet:
    """Fernet keys separated by commas, newest first. Raises StartupError for a malformed one.

    None at all is for demo mode only (see settings): then a key that lives as long as the process,
    so that what it kept must be connected again."""
    if not text:
        return MultiFernet([Fernet(Fernet.generate_key())])
    try:
        return MultiFernet([_key(key.strip()) for key in text.split(",") if key.strip()])
    except ValueError as error:
        raise StartupError(
            "SECRETS_KEYS holds a malformed key: each is 32 bytes in URL-safe base64. Make one "
            "with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'."
        ) from error


def _key(text: str) -> Fernet:
    # Python's base64 stops at the first `=`: of two keys with a blank between, one would be lost.
    if not re.fullmatch("[A-Za-z0-9_-]{43}=", text):
        raise ValueError("malformed")
    return Fernet(text)


def _opened(
    kept: StoredConnection,
    refresh_token: str,
    learned: Mapping[str, str],
    account_id: str | None = None,
) -> Connection:
    return Connection(
        id=kept.id,
        connector=kept.connector,
        region=kept.region,
        marketplace_ids=kept.marketplace_ids,
        environment=kept.environment,
        refresh_token=refresh_token,
        learned=learned,
        account_id=account_id,
    )


def _digest(refresh_token: str) -> str:
    """Identifies a token, which cannot be found from it."""
    return hashlib.blake2b(refresh_token.encode(), digest_size=16).hexdigest()


async def _impatient(until: datetime, why: str) -> None:
    raise Retryable(f"Busy: waiting for {why}. Try again after {until:%H:%M:%S} UTC.")


def _refusal(error: ConnectorError | TimeoutError) -> Exception:
    match error:
        case TimeoutError():
            return SourceUnavailable(
                f"The source did not answer within {ANSWERS_WITHIN:,.0f} s. Try again later.",
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
            return ConnectionRefused(reason(error), errors=_about("refreshToken", reason(error)))


def _about(field: str, message: str) -> Sequence[Mapping[str, str]]:
    return ({"field": field, "message": message},)
