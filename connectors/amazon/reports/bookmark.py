"""The cursor of a dataset of reports: what has been ordered and read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

MOST_AGAIN: Mapping[str, int] = {"lost": 3, "stuck": 1, "fatal": 1}
"""How often a report is ordered again in one sync, by the reason: see OrderedReport."""


class PendingOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that is about to be ordered. By its scope and time it is recognised in Amazon's list
    if a crash prevents its id from being stored."""

    part: Number
    #: When it is ordered.
    at: Moment
    #: The end of its span.
    until: Moment | None = None
    #: The order before it, if a crash or an error lost the answer. Amazon may have made that report
    #: and may cancel this one.
    before: "PendingOrder | None" = None

    @property
    def attempts(self) -> Iterator["PendingOrder"]:
        """This order and those before it."""
        yield self
        if self.before:
            yield from self.before.attempts


class OrderedReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that was ordered, or found in Amazon's list. The field names are stored in
    cursors."""

    part: Number
    made_at: Moment
    #: Its id.
    report: str
    #: The id of its document, once it is finished.
    document: str | None = None
    asked: PendingOrder | None = None
    #: How often it was ordered again because Amazon did not know it,
    lost: Number = 0
    #: did not finish it,
    stuck: Number = 0
    #: or ended it as FATAL.
    fatal: Number = 0
    #: The time in the ids of its rows, if rows of an earlier, lost document are stored already.
    keyed: Moment | None = None
    #: Amazon made no document, because there is no data.
    empty: bool = False


class ReportBookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a dataset of reports has been read. The field names are stored in cursors."""

    #: Number of parts whose reports are ordered.
    planned: Number = 0
    #: Their reports.
    orders: tuple[OrderedReport, ...] = ()
    #: Index of the report that is being read, and its rows read so far.
    at: Number = 0
    rows: Number = 0
    #: Parts that will be ordered again.
    again: tuple[Number, ...] = ()
    #: Parts that are missing in the end.
    lacking: tuple[Number, ...] = ()
    #: An order that may have been sent, but whose id is not stored yet.
    asking: PendingOrder | None = None


def opened(cursor: str | None, parts: int) -> ReportBookmark:
    """The bookmark in a cursor; without one, and for one of another version, the beginning."""
    try:
        mark = msgspec.json.decode(cursor, type=ReportBookmark) if cursor else ReportBookmark()
    except ValueError:
        return ReportBookmark()
    numbers = [*(order.part for order in mark.orders), *mark.again, *mark.lacking]
    if mark.asking:
        numbers.append(mark.asking.part)
    fits = mark.planned <= parts and all(number < parts for number in numbers)
    return mark if fits else ReportBookmark()


def with_part(mark: ReportBookmark, orders: Sequence[OrderedReport]) -> ReportBookmark:
    """With all reports of a further part."""
    return msgspec.structs.replace(mark, planned=mark.planned + 1, orders=(*mark.orders, *orders))


def added(
    listed: Sequence[OrderedReport],
) -> Callable[[ReportBookmark, OrderedReport], ReportBookmark]:
    """Adds the first order of a part, after the reports of the part that were found in the list."""
    return lambda mark, order: with_part(mark, [*listed, order])


def asked_again(mark: ReportBookmark, order: OrderedReport) -> ReportBookmark:
    """With an order for the next part that is to be ordered again."""
    return msgspec.structs.replace(mark, orders=(*mark.orders, order), again=mark.again[1:])


def repeated(why: str) -> Callable[[ReportBookmark, OrderedReport], ReportBookmark]:
    """Replaces the current report by a new order, which is read from its start."""

    def then(mark: ReportBookmark, order: OrderedReport) -> ReportBookmark:
        orders, old = list(mark.orders), mark.orders[mark.at]
        counts = {reason: getattr(old, reason) + (reason == why) for reason in MOST_AGAIN}
        keyed = old.keyed or (old.made_at if mark.rows else None)
        orders[mark.at] = msgspec.structs.replace(order, keyed=keyed, **counts)
        return msgspec.structs.replace(mark, orders=tuple(orders), rows=0)

    return then
