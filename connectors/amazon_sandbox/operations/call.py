"""An authenticated call: everything that an operation needs to respond."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from connectors.amazon_sandbox.faults import FaultInjector
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.notification_store import NotificationStore
from connectors.amazon_sandbox.operations.paging import Cursor, encode_token
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.reports.store import ReportStore
from connectors.amazon_sandbox.responses import denied, invalid
from connectors.amazon_sandbox.roles import Role

Body = TypeVar("Body")


class Call(msgspec.Struct, frozen=True):
    """An authenticated call. An operation changes only `reports`, `notification_store` and the
    restricted tokens."""

    seller: Seller
    query: Query
    path: Mapping[str, str]
    #: When the call was received, in seconds since 1970.
    now: float
    cursor: Cursor
    body: bytes
    #: The address of this sandbox.
    base_url: str
    client_id: str
    reports: ReportStore
    notification_store: NotificationStore
    fault_injector: FaultInjector
    #: Scales one of Amazon's lifetimes, in seconds, by the sandbox's speed.
    lifetime: Callable[[float], float]
    issue_restricted_token: Callable[[], str]
    #: How often the ledger repeats its rows of shipments.
    copies: int = 1
    #: Serve this page a second time, under another token.
    duplicate_page: bool = False
    #: Leave out this page of orders, as if its orders did not exist.
    hidden_page: bool = False

    def decode(self, kind: type[Body]) -> Body:
        """The body as that type. Raises a 400 if it does not match."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise invalid(f"The request body is invalid: {error}") from None

    def require_role(self, role: Role) -> None:
        """Raise a 403 if the application lacks the role. Amazon does not name the missing role."""
        if role in self.fault_injector.faults.missing_roles:
            raise denied("")

    def token(self, next_position: int | None) -> str | None:
        """The token of the page that starts at that position; None after the last page."""
        cursor = self.cursor
        if self.duplicate_page and not cursor.duplicate:
            return encode_token(msgspec.structs.replace(cursor, issued_at=self.now, duplicate=1))
        if next_position is None:
            return None
        next_cursor = Cursor(
            cursor.fingerprint,
            cursor.as_of,
            self.now,
            next_position,
            cursor.page + 1,
            parameters=cursor.parameters,
        )
        return encode_token(next_cursor)
