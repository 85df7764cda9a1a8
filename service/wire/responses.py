"""Responses: JSON bodies, and problems (RFC 9457)."""

from typing import Any

import msgspec
from starlette.responses import Response

from service.errors import ServiceError

LONGEST_TEXT = 1000
"""Characters of one text in a problem."""


class JSON(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


def problem(error: ServiceError) -> Response:
    """RFC 9457. `detail` says what to do, `code` is for programs."""
    body: dict[str, Any] = {
        "type": f"urn:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _clipped(error.detail),
        "code": error.code,
        **error.more,
    }
    if error.errors:
        body["errors"] = [{k: _clipped(v) for k, v in each.items()} for each in error.errors]
    return Response(
        msgspec.json.encode(body),
        status_code=error.status,
        headers=dict(error.headers),
        media_type="application/problem+json",
    )


def _clipped(text: str) -> str:
    """What was sent is not sent back at any length."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"
