"""The download of a document: no operation of the API, but a storage that knows only addresses."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connectors.amazon_sandbox.answers import Refused
from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.operations.reports import signature
from connectors.amazon_sandbox.reports import document
from connectors.amazon_sandbox.state import Sandbox

PATH = "/_documents/{id}"

_HTML = b"<!DOCTYPE html><html><head><title>Sorry!</title></head><body>Busy.</body></html>\n"
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
)


async def download(sandbox: Sandbox, request: Request) -> Response:
    """Answer `GET /_documents/{id}`."""
    if sandbox.weather.faults.slow:
        await sandbox.clock.sleep(sandbox.weather.faults.slow)
    try:
        response = await _document(sandbox, request)
    except Refused as refused:
        text = _ERROR.format(refused.code, refused.message)
        response = Response(text, refused.status, media_type="application/xml")
    sandbox.log.append(_entry(sandbox, request, response.status_code))
    return response


async def _document(sandbox: Sandbox, request: Request) -> Response:
    id = request.path_params["id"]
    _check(sandbox, request, id)
    report = sandbox.desk.issued(id)
    if report is None:
        raise Refused(404, "NoSuchKey", "The specified key does not exist.")
    weather = sandbox.weather
    if weather.strikes("html_downloads"):
        return Response(_HTML, media_type="text/html")
    seller = await sandbox.shelf.get(report.identity, report.day)
    chunks = document.text(report, seller)
    headers = {"content-type": f"text/plain;charset={document.charset(seller)}"}
    unasked = weather.strikes("truncated_gzips")
    broken = weather.strikes("truncated_downloads") or unasked
    if unasked or document.is_packed(report):
        chunks = document.packed(chunks)
        return StreamingResponse(document.cut(chunks) if broken else chunks, headers=headers)
    return _whole(b"".join(chunks), broken, headers)


def _whole(content: bytes, broken: bool, headers: dict[str, str]) -> Response:
    """What is not compressed is small: its length is told beforehand, also if not all will come."""
    headers = {**headers, "content-length": str(len(content))}
    return Response(b"".join(document.cut([content])) if broken else content, headers=headers)


def _check(sandbox: Sandbox, request: Request, id: str) -> None:
    expires = request.query_params.get("Expires", "")
    if "x-amz-access-token" in request.headers:
        wrong = "There were headers present in the request which were not signed"
        raise Refused(403, "AccessDenied", wrong)
    if request.query_params.get("Signature") != signature(id, expires):
        wrong = "The request signature we calculated does not match the signature you provided."
        raise Refused(403, "SignatureDoesNotMatch", wrong)
    if sandbox.now() >= float(expires):
        raise Refused(403, "AccessDenied", "Request has expired")


def _entry(sandbox: Sandbox, request: Request, status: int) -> Entry:
    report = sandbox.desk.issued(request.path_params["id"])
    return Entry(
        at=sandbox.clock.now(),
        method="GET",
        path=request.url.path,
        operation="download",
        seller=report.identity.name if report else None,
        status=status,
        parameters={},
    )
