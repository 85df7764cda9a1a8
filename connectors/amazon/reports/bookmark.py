"""The cursor of a dataset of reports: which reports have been requested and read."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

MAX_AGAIN: Mapping[str, int] = {"lost": 3, "stuck": 1, "fatal": 1}
"""How often a report is requested again in one sync, by the reason: see OrderedReport."""


class PendingOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that is about to be requested. If a crash prevents its id from being stored, its
    scope and time identify it in Amazon's list."""

    part: Number
    #: When it is requested.
    at: Moment
    #: The end of its span.
    until: Moment | None = None
    #: The previous request, if a crash or an error lost the answer. Amazon may have made that
    #: report and may cancel this one.
    before: "PendingOrder | None" = None

    @property
    def attempts(self) -> Iterator["PendingOrder"]:
        """This request and those before it."""
        yield self
        if self.before:
            yield from self.before.attempts


class OrderedReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that was requested, or found in Amazon's list. The field names are stored in
    cursors."""

    part: Number
    made_at: Moment
    #: Its id.
    report: str
    #: The id of its document, once it is finished.
    document: str | None = None
    asked: PendingOrder | None = None
    #: How often it was requested again because Amazon did not know it,
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

    #: Number of parts whose reports are requested.
    planned: Number = 0
    #: Their reports.
    orders: tuple[OrderedReport, ...] = ()
    #: Index of the report that is being read, and its rows read so far.
    at: Number = 0
    rows: Number = 0
    #: Parts that will be requested again.
    again: tuple[Number, ...] = ()
    #: Parts whose reports could not be read.
    lacking: tuple[Number, ...] = ()
    #: A request that may have been sent, but whose report id is not stored yet.
    asking: PendingOrder | None = None


def opened(cursor: str | None, parts: int) -> ReportBookmark:
    """The bookmark in a cursor; the beginning without one or for a different version."""
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
    """The bookmark with all reports of a further part."""
    return msgspec.structs.replace(mark, planned=mark.planned + 1, orders=(*mark.orders, *orders))


def added(
    listed: Sequence[OrderedReport],
) -> Callable[[ReportBookmark, OrderedReport], ReportBookmark]:
    """Adds the first requested report of a part, after its reports that were found in the list."""
    return lambda mark, order: with_part(mark, [*listed, order])


def asked_again(mark: ReportBookmark, order: OrderedReport) -> ReportBookmark:
    """The bookmark with a new report for the next part that is to be requested again."""
    return msgspec.structs.replace(mark, orders=(*mark.orders, order), again=mark.again[1:])


def repeated(why: str) -> Callable[[ReportBookmark, OrderedReport], ReportBookmark]:
    """Replaces the current report by a newly requested one, which is read from its start."""

    def then(mark: ReportBookmark, order: OrderedReport) -> ReportBookmark:
        orders, old = list(mark.orders), mark.orders[mark.at]
        counts = {reason: getattr(old, reason) + (reason == why) for reason in MAX_AGAIN}
        keyed = old.keyed or (old.made_at if mark.rows else None)
        orders[mark.at] = msgspec.structs.replace(order, keyed=keyed, **counts)
        return msgspec.structs.replace(mark, orders=tuple(orders), rows=0)

    return then
