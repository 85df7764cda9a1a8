"""Pages of lists. A cursor is the key of the last row of a page; the next page begins after it."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from service.errors import Invalid
from service.wire.reading import Query

T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """The part of a list that a request selects."""

    #: The name of the list. Other lists refuse its cursors.
    list_name: str
    #: The maximum number of rows of the page.
    limit: int
    #: The key of the last row of the page before; empty for the first page.
    after: tuple[str, ...]

    @property
    def read_limit(self) -> int:
        """The number of rows to read: one more than the page, to detect a next page."""
        return self.limit + 1

    def cut(
        self, rows: Sequence[T], key: Callable[[T], tuple[str, ...]]
    ) -> tuple[Sequence[T], str | None]:
        """The rows of the page, and the cursor of the next page if one exists."""
        if len(rows) <= self.limit:
            return rows, None
        shown = rows[: self.limit]
        return shown, self.cursor(key(shown[-1]))

    def cursor(self, key: tuple[str, ...]) -> str:
        return cursor(self.list_name, *key)


class Paged(Query, frozen=True):
    """The query of a list. `cursor` is the `nextCursor` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None

    def page(self, list_name: str, key_length: int = 1) -> Page:
        """The page to read. Raises Invalid if the cursor does not belong to this list."""
        return Page(list_name, self.limit, _read_cursor(self.cursor, list_name, key_length))


def cursor(list_name: str, *key: str) -> str:
    """A key as opaque text."""
    raw = msgspec.json.encode((list_name, *key))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read_cursor(text: str | None, list_name: str, key_length: int) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        name, *key = msgspec.json.decode(raw, type=list[str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        name, key = "", []
    if name != list_name or len(key) != key_length or not all(key):
        raise Invalid.field(
            "cursor", "Not a cursor of this list. Use the nextCursor of the last response."
        )
    return tuple(key)
