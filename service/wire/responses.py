"""JSON responses, and problems (RFC 9457)."""

from typing import Any

import msgspec
from starlette.responses import Response

from service.errors import ServiceError

#: Characters of one text in a problem.
LONGEST_TEXT = 1000


class JSON(Response):
    """A value encoded as JSON; bytes are sent as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


def problem(error: ServiceError) -> Response:
    """An error as RFC 9457 defines it, with the fields of `Problem`."""
    body: dict[str, Any] = {
        "type": f"urn:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _clipped(error.detail),
        "code": error.code,
        **error.more,
    }
    if error.errors:
        body["errors"] = [{k: _clipped(v) for k, v in fault.items()} for fault in error.errors]
    return Response(
        msgspec.json.encode(body),
        status_code=error.status,
        headers=dict(error.headers),
        media_type="application/problem+json",
    )


def _clipped(text: str) -> str:
    """The text, shortened if necessary: it may repeat long input of the client."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"
