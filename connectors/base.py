"""What a connector is, its nouns, and the errors it may raise. Nothing here waits or connects."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NewType, Protocol

import anyio
import msgspec

Cursor = NewType("Cursor", str)
"""A connector's own bookmark inside a dataset. Nobody else reads it. An empty one, or one that the
connector cannot read, is where the dataset begins."""

Waiting = Callable[[datetime, str], Awaitable[None]]
"""Called before a pause of more than a second: until when (UTC), and why, in words for the user."""

ANNOUNCED = 1.0
"""Seconds: a pause longer than this is announced by `Waiting` before it begins."""


class Clock(Protocol):
    """The time, passed in, so that a test or a simulation can bring its own."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The clock on the wall."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


# What a connector asks a user for --------------------------------------------------------------

SECRET = msgspec.Meta(extra_json_schema={"writeOnly": True})
"""Marks a field of a connector's settings as a credential: encrypted at rest, never returned."""

SEPARATES_ACCOUNTS = msgspec.Meta(extra={"separates_accounts": True})
"""Marks a public field whose value is part of an account's identity: the same account id under
another value (an environment, say) is another account."""


def choices(titles: Mapping[str, str]) -> msgspec.Meta:
    """Lists the values of a field with their titles, for a form. It does not restrict the field."""
    options = [{"const": value, "title": title} for value, title in titles.items()]
    return msgspec.Meta(extra_json_schema={"oneOf": options})


class ConnectionSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a user gives to connect an account. A connector declares its own fields in a subclass.

    Fields are texts, numbers, booleans or lists of those. They are part of a flat JSON object, so
    the names in `service.connection_settings.RESERVED` are not available."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # never the credentials


class Dataset(msgspec.Struct, frozen=True):
    """One kind of record of a source.

    `reach` is how far back it is read by default (None: a snapshot of today, without a window);
    `lag` is how long before now its newest record can be asked for; `overlap` is how much of what a
    finished sync has read the next one reads again, for records that come late or still change.
    What a read of a `lasting` one did not bring need not be gone: it may have changed, and so lie
    in a later window. The pages of one that `tells_account` name the account (`Page.account`).
    """

    name: str
    label: str
    reach: timedelta | None = None
    lag: timedelta = timedelta(0)
    overlap: timedelta = timedelta(0)
    lasting: bool = False
    tells_account: bool = False
    #: The columns of its records in a table, in order.
    columns: Sequence[str] = ()


class Window(msgspec.Struct, frozen=True):
    """The span of time to read, computed once per sync: from `since` up to `until`, both UTC."""

    since: datetime
    until: datetime


class Connection(msgspec.Struct, frozen=True):
    """A user's authorised link to one account, as a connector sees it: credentials in the clear.

    `learned` is what the connector asked to keep about this connection (`Page.learned`).
    `account_id` is the account that the source named for these credentials; None until it did.
    """

    id: str
    connector: str
    #: A value of the connector's `settings` type, its secrets in the clear.
    settings: Any
    learned: Mapping[str, str] = {}
    account_id: str | None = None

    def __repr__(self) -> str:
        return f"Connection({self.id!r}, {self.connector!r})"  # never the credentials


class Account(msgspec.Struct, frozen=True):
    """Who a connection is connected as.

    `id` is the source's own id of the account, the same for every authorisation of it; None where
    the source does not tell it. A name is no id: two accounts may share it, and it may change.
    """

    name: str
    #: The settings to store instead of the given ones, with what the user left open filled in.
    settings: ConnectionSettings | None = None
    learned: Mapping[str, str] = {}
    id: str | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it came: `data` holds the bytes of its JSON; or `error`, why it is unreadable.

    `id` is unique in its dataset and the same whenever the record is read again. `version` is the
    source's own word for its last change, where it has one: a record of the same version is
    unchanged, whichever way it was read; without it, its bytes decide. `at` is the moment that
    decides into which window it falls; None for a record of a snapshot.

    A record that cannot be kept fails on its own, with the reason: an id that is empty, longer than
    1,000 characters or not valid text, data over 4 MiB or not valid JSON, a time outside the years
    1 to 9999 in UTC.
    """

    id: str
    data: bytes
    name: str = ""
    error: str | None = None
    version: str = ""
    at: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """What one call brought.

    `cursor` is where to read on, None after the last page. `total` counts the records of the whole
    dataset, if the source tells. `share` (0 to 1) is how much of the dataset lies behind this page,
    `seconds_left` how long the rest will take. `learned` is kept with the page and comes back in
    `Connection.learned`, after a restart too. `warning` is for the user; a sync shows the same text
    once. `account` is the id of the account that the records belong to, if they name it.
    """

    records: Sequence[Record]
    cursor: Cursor | None = None
    total: int | None = None
    share: float | None = None
    seconds_left: float | None = None
    learned: Mapping[str, str] = {}
    warning: str = ""
    account: str | None = None


class Way(msgspec.Struct, frozen=True):
    """How a dataset will be read, and how many seconds that will take (None: cannot be told)."""

    name: str
    seconds: float | None = None


Plan = Mapping[str, Way]
"""The chosen way of each dataset, by its name."""


class Money(msgspec.Struct, frozen=True):
    """An amount as a decimal number in text, and its ISO 4217 currency."""

    amount: str
    currency: str


class Claim(msgspec.Struct, frozen=True):
    """Money the other side owes the user, with what proves it.

    `id` is made of the rule and the natural key of the case, so that the same case found again is
    the same claim. `status` is waiting (until `opens`), claimable (until `closes`) or expired.
    `amount` is None where it cannot be told; `valuation` says how it was reckoned. `evidence` names
    the proving records: their ids by dataset.
    """

    id: str
    rule: str
    title: str
    status: str
    units: int
    amount: str | None
    currency: str | None
    opens: date
    closes: date
    confidence: str
    valuation: str
    evidence: Mapping[str, Sequence[str]]
    details: Mapping[str, str] = {}


class Findings(msgspec.Struct, frozen=True):
    """What a detection came to.

    `ran` are the rules that had all their inputs: what they do not find any more is no claim any
    more. `settled` are the ids of cases that were paid. `skipped` says of each other rule why.
    """

    claims: Sequence[Claim]
    ran: Sequence[str]
    settled: Sequence[str] = ()
    skipped: Mapping[str, str] = {}


class Records(Protocol):
    """What has been landed, read lazily and synchronously, for `Connector.detect`."""

    def read(self, dataset: str) -> Iterable[Record]: ...

    def complete(self, dataset: str) -> bool:
        """Whether all of a dataset was read: else nothing can be concluded from what is missing."""

    def cost(self, sku: str) -> Money | None:
        """What the user said that a unit costs."""


class ClaimRule(msgspec.Struct, frozen=True):
    """A rule by which a connector finds claims, as users see it."""

    #: Its stable code, which claims carry.
    code: str
    title: str
    #: One sentence on what it finds.
    sentence: str


class Connector(Protocol):
    """Reads one kind of source. To add a source, write one of these in a folder of its own.

    A connector that finds claims also has `rules: Sequence[ClaimRule]`."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str:
        """The name that users see."""

    @property
    def settings(self) -> type[ConnectionSettings]:
        """What it needs to connect an account."""

    @property
    def datasets(self) -> Sequence[Dataset]: ...

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """Who we are connected as; with the account's id, where the source tells it at little cost
        and `connection.account_id` is not known yet.

        Raises ConnectionLost if the credentials no longer work."""

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        """Which way to read each dataset, and how long it will take. No network."""

    def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Yield the pages of a dataset, from `cursor` on; `waiting` precedes a pause over 1 s."""

    def detect(self, records: Records, as_of: datetime) -> Findings:
        """Find claims in what was read. Pure: no network, no clock.

        Raises Undetectable where its inputs do not allow to say anything."""


class Granted(msgspec.Struct, frozen=True):
    """What a user or a consent grants: secret settings by their names in JSON, and the account's id
    if the source names it."""

    settings: Mapping[str, Any]
    account_id: str | None = None

    def __repr__(self) -> str:
        return "Granted()"  # never the credentials


class Consent(Protocol):
    """What a connector offers beside, if users can authorise it on a page of the source."""

    def authorize_url(self, settings: Mapping[str, Any], state: str, redirect_uri: str) -> str:
        """Where to send the user; `settings` are the public ones, by their names in JSON.

        Raises InvalidConnection or Misconfigured."""

    async def exchange(self, answer: Mapping[str, str], redirect_uri: str) -> Granted:
        """What is granted for what the source sent the user back with (a query's parameters).
        Raises ConnectionLost if that is not valid any more."""


Opener = Callable[[Mapping[str, str], Clock], AbstractAsyncContextManager[Connector]]
"""What a connector's package offers as `open_connector`. It is opened once a process."""


class ConnectorError(Exception):
    """What a connector may raise, sorted by what its caller can do.

    The text is for the user: what is wrong and what to do. Never credentials."""

    code = "connector_error"


class ConnectionLost(ConnectorError):
    """The credentials no longer work: pause until the user reconnects."""

    code = "connection_lost"


class InvalidConnection(ConnectorError):
    """What the user gave cannot be a connection. `fields` says what is wrong with which."""

    code = "invalid_connection"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = fields


class Retryable(ConnectorError):
    """The source is out of reach or overloaded for now: try again later."""

    code = "source_unavailable"


class SourceError(ConnectorError):
    """The source refuses, and will again: this dataset cannot be read."""

    code = "source_error"


class Unknowable(SourceError):
    """The source will not say what a dataset holds: it is unknown, which is not empty."""

    code = "source_unknown"


class Misconfigured(SourceError):
    """The application's own credentials or settings are refused: the operator must mend them."""

    code = "connector_misconfigured"


class RecordError(ConnectorError):
    """One record cannot be read. It costs that record, not its page."""

    code = "record_error"


class Undetectable(ConnectorError):
    """Claims cannot be computed from what was read."""

    code = "claims_unknown"
