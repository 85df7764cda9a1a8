"""Detection of lists that never end: a source may name further pages without new records."""

from collections import OrderedDict
from collections.abc import Iterable

from connectors.base import Unknowable

MAX_STALE = 2
"""Pages in a row without a new record, after which a list is ended."""
MAX_PAGES = 100_000
"""The most pages of one list. At Amazon's quotas they take half a day."""
REMEMBERED = 10_000
"""The most record ids that are compared with those of later pages. Older records are compared by
page."""


class Endless(Unknowable):
    """A list was ended although the source named further pages: what they hold is unknown."""


class Repeats:
    """The pages of one list, from the first page on. Stores hashes only, at most REMEMBERED of ids
    and MAX_PAGES of pages.

    `most_empty` is how many pages in a row may be empty, for an operation that returns empty pages
    between others."""

    def __init__(self, most_empty: int = MAX_STALE) -> None:
        self._most_empty = most_empty
        # The oldest first. A dict would search for its first key among all that were deleted.
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._pages: set[int] = set()
        self.count = self._stale = 0

    def note(self, ids: Iterable[str]) -> str:
        """Add a page that names a further one. Returns why the list ends here nevertheless; empty
        if it continues."""
        hashes = {hash(id) for id in ids}
        self.count += 1
        self._stale = 0 if self._is_new(hashes) else self._stale + 1
        self._remember(hashes)
        if self._stale >= (MAX_STALE if hashes else self._most_empty):
            return f"the last {self._stale} contained no new records"
        return f"{self.count:,} were read" if self.count >= MAX_PAGES else ""

    def _is_new(self, hashes: set[int]) -> bool:
        return not hashes <= self._ids.keys() and hash(frozenset(hashes)) not in self._pages

    def _remember(self, ids: set[int]) -> None:
        self._pages.add(hash(frozenset(ids)))
        for key in ids:
            self._ids[key] = None
            self._ids.move_to_end(key)
        for _ in range(len(self._ids) - REMEMBERED):
            self._ids.popitem(last=False)


def endless(operation: str, why: str) -> str:
    """The message for a list that never ends."""
    return (
        f"{operation} keeps returning a next page ({why}). Their contents are unknown; a "
        "later sync tries again."
    )
