"""Where the reports of all sellers are kept, and the rules by which they are made."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.faults import Weather
from connectors.amazon_sandbox.generator.draw import DAY, digits
from connectors.amazon_sandbox.generator.fees import previews
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.reports.document import scope
from connectors.amazon_sandbox.reports.kinds import FEE_PREVIEW, KINDS
from connectors.amazon_sandbox.reports.report import Report

KEPT = 90 * DAY

_BASE, _PER_ROW = 60.0, 0.001  # seconds


class Order(msgspec.Struct, frozen=True):
    """What a caller asks for."""

    type: str
    marketplaces: tuple[str, ...]
    start: float | None
    end: float | None


class Desk:
    """Takes orders for reports and keeps what came of them."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._reports: dict[Identity, list[Report]] = defaultdict(list)
        self._issued: dict[str, Report] = {}
        self._count = 0

    def take(
        self, seller: Seller, order: Order, now: float, weather: Weather, copies: int
    ) -> Report:
        """Begin a report. Counting its rows takes its time: call it in a thread."""
        self._count += 1
        draft = Report(
            id=digits(self._count, int(now * 1_000_000), 12),  # also after a restart a new one
            type=order.type,
            identity=seller.identity,
            day=seller.day,
            marketplaces=order.marketplaces,
            start=order.start,
            until=now if order.end is None else order.end,
            created=now,
            ready=now,
            end="DONE",
            rows=0,
            flaw=_flaw(weather),
            copies=copies * max(1, weather.faults.inflate),
        )
        end = self._end(draft, now, weather)
        rows = KINDS[order.type].count(scope(draft, seller)) if end == "DONE" else 0
        wait = (_BASE + rows * _PER_ROW) / self._speed
        report = msgspec.structs.replace(draft, end=end, rows=rows, ready=now + wait)
        self._reports[seller.identity].append(report)
        return report

    def all(self, seller: Seller, now: float) -> Sequence[Report]:
        """Those of a seller that are still kept, the newest first."""
        made = [each for each in self._reports[seller.identity] if each.created >= now - KEPT]
        every = [*made, *_previews(seller)]
        return sorted(every, key=lambda report: report.created, reverse=True)

    def find(self, seller: Seller, report_id: str, now: float) -> Report | None:
        found = (each for each in self.all(seller, now) if each.id == report_id)
        return next(found, None)

    def cancel(self, report: Report, now: float) -> None:
        mine = self._reports[report.identity]
        mine[mine.index(report)] = msgspec.structs.replace(report, cancelled=now)

    def issue(self, seller: Seller, document_id: str, now: float) -> Report | None:
        """The finished report with that document: from now on it can be downloaded."""
        for report in self.all(seller, now):
            if report.document_id == document_id and report.status(now) == "DONE":
                self._issued[document_id] = report
                return report
        return None

    def issued(self, document_id: str) -> Report | None:
        return self._issued.get(document_id)

    def _end(self, draft: Report, now: float, weather: Weather) -> str:
        """How it will end. Whoever asks too often is not told so: his report is cancelled."""
        kind = KINDS[draft.type]
        if weather.strikes("cancelled_reports") or self._is_too_soon(draft, kind.interval):
            return "CANCELLED"
        span = draft.until - (draft.until if draft.start is None else draft.start)
        if draft.start is not None and span < kind.shortest:
            return "CANCELLED"
        too_long = kind.longest is not None and span > kind.longest
        too_old = kind.oldest is not None and (draft.start or now) < now - kind.oldest
        if weather.strikes("fatal_reports") or too_long or too_old:
            return "FATAL"
        return "DONE"

    def _is_too_soon(self, draft: Report, interval: float) -> bool:
        since = draft.created - interval / self._speed
        return any(
            each.type == draft.type and each.end == "DONE" and each.created > since
            for each in self._reports[draft.identity]
        )


def _flaw(weather: Weather) -> str:
    if weather.strikes("header_only_reports"):
        return "header_only"
    return "short_rows" if weather.strikes("short_rows") else ""


def _previews(seller: Seller) -> Iterator[Report]:
    """Previews of fees that were made in the past: by the seller himself, one in thirty days."""
    for at in previews(seller.midnight):
        yield Report(
            id=digits(at // DAY, 41, 12),
            type=FEE_PREVIEW,
            identity=seller.identity,
            day=seller.day,
            marketplaces=(seller.home.id,),
            start=at - 3 * DAY,
            until=at,
            created=at,
            ready=at + 120,
            end="DONE",
            rows=len(seller.products),
        )
