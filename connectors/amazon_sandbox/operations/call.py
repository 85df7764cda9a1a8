"""One admitted call: all that an operation needs to answer it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from connectors.amazon_sandbox.answers import denied, invalid
from connectors.amazon_sandbox.faults import Weather
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.notices import Notices
from connectors.amazon_sandbox.operations.paging import Cursor, seal
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.reports.desk import Desk
from connectors.amazon_sandbox.roles import Role

Body = TypeVar("Body")


class Call(msgspec.Struct, frozen=True):
    """`now` is the moment of this call; `again` says that its page is to be handed out twice.

    `base` is the address of this sandbox; `desk`, `notices` and `give` are the only things that an
    operation may change. `life` is how long something lives here that lives that long with Amazon.
    """

    seller: Seller
    query: Query
    path: Mapping[str, str]
    now: float
    cursor: Cursor
    body: bytes
    base: str
    client_id: str
    desk: Desk
    notices: Notices
    weather: Weather
    life: Callable[[float], float]
    give: Callable[[], str]
    copies: int = 1
    again: bool = False

    def decode(self, kind: type[Body]) -> Body:
        """The body, if it is of that kind."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise invalid(f"The request body is invalid: {error}") from None

    def check(self, role: Role) -> None:
        """Refuse, if the application has not that role. Amazon does not say which it is."""
        if role in self.weather.faults.missing_roles:
            raise denied("")

    def token(self, position: int | None) -> str | None:
        """The token of the page that starts there; None if there is no such page."""
        here = self.cursor
        if self.again and not here.copy:
            return seal(msgspec.structs.replace(here, born=self.now, copy=1))
        if position is None:
            return None
        following = Cursor(
            here.reading, here.asked, self.now, position, here.page + 1, values=here.values
        )
        return seal(following)
