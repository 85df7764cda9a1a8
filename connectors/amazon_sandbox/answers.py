"""How the API answers: JSON bodies, errors in Amazon's shape, and the headers of every answer."""

import uuid
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

_ANNOUNCED = frozenset({200, 201, 202, 204, 400, 404})


class Answered(msgspec.Struct, frozen=True):
    """An answer whose status is not 200."""

    status: int
    body: object


class Refused(Exception):
    """A call that is answered with an error."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.message, self.details = message, details


def invalid(message: str) -> Refused:
    return Refused(400, "InvalidInput", message)


def denied(details: str) -> Refused:
    return Refused(403, "Unauthorized", "Access to requested resource is denied.", details)


def misrouted() -> Refused:
    return Refused(403, "MissingAuthenticationToken", "Missing Authentication Token")


def throttled() -> Refused:
    return Refused(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


def reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Any JSON, under a request id of its own."""
    identified = {"x-amzn-RequestId": str(uuid.uuid4()), **(headers or {})}
    return Response(msgspec.json.encode(body), status, identified, "application/json")


def refusal(refused: Refused) -> Response:
    """The error as Amazon words it."""
    error = {"code": refused.code, "message": refused.message, "details": refused.details}
    kind = {"x-amzn-ErrorType": f"{refused.code}Exception"}
    return reply({"errors": [error]}, refused.status, kind)


def announce(response: Response, rate: float, speed: float = 1.0) -> None:
    """Announce the quota where Amazon does: never on the 429 that would need it most. A sandbox
    that is faster or slower than Amazon says so, which Amazon has no header for."""
    if speed != 1.0:
        response.headers["x-sandbox-speed"] = f"{speed:g}"
    if response.status_code in _ANNOUNCED:
        response.headers["x-amzn-RateLimit-Limit"] = f"{rate:.6f}".rstrip("0").rstrip(".")
