"""Remembers for a connection whether the reports of a dataset had rows."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from connectors.amazon.emptiness import Emptiness, empty_key, read_emptiness
from connectors.amazon.reports.bookmark import OrderedReport
from connectors.amazon.reports.desk import DONE, LISTING_PERIOD, Report, ReportDesk
from connectors.amazon.reports.documents import Part, ReportKind
from connectors.base import Record


class RowMemory:
    """Remembers whether the reports of a dataset had rows. Without a dataset name it remembers
    nothing, and trusts no report without rows."""

    def __init__(self, name: str, kind: ReportKind, learned: Mapping[str, str]) -> None:
        self._name = name
        self._kind = kind
        self._known = learned
        #: The changes, to be stored with the connection.
        self.learned: dict[str, str] = {}

    def believes(self, part: Part, made_at: datetime) -> bool:
        """Whether a report without rows can be right: not if an earlier one had rows in its span
        or, for a snapshot of today, if Amazon still lists one with rows. Only for types with an
        interval: others are not known to end without rows."""
        if self._kind.interval is None or not self._name:
            return False
        newest = self._newest(part)
        span = part.since if self._kind.whole_days else None
        return newest is None or newest < (span or made_at - LISTING_PERIOD)

    def empty(self, part: Part, order: OrderedReport) -> Emptiness:
        """Remember that a report had no rows. Returns the evidence after that."""
        key = self._empty_key(part)
        report = Emptiness(
            first=order.made_at,
            last=order.made_at,
            report=order.report,
            marketplaces=part.marketplaces,
            since=part.since,
            until=order.asked.until if order.asked else part.until,
        )
        before = read_emptiness(self._all, key)
        known = report.after(before, self._kind.interval or LISTING_PERIOD)
        if known != before:
            self.learned[key] = msgspec.json.encode(known).decode()
        return known

    def rows(self, part: Part, made_at: datetime, records: Sequence[Record]) -> None:
        """Remember the rows of a report that was made at a time."""
        if not records or not self._name:
            return
        newest = self._newest(part)
        times = [min(record.at, made_at) for record in records if record.at] or [made_at]
        if newest is None or max(times) > newest:
            self.learned[self._rows_key(part)] = max(times).isoformat()
        if self._all.get(self._empty_key(part)):
            self.learned[self._empty_key(part)] = ""

    def fresh(self, number: int, part: Part, desk: ReportDesk) -> OrderedReport | None:
        """The last report without rows, if it is fresh enough to be used again for the part of this
        number: the list may lack it, and Amazon would not make another one."""
        known = read_emptiness(self._all, self._empty_key(part))
        if known is None:
            return None
        report = Report(
            reportId=known.report,
            reportType=part.type,
            processingStatus=DONE,
            createdTime=known.last,
            reportDocumentId=known.report,  # it has no document, and needs none
            dataStartTime=known.since,
            dataEndTime=known.until,
            marketplaceIds=list(known.marketplaces),
        )
        if not desk.covers(report, part) or not desk.fresh([report]):
            return None
        return OrderedReport(number, known.last, known.report, empty=True)

    @property
    def _all(self) -> Mapping[str, str]:
        return {**self._known, **self.learned}

    def _newest(self, part: Part) -> datetime | None:
        """The time of the newest row of any report; None if there was none."""
        with suppress(ValueError):  # stored by another version
            newest = datetime.fromisoformat(self._all.get(self._rows_key(part), ""))
            return newest if newest.tzinfo else newest.replace(tzinfo=UTC)
        return None

    def _empty_key(self, part: Part) -> str:
        return empty_key(self._name, self._marketplace(part))

    def _rows_key(self, part: Part) -> str:
        return ":".join(filter(None, ("rows", self._name, self._marketplace(part))))

    def _marketplace(self, part: Part) -> str:
        return part.marketplaces[0] if self._kind.per_marketplace else ""
