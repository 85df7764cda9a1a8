"""The reports of all sellers, and the rules by which they are created."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from connectors.amazon_sandbox.faults import FaultInjector, Faults
from connectors.amazon_sandbox.generator.fees import previews
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.randomness import decimal_id
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.generator.times import DAY
from connectors.amazon_sandbox.reports.definitions import DEFINITIONS, FEE_PREVIEW
from connectors.amazon_sandbox.reports.document import scope
from connectors.amazon_sandbox.reports.report import StoredReport

RETENTION = 90 * DAY

_BASE_SECONDS, _SECONDS_PER_ROW = 60.0, 0.001


class ReportRequest(msgspec.Struct, frozen=True):
    type: str
    marketplaces: tuple[str, ...]
    start: float | None
    end: float | None


class ReportStore:
    """Creates and stores reports."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._reports: dict[Identity, list[StoredReport]] = defaultdict(list)
        self._released: dict[str, StoredReport] = {}
        self._count = 0

    def create(
        self,
        seller: Seller,
        request: ReportRequest,
        now: float,
        fault_injector: FaultInjector,
        copies: int,
    ) -> StoredReport:
        """Create a report. Counting its rows is slow: call it in a thread."""
        self._count += 1
        draft = StoredReport(
            id=decimal_id(self._count, int(now * 1_000_000), 12),  # unique after a restart too
            type=request.type,
            identity=seller.identity,
            day=seller.day,
            marketplaces=request.marketplaces,
            start=request.start,
            until=now if request.end is None else request.end,
            created=now,
            ready=now,
            outcome="DONE",
            rows=0,
            flaw=_flaw(fault_injector),
            copies=copies * max(1, fault_injector.faults.inflate),
            hidden=_hidden(fault_injector.faults, request.type),
            hidden_by=fault_injector.seed,
        )
        reports = self._reports[seller.identity]
        if fault_injector.occurs("cancelled_reports"):
            reports.append(self._foreign(draft))
            outcome, rows = "CANCELLED", 0
        else:
            outcome, rows = self._result(draft, seller, fault_injector)
        wait = (_BASE_SECONDS + rows * _SECONDS_PER_ROW) / self._speed
        report = msgspec.structs.replace(draft, outcome=outcome, rows=rows, ready=now + wait)
        reports.append(report)
        return report

    def _foreign(self, draft: StoredReport) -> StoredReport:
        """The report of another application that makes Amazon cancel this one."""
        self._count += 1
        created = draft.created - _BASE_SECONDS
        id = decimal_id(self._count, int(created * 1_000_000), 12)
        return msgspec.structs.replace(draft, id=id, created=created, ready=created, foreign=True)

    def all(self, seller: Seller, now: float) -> Sequence[StoredReport]:
        """The seller's reports of the retention period, newest first."""
        stored = [
            report for report in self._reports[seller.identity] if report.created >= now - RETENTION
        ]
        reports = [*stored, *_previews(seller)]
        return sorted(reports, key=lambda report: report.created, reverse=True)

    def find(self, seller: Seller, report_id: str, now: float) -> StoredReport | None:
        matches = (report for report in self.all(seller, now) if report.id == report_id)
        return next(matches, None)

    def cancel(self, report: StoredReport, now: float) -> None:
        reports = self._reports[report.identity]
        reports[reports.index(report)] = msgspec.structs.replace(report, cancelled=now)

    def release(self, seller: Seller, document_id: str, now: float) -> StoredReport | None:
        """Make the document of a finished report available for download."""
        for report in self.all(seller, now):
            if report.document_id == document_id and report.status(now) == "DONE":
                self._released[document_id] = report
                return report
        return None

    def released(self, document_id: str) -> StoredReport | None:
        return self._released.get(document_id)

    def _result(
        self, draft: StoredReport, seller: Seller, fault_injector: FaultInjector
    ) -> tuple[str, int]:
        """The final status and the number of rows. A report of a window in which nothing happened
        is cancelled: it has no document."""
        definition = DEFINITIONS[draft.type]
        outcome = self._outcome(draft, fault_injector)
        if outcome != "DONE":
            return outcome, 0
        rows = definition.count(scope(draft, seller))
        if draft.type in fault_injector.faults.reports_without_data:
            rows = 0
        # Without a start, the ledger report is only a header, whatever happened.
        if not rows and definition.cancelled_without_rows and draft.start is not None:
            return "CANCELLED", 0
        return outcome, rows

    def _outcome(self, draft: StoredReport, fault_injector: FaultInjector) -> str:
        """The final status of a report that has rows. A report that is requested too often is
        cancelled, not rejected."""
        definition, now = DEFINITIONS[draft.type], draft.created
        if self._is_too_soon(draft, definition.interval):
            return "CANCELLED"
        span = draft.until - (draft.until if draft.start is None else draft.start)
        if draft.start is not None and span < definition.shortest:
            return "CANCELLED"
        too_long = definition.longest is not None and span > definition.longest
        too_old = definition.oldest is not None and (draft.start or now) < now - definition.oldest
        if fault_injector.occurs("fatal_reports") or too_long or too_old:
            return "FATAL"
        return "DONE"

    def _is_too_soon(self, draft: StoredReport, interval: float) -> bool:
        since = draft.created - interval / self._speed
        return any(
            report.type == draft.type and report.outcome == "DONE" and report.created > since
            for report in self._reports[draft.identity]
            if not report.foreign
        )


def _hidden(faults: Faults, report_type: str) -> float:
    """The share of orders that a report leaves out."""
    return faults.hidden_rows if report_type in (faults.hidden_in or (report_type,)) else 0.0


def _flaw(fault_injector: FaultInjector) -> str:
    if fault_injector.occurs("header_only_reports"):
        return "header_only"
    return "short_rows" if fault_injector.occurs("short_rows") else ""


def _previews(seller: Seller) -> Iterator[StoredReport]:
    """Fee previews of the past, one in thirty days, as if the seller had created them."""
    for at in previews(seller.midnight):
        yield StoredReport(
            id=decimal_id(at // DAY, 41, 12),
            type=FEE_PREVIEW,
            identity=seller.identity,
            day=seller.day,
            marketplaces=(seller.home.id,),
            start=at - 3 * DAY,
            until=at,
            created=at,
            ready=at + 120,
            outcome="DONE",
            rows=len(seller.products),
        )
