"""Reports 2021-06-30: create a report, poll it, and get the URL of its document."""

from collections.abc import Callable, Sequence

import msgspec

from connectors.amazon_sandbox.generator.randomness import digest
from connectors.amazon_sandbox.generator.times import timestamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.operations.paging import Paging, page_of
from connectors.amazon_sandbox.operations.query import read_moment
from connectors.amazon_sandbox.reports.definitions import DEFINITIONS
from connectors.amazon_sandbox.reports.document import is_compressed
from connectors.amazon_sandbox.reports.report import StoredReport
from connectors.amazon_sandbox.reports.store import RETENTION, ReportRequest
from connectors.amazon_sandbox.responses import ApiError, Reply, invalid

URL_LIFETIME = 5 * 60

_STATUSES = ("CANCELLED", "DONE", "FATAL", "IN_PROGRESS", "IN_QUEUE")
_MAX_MARKETPLACES = 25


class _Specification(msgspec.Struct, frozen=True, rename="camel"):
    report_type: str
    marketplace_ids: list[str]
    data_start_time: str | None = None
    data_end_time: str | None = None
    report_options: dict[str, str] | None = None


def create_report(call: Call) -> object:
    """Create a report. Report options, including dates among them, are accepted and ignored."""
    specification = call.decode(_Specification)
    request = _request(call, specification)
    report = call.reports.create(call.seller, request, call.now, call.fault_injector, call.copies)
    return Reply(202, {"reportId": report.id})


def _request(call: Call, specification: _Specification) -> ReportRequest:
    if specification.report_type not in DEFINITIONS:
        raise invalid(f"The report type {specification.report_type} is invalid")
    call.require_role(DEFINITIONS[specification.report_type].role)
    marketplaces = specification.marketplace_ids
    if (
        not 1 <= len(marketplaces) <= _MAX_MARKETPLACES
        or set(marketplaces) - call.seller.marketplaces.keys()
    ):
        raise invalid("Invalid marketplaceIds: from 1 to 25 of the seller's own are expected")
    start = _moment(specification.data_start_time, "dataStartTime", call.now)
    end = _moment(specification.data_end_time, "dataEndTime", call.now)
    if start is not None and start > (call.now if end is None else end):
        raise invalid("dataStartTime must be before dataEndTime")
    return ReportRequest(specification.report_type, tuple(marketplaces), start, end)


def _moment(value: str | None, name: str, now: float) -> float | None:
    moment = read_moment(value, name) if value else None
    if moment is not None and moment > now + 1:
        raise invalid(f"Invalid date/time field [{name}]: it must not be later than now")
    return moment


def get_report(call: Call) -> object:
    return _find(call).view(call.now)


def cancel_report(call: Call) -> object:
    """Cancel a report. The model describes no response body, but clients expect JSON."""
    report = _find(call)
    if report.status(call.now) != "IN_QUEUE":
        raise invalid("Only a report whose processingStatus is IN_QUEUE can be cancelled")
    call.reports.cancel(report, call.now)
    return {}


def _find(call: Call) -> StoredReport:
    report = call.reports.find(call.seller, call.path["reportId"], call.now)
    if report is None:
        raise ApiError(404, "NotFound", "Report not found.")
    call.require_role(DEFINITIONS[report.type].role)
    return report


def get_reports(call: Call) -> object:
    size = call.query.number("pageSize", minimum=1, maximum=100, default=10)
    types = call.query.many("reportTypes", maximum=10)
    if not types:
        raise invalid("Either reportTypes or nextToken is required")
    for report_type in types:
        if report_type in DEFINITIONS:
            call.require_role(DEFINITIONS[report_type].role)
    rows = _since(call, call.reports.all(call.seller, call.cursor.as_of))
    page, next_position = page_of(rows, call.cursor.position, size, _filter(call))
    body: dict[str, object] = {"reports": [report.view(call.now) for report in page]}
    token = call.token(next_position)
    return {**body, "nextToken": token} if token else body


def _since(call: Call, reports: Sequence[StoredReport]) -> Sequence[StoredReport]:
    oldest = call.cursor.as_of - RETENTION
    since = call.query.moment("createdSince")
    if since is not None and since < oldest - 60:
        raise invalid(f"Invalid createdSince: it must not be before {timestamp(oldest)}")
    since = oldest if since is None else since
    until = call.query.moment("createdUntil")
    until = call.cursor.as_of if until is None else until
    return [report for report in reports if since <= report.created <= until]


def _filter(call: Call) -> Callable[[StoredReport], bool]:
    types = set(call.query.many("reportTypes", maximum=10))
    statuses = set(call.query.many("processingStatuses", among=_STATUSES))
    marketplaces = set(
        call.query.many("marketplaceIds", maximum=10, among=call.seller.marketplaces)
    )
    return lambda report: (
        report.type in types
        and (not statuses or report.status(call.now) in statuses)
        and (not marketplaces or bool(marketplaces & set(report.marketplaces)))
    )


def get_report_document(call: Call) -> object:
    call.query.flag("enableContentEncodingUrlHeader")
    id = call.path["reportDocumentId"]
    report = call.reports.release(call.seller, id, call.now)
    if report is None:
        raise ApiError(404, "NotFound", "Document not found.")
    call.require_role(DEFINITIONS[report.type].role)
    body = {"reportDocumentId": id, "url": _url(call, id)}
    return {**body, "compressionAlgorithm": "GZIP"} if is_compressed(report) else body


def _url(call: Call, id: str) -> str:
    """A signed URL, which needs no token until it expires."""
    expires = f"{call.now + call.lifetime(URL_LIFETIME):.3f}"
    return f"{call.base_url}/_documents/{id}?Expires={expires}&Signature={signature(id, expires)}"


def signature(id: str, expires: str) -> str:
    return digest("document", id, expires)[:32]


_PAGING = Paging("nextToken", lifetime=24 * 3_600, carries_parameters=True, exclusive=True)
OPERATIONS = (
    ApiOperation(
        "createReport", "POST", "/reports/2021-06-30/reports", 0.0167, 15, create_report, heavy=True
    ),
    ApiOperation(
        "getReports", "GET", "/reports/2021-06-30/reports", 0.0222, 10, get_reports, _PAGING
    ),
    ApiOperation("getReport", "GET", "/reports/2021-06-30/reports/{reportId}", 2, 15, get_report),
    ApiOperation(
        "cancelReport",
        "DELETE",
        "/reports/2021-06-30/reports/{reportId}",
        0.0222,
        10,
        cancel_report,
    ),
    ApiOperation(
        "getReportDocument",
        "GET",
        "/reports/2021-06-30/documents/{reportDocumentId}",
        0.0167,
        15,
        get_report_document,
    ),
)
