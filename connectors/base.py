"""The interface of a connector, its data types and its errors. Nothing here does I/O."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NewType, Protocol, Self

import anyio
import msgspec

from connectors.claims import Dimensions, Findings, Money, RemovalArrival

Cursor = NewType("Cursor", str)
"""A connector's own bookmark inside a dataset; opaque to everybody else. An empty cursor, or one
that the connector cannot read, starts the dataset from the beginning."""

Waiting = Callable[[datetime, str], Awaitable[None]]
"""Called before a pause of more than a second with its end (UTC) and the reason, as text for the
user; as a QuotaReason if it is the quota of an operation."""

ANNOUNCED = 1.0
"""Seconds: a pause longer than this is announced by `Waiting` before it begins."""


class QuotaReason(str):
    """The reason of a pause for the quota of an operation of the source, by its name there."""

    operation: str

    def __new__(cls, text: str, operation: str) -> Self:
        reason = super().__new__(cls, text)
        reason.operation = operation
        return reason


class Clock(Protocol):
    """The current time and sleep, passed in so that tests and simulations can replace them."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The system's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


# Connection settings ---------------------------------------------------------------------------

SECRET = msgspec.Meta(extra_json_schema={"writeOnly": True})
"""Marks a field of a connector's settings as a credential: encrypted at rest, never returned."""

SEPARATES_ACCOUNTS = msgspec.Meta(extra={"separates_accounts": True})
"""Marks a public field whose value is part of an account's identity: the same account id under
another value (an environment, say) is another account."""


def choices(
    titles: Mapping[str, str], when: Mapping[str, Mapping[str, str]] | None = None
) -> msgspec.Meta:
    """Lists the values of a field with their titles, for a form. It does not restrict the field.
    `when` names, for a value, the values of other fields for which a form offers it."""
    options: list[dict[str, object]] = [
        {"const": value, "title": title, **({"x-when": when[value]} if when else {})}
        for value, title in titles.items()
    ]
    return msgspec.Meta(extra_json_schema={"oneOf": options})


class ConnectionSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The settings that a user enters to connect an account. A connector declares its own fields in
    a subclass.

    Fields are texts, numbers, booleans or lists of those. They are part of a flat JSON object, so
    the names in `service.connection_settings.RESERVED` are not available."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # never the credentials


class Column(msgspec.Struct, frozen=True):
    """A column of a dataset's records in a table."""

    #: Unique within its dataset; the column's header in a CSV file.
    name: str
    #: The column's header for people.
    label: str
    #: The path of the value in a record: names of fields, separated by dots.
    path: str
    kind: Literal["text", "number", "money", "date"] = "text"
    #: For money: the path of its ISO 4217 code; empty if the record has none.
    currency: str = ""


class Dataset(msgspec.Struct, frozen=True):
    """One kind of record of a source."""

    #: Unique within its connector.
    name: str
    #: The name shown to users.
    label: str
    #: How far back it is read by default; None for a snapshot of today, which has no window.
    reach: timedelta | None = None
    #: How long before now its newest record can be requested.
    lag: timedelta = timedelta(0)
    #: How much of the last window is read again, for records that arrive late or still change.
    overlap: timedelta = timedelta(0)
    #: A record that a read does not return may still exist: it may have moved to a later window.
    lasting: bool = False
    #: Whether its pages name the account (`Page.account`).
    names_account: bool = False
    #: The columns of its records in a table, in order.
    columns: Sequence[Column] = ()


class Window(msgspec.Struct, frozen=True):
    """The time span to read, fixed once per sync: from `since` to `until`, both UTC."""

    since: datetime
    until: datetime


class Connection(msgspec.Struct, frozen=True):
    """A user's authorised link to one account, with its credentials decrypted.

    `learned` holds the values that the connector keeps about this connection (`Page.learned`).
    `account_id` is the account that the source named for these credentials; None until then.
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
    """The account behind a connection.

    `id` is the source's own id of the account, the same for every authorisation of it; None where
    the source does not report it. The name does not identify an account: two accounts may share a
    name, and it may change.
    """

    name: str
    #: The settings to store instead of the given ones, with the fields filled that the user left
    #: open.
    settings: ConnectionSettings | None = None
    learned: Mapping[str, str] = {}
    id: str | None = None
    #: The end of the authorisation, UTC; None if the source does not report it.
    authorised_until: datetime | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as received.

    A record that cannot be stored fails without affecting others. The reasons: an id that is empty,
    longer than 1,000 characters or not valid text, data over 4 MiB or not valid JSON, a time
    outside the years 1 to 9999 in UTC.
    """

    #: Unique within its dataset, and the same at every read.
    id: str
    #: Its JSON, as received.
    data: bytes
    #: A name to show to the user.
    name: str = ""
    #: Why it cannot be read; None if it can.
    error: str | None = None
    #: The source's mark of its last change: the same version means unchanged, however the record
    #: was read. Empty where the source has none: then the bytes are compared.
    version: str = ""
    #: The time that decides in which window it belongs; None for a record of a snapshot.
    at: datetime | None = None
    #: When the service first stored it, and when it last stored a change of it; only of records
    #: that `Records` returns. None if unknown.
    first_seen: datetime | None = None
    changed: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """The result of one call."""

    records: Sequence[Record]
    #: The cursor from which to continue; None after the last page.
    cursor: Cursor | None = None
    #: Number of records in the whole dataset, if the source reports it.
    total: int | None = None
    #: How much of the dataset has been read after this page, from 0 to 1.
    share: float | None = None
    #: Estimated time for the rest.
    seconds_left: float | None = None
    #: Stored with the page and passed back in `Connection.learned`, also after a restart.
    learned: Mapping[str, str] = {}
    #: Shown to the user; a sync shows the same text once.
    warning: str = ""
    #: The source has shown that there are no records, but has not confirmed it yet: a full refresh
    #: deletes nothing.
    presumed_empty: bool = False
    #: The id of the account that the records belong to, if they name it.
    account: str | None = None
    #: Keys of gaps for which the source has no record; only of pages that fill gaps (`completing`).
    absent: Sequence[str] = ()


class Way(msgspec.Struct, frozen=True):
    """How a dataset will be read."""

    #: For logs and tests; users do not see it.
    name: str
    #: Estimated duration; None if it cannot be estimated.
    seconds: float | None = None
    #: Estimated number of calls; an unknown number of pages counts as one. None if it cannot be
    #: estimated.
    calls: int | None = None


Plan = Mapping[str, Way]
"""The way in which each dataset will be read, by the dataset's name."""


class Records(Protocol):
    """The stored records, read lazily and synchronously, for `Connector.detect`."""

    def read(self, dataset: str) -> Iterable[Record]: ...

    def complete(self, dataset: str) -> bool:
        """Whether the whole dataset was read; if not, a missing record proves nothing."""

    def cost(self, sku: str) -> Money | None:
        """The cost of a unit, as entered by the user."""

    def dimensions(self, sku: str) -> Dimensions | None:
        """The size and weight of a unit, as entered by the user."""

    def arrivals(self) -> Sequence[RemovalArrival]:
        """The arrivals of goods that the source sent back, as the user reports them, in a fixed
        order."""

    @property
    def learned(self) -> Mapping[str, str]:
        """The values that the connector keeps about the connection (`Page.learned`)."""


class Use(msgspec.Struct):
    """The use of an operation of the source by this process since it began."""

    calls: int = 0
    #: Calls that the source refused because of its quota.
    refused: int = 0
    #: Seconds for which calls waited for the quota.
    waited: float = 0.0


class Connector(Protocol):
    """Reads one kind of source. To add a source, implement this in a package of its own.

    A connector that finds claims also has `rules: Sequence[ClaimRule]`. One whose source sends
    goods back to the user also has `removals: Sequence[RemovalColumns]`. One whose source has
    quotas also has `uses: Mapping[str, Use]`, by the operations' names."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str:
        """The name that users see."""

    @property
    def settings(self) -> type[ConnectionSettings]:
        """The type of its connection settings."""

    @property
    def datasets(self) -> Sequence[Dataset]: ...

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """The account behind the connection; with its id, where the source reports it at little
        cost and `connection.account_id` is not set yet.

        Raises ConnectionLost if the credentials no longer work."""

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        """The plan: how each dataset will be read, and how long that takes. No network."""

    def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Yield the pages of a dataset from `cursor` on; `waiting` is called before a pause of
        more than a second."""

    def detect(self, records: Records, as_of: datetime) -> Findings:
        """Find claims in the stored records. Pure: no network, no clock.

        Raises Undetectable if the inputs allow no conclusion."""


class Granted(msgspec.Struct, frozen=True):
    """The secret settings that a user enters or a consent grants, by their names in JSON, and the
    account's id if the source names it."""

    settings: Mapping[str, Any]
    account_id: str | None = None

    def __repr__(self) -> str:
        return "Granted()"  # never the credentials


class Consent(Protocol):
    """Also implemented by a connector that users can authorise on a page of the source."""

    def authorize_url(self, settings: Mapping[str, Any], state: str, redirect_uri: str) -> str:
        """The address to send the user to; `settings` are the public ones, by their names in JSON.

        Raises InvalidConnection or Misconfigured."""

    async def exchange(self, answer: Mapping[str, str], redirect_uri: str) -> Granted:
        """Exchange the query parameters that the source sent the user back with for a grant.

        Raises ConnectionLost if they are no longer valid."""


class Notice(msgspec.Struct, frozen=True):
    """The content of a source's notification: a record has changed, or an item that a read waits
    for is available."""

    #: The source's id of the notification, the same if it is delivered again.
    id: str
    #: The account that it concerns.
    account_id: str
    #: The record that has changed, and its dataset.
    dataset: str = ""
    record: str = ""
    #: Without a record: the source's id of the item that is available.
    awaited: str = ""


class Notifying(Protocol):
    """Also implemented by a connector whose source sends notifications."""

    def notices(self, body: bytes) -> Sequence[Notice]:
        """The notices in a body. Raises InvalidNotification."""

    def heard(self, notice: Notice) -> bool:
        """Wake the reads of this process that wait for the item of a notice. Returns whether there
        were any."""

    def fetch(
        self,
        connection: Connection,
        dataset: Dataset,
        ids: Sequence[str],
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Read the records with these ids, from a cursor on. Ids that the source does not know are
        left out."""


Opener = Callable[[Mapping[str, str], Clock], AbstractAsyncContextManager[Connector]]
"""The type of `open_connector` in a connector's package, which is called once per process."""


class ConnectorError(Exception):
    """The base of a connector's errors; the subclasses differ in what the caller can do.

    The text is for the user: what is wrong and what to do. It never contains credentials."""

    code = "connector_error"


class ConnectionLost(ConnectorError):
    """The credentials no longer work: pause until the user reconnects."""

    code = "connection_lost"


class InvalidConnection(ConnectorError):
    """The user's input is not a valid connection. `fields` maps each wrong field, by its name in
    JSON, to the reason."""

    code = "invalid_connection"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = fields


class InvalidNotification(ConnectorError):
    """A notification that the connector does not understand."""

    code = "invalid_notification"


class Retryable(ConnectorError):
    """The source cannot be reached or is overloaded: try again later."""

    code = "source_unavailable"


class SourceError(ConnectorError):
    """The source refuses permanently: this dataset cannot be read."""

    code = "source_error"


class Unknowable(SourceError):
    """The source does not report what a dataset holds. Unknown does not mean empty."""

    code = "source_unknown"


class Misconfigured(SourceError):
    """The application's own credentials or settings are refused: the operator must fix them."""

    code = "connector_misconfigured"


class Undetectable(ConnectorError):
    """Claims cannot be computed from the stored records."""

    code = "claims_unknown"
