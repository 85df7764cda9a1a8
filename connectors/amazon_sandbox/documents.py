"""The download of a report document from storage that accepts only signed URLs."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.operations.reports import signature
from connectors.amazon_sandbox.reports import document
from connectors.amazon_sandbox.responses import ApiError
from connectors.amazon_sandbox.state import Sandbox

PATH = "/_documents/{id}"

_HTML = b"<!DOCTYPE html><html><head><title>Sorry!</title></head><body>Busy.</body></html>\n"
_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>'
)


async def download(sandbox: Sandbox, request: Request) -> Response:
    if sandbox.fault_injector.faults.slow:
        await sandbox.clock.sleep(sandbox.fault_injector.faults.slow)
    try:
        response = await _document(sandbox, request)
    except ApiError as error:
        text = _ERROR.format(error.code, error.message)
        response = Response(text, error.status, media_type="application/xml")
    sandbox.log.append(_entry(sandbox, request, response.status_code))
    return response


async def _document(sandbox: Sandbox, request: Request) -> Response:
    id = request.path_params["id"]
    _check(sandbox, request, id)
    report = sandbox.reports.released(id)
    if report is None:
        raise ApiError(404, "NoSuchKey", "The specified key does not exist.")
    fault_injector = sandbox.fault_injector
    if fault_injector.occurs("html_downloads"):
        return Response(_HTML, media_type="text/html")
    seller = await sandbox.sellers.get(report.identity, report.day)
    chunks = document.text(report, seller)
    headers = {"content-type": f"text/plain;charset={document.charset(seller)}"}
    truncated_gzip = fault_injector.occurs("truncated_gzips")
    is_truncated = fault_injector.occurs("truncated_downloads") or truncated_gzip
    if truncated_gzip or document.is_compressed(report):
        chunks = document.compressed(chunks)
        if is_truncated:
            chunks = document.truncated(chunks)
        return StreamingResponse(chunks, headers=headers)
    return _uncompressed(b"".join(chunks), is_truncated, headers)


def _uncompressed(content: bytes, is_truncated: bool, headers: dict[str, str]) -> Response:
    """The document with the `Content-Length` of the whole, even if it is truncated."""
    headers = {**headers, "content-length": str(len(content))}
    if is_truncated:
        content = b"".join(document.truncated([content]))
    return Response(content, headers=headers)


def _check(sandbox: Sandbox, request: Request, id: str) -> None:
    expires = request.query_params.get("Expires", "")
    if "x-amz-access-token" in request.headers:
        message = "There were headers present in the request which were not signed"
        raise ApiError(403, "AccessDenied", message)
    if request.query_params.get("Signature") != signature(id, expires):
        message = "The request signature we calculated does not match the signature you provided."
        raise ApiError(403, "SignatureDoesNotMatch", message)
    if sandbox.now() >= float(expires):
        raise ApiError(403, "AccessDenied", "Request has expired")


def _entry(sandbox: Sandbox, request: Request, status: int) -> Entry:
    report = sandbox.reports.released(request.path_params["id"])
    return Entry(
        at=sandbox.clock.now(),
        method="GET",
        path=request.url.path,
        operation="download",
        seller=report.identity.name if report else None,
        status=status,
        parameters={},
    )
