"""One admitted call: all that an operation needs to answer it."""

from collections.abc import Mapping

import msgspec

from connectors.amazon.sandbox.generator.seller import Seller
from connectors.amazon.sandbox.operations.paging import Cursor, seal
from connectors.amazon.sandbox.operations.query import Query


class Call(msgspec.Struct, frozen=True):
    """`now` is the moment of this call; `again` says that its page is to be handed out twice."""

    seller: Seller
    query: Query
    path: Mapping[str, str]
    now: float
    cursor: Cursor
    again: bool = False

    def token(self, position: int | None) -> str | None:
        """The token of the page that starts there; None if there is no such page."""
        here = self.cursor
        if self.again and not here.copy:
            return seal(msgspec.structs.replace(here, born=self.now, copy=1))
        if position is None:
            return None
        return seal(Cursor(here.reading, here.asked, self.now, position, here.page + 1))
