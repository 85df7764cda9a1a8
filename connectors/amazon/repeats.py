"""Whether pages still bring something new: a source may name next pages without end."""

from collections import OrderedDict
from collections.abc import Iterable

from connectors.base import Unknowable

MOST_STALE = 2
"""Pages in a row without a new record, after which nothing new is expected."""
MOST_PAGES = 100_000
"""Pages of one part. At the quotas of Amazon they take half a day."""
REMEMBERED = 10_000
"""Records whose ids are compared with those of later pages. Of older ones only whole pages are."""


class Endless(Unknowable):
    """A part was ended, although the source named further pages: what they hold is unknown."""


class Repeats:
    """Of one part, from its first page on. Keeps hashes only: at most REMEMBERED and MOST_PAGES.

    `most_empty` is how many pages in a row may be empty, of an operation that answers so before it
    goes on."""

    def __init__(self, most_empty: int = MOST_STALE) -> None:
        self._most_empty = most_empty
        # The oldest first. A dict would search for its first key among all that were deleted.
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._pages: set[int] = set()
        self.count = self._stale = 0

    def note(self, ids: Iterable[str]) -> str:
        """Why the part ends with this page, although there is a next one; empty if it goes on."""
        found = {hash(each) for each in ids}
        self.count += 1
        self._stale = 0 if self._is_new(found) else self._stale + 1
        self._remember(found)
        if self._stale >= (MOST_STALE if found else self._most_empty):
            return f"the last {self._stale} brought nothing new"
        return f"{self.count:,} were read" if self.count >= MOST_PAGES else ""

    def _is_new(self, ids: set[int]) -> bool:
        return not ids <= self._ids.keys() and hash(frozenset(ids)) not in self._pages

    def _remember(self, ids: set[int]) -> None:
        self._pages.add(hash(frozenset(ids)))
        for key in ids:
            self._ids[key] = None
            self._ids.move_to_end(key)
        for _ in range(len(self._ids) - REMEMBERED):
            self._ids.popitem(last=False)


def endless(operation: str, why: str) -> str:
    """For the user."""
    return (
        f"{operation} names further pages without end ({why}). What they would hold is unknown; a "
        "later sync asks again."
    )
