"""Reports 2021-06-30: asking for a report, following it, and getting at its document."""

from collections.abc import Callable, Sequence

import msgspec

from connectors.amazon_sandbox.answers import Answered, Refused, invalid
from connectors.amazon_sandbox.generator.draw import digest, stamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import take
from connectors.amazon_sandbox.operations.query import read_moment
from connectors.amazon_sandbox.reports.desk import KEPT, Order
from connectors.amazon_sandbox.reports.document import is_packed
from connectors.amazon_sandbox.reports.kinds import KINDS
from connectors.amazon_sandbox.reports.report import Report

URL_LIFE = 5 * 60

_STATUSES = ("CANCELLED", "DONE", "FATAL", "IN_PROGRESS", "IN_QUEUE")
_MOST_PLACES = 25


class _Specification(msgspec.Struct, frozen=True, rename="camel"):
    report_type: str
    marketplace_ids: list[str]
    data_start_time: str | None = None
    data_end_time: str | None = None
    report_options: dict[str, str] | None = None


def create_report(call: Call) -> object:
    """Options are read and forgotten: dates count only where they belong."""
    wanted = call.decode(_Specification)
    order = _order(call, wanted)
    report = call.desk.take(call.seller, order, call.now, call.weather, call.copies)
    return Answered(202, {"reportId": report.id})


def _order(call: Call, wanted: _Specification) -> Order:
    if wanted.report_type not in KINDS:
        raise invalid(f"The report type {wanted.report_type} is invalid")
    call.check(KINDS[wanted.report_type].role)
    places = wanted.marketplace_ids
    if not 1 <= len(places) <= _MOST_PLACES or set(places) - call.seller.marketplaces.keys():
        raise invalid("Invalid marketplaceIds: from 1 to 25 of the seller's own are expected")
    start = _moment(wanted.data_start_time, "dataStartTime", call.now)
    end = _moment(wanted.data_end_time, "dataEndTime", call.now)
    if start is not None and start > (call.now if end is None else end):
        raise invalid("dataStartTime must be before dataEndTime")
    return Order(wanted.report_type, tuple(places), start, end)


def _moment(value: str | None, name: str, now: float) -> float | None:
    moment = read_moment(value, name) if value else None
    if moment is not None and moment > now + 1:
        raise invalid(f"Invalid date/time field [{name}]: it must not be later than now")
    return moment


def get_report(call: Call) -> object:
    return _find(call).view(call.now)


def cancel_report(call: Call) -> object:
    """The model describes no body, but clients read one."""
    report = _find(call)
    if report.status(call.now) != "IN_QUEUE":
        raise invalid("Only a report whose processingStatus is IN_QUEUE can be cancelled")
    call.desk.cancel(report, call.now)
    return {}


def _find(call: Call) -> Report:
    report = call.desk.find(call.seller, call.path["reportId"], call.now)
    if report is None:
        raise Refused(404, "NotFound", "There is no such report.")
    call.check(KINDS[report.type].role)
    return report


def get_reports(call: Call) -> object:
    size = call.query.number("pageSize", least=1, most=100, default=10)
    types = call.query.many("reportTypes", most=10)
    if not types:
        raise invalid("Either reportTypes or nextToken is required")
    for each in types:
        if each in KINDS:
            call.check(KINDS[each].role)
    rows = _since(call, call.desk.all(call.seller, call.cursor.asked))
    found, following = take(rows, call.cursor.position, size, _filter(call))
    body: dict[str, object] = {"reports": [each.view(call.now) for each in found]}
    token = call.token(following)
    return {**body, "nextToken": token} if token else body


def _since(call: Call, reports: Sequence[Report]) -> Sequence[Report]:
    oldest = call.cursor.asked - KEPT
    since = call.query.moment("createdSince")
    if since is not None and since < oldest - 60:
        raise invalid(f"Invalid createdSince: it must not be before {stamp(oldest)}")
    since = oldest if since is None else since
    until = call.query.moment("createdUntil")
    until = call.cursor.asked if until is None else until
    return [each for each in reports if since <= each.created <= until]


def _filter(call: Call) -> Callable[[Report], bool]:
    types = set(call.query.many("reportTypes", most=10))
    statuses = set(call.query.many("processingStatuses", among=_STATUSES))
    places = set(call.query.many("marketplaceIds", most=10, among=call.seller.marketplaces))
    return lambda report: (
        report.type in types
        and (not statuses or report.status(call.now) in statuses)
        and (not places or bool(places & set(report.marketplaces)))
    )


def get_report_document(call: Call) -> object:
    call.query.flag("enableContentEncodingUrlHeader")
    id = call.path["reportDocumentId"]
    report = call.desk.issue(call.seller, id, call.now)
    if report is None:
        raise Refused(404, "NotFound", "There is no such document.")
    call.check(KINDS[report.type].role)
    body = {"reportDocumentId": id, "url": _url(call, id)}
    return {**body, "compressionAlgorithm": "GZIP"} if is_packed(report) else body


def _url(call: Call, id: str) -> str:
    """An address that speaks for itself, until it expires."""
    expires = f"{call.now + call.life(URL_LIFE):.3f}"
    return f"{call.base}/_documents/{id}?Expires={expires}&Signature={signature(id, expires)}"


def signature(id: str, expires: str) -> str:
    return digest("document", id, expires)[:32]
