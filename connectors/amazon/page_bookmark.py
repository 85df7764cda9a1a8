"""The cursor of a dataset that is read page by page."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from connectors.base import Cursor, Window

LARGEST_PAGE = 100
MAX_SHARE = 0.99
"""The largest share that is reported before the last page."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**8)]


class PageBookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a dataset has been read. The field names are stored in cursors."""

    #: Number of the part (a marketplace, a time span) that is being read.
    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    #: Token of the part's next page.
    token: str | None = None
    #: Pages read so far.
    pages: int = 0
    #: Share of the dataset that has been read.
    share: float = 0.0
    #: The time span that the records of the part cover so far.
    oldest: Moment | None = None
    newest: Moment | None = None
    #: Records per page, if a larger page was refused.
    size: Count | None = None
    #: Start and length of the time span that is being read, if a longer one was refused.
    since: Moment | None = None
    seconds: Count | None = None
    #: Whether the part is read without the optional parameter.
    bare: bool = False
    #: Why the dataset is incomplete although all its parts were read.
    cut: str = ""


def opened(cursor: Cursor | None, parts: int) -> PageBookmark:
    """The bookmark in a cursor. If the cursor cannot be read, such as that of another version, the
    dataset starts from the beginning."""
    try:
        mark = msgspec.json.decode(cursor, type=PageBookmark) if cursor else PageBookmark()
    except ValueError:
        return PageBookmark()
    ended = mark.part == parts and mark.cut
    return mark if mark.part < parts or ended else PageBookmark()


def advanced(
    mark: PageBookmark, token: str, times: Sequence[datetime], window: Window, parts: int
) -> PageBookmark:
    """The bookmark after a page that is not the last of its part. A reduced page size doubles.

    The share is computed from the times of the records: the span that they cover, divided by that
    span plus the time ahead. The end that moved shows the sort order of the records."""
    size = mark.size * 2 if mark.size and mark.size * 2 < LARGEST_PAGE else None
    after = msgspec.structs.replace(mark, token=token, pages=mark.pages + 1, size=size)
    span = stretch(window, mark.part, parts)
    times = [time for time in times if span.since <= time <= span.until]
    if not times:
        return after
    oldest = min(mark.oldest or times[0], *times)
    newest = max(mark.newest or times[0], *times)
    earlier = (mark.oldest or times[0]) - oldest
    later = newest - (mark.newest or times[0])
    ahead = span.until - newest if later >= earlier else oldest - span.since
    whole = newest - oldest + ahead
    within = (newest - oldest) / whole if whole and (earlier or later) else 0.0
    share = max(mark.share, min((mark.part + within) / parts, MAX_SHARE))
    return msgspec.structs.replace(after, share=share, oldest=oldest, newest=newest)


def stretch(window: Window, part: int, parts: int) -> Window:
    """The time span of a part if the window is divided into `parts` equal spans. Not used for parts
    that are marketplaces: their records have no times."""
    whole = window.until - window.since
    return Window(window.since + whole * part / parts, window.since + whole * (part + 1) / parts)
