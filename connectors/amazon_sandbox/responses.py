"""Responses in Amazon's shape: JSON bodies, errors, and the rate limit header."""

import uuid
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

# Amazon omits the header on a 429, where a client needs it most.
_STATUSES_WITH_LIMIT = frozenset({200, 201, 202, 204, 400, 404})


class Reply(msgspec.Struct, frozen=True):
    """A JSON body with a status other than 200."""

    status: int
    body: object


class ApiError(Exception):
    """A call that ends with an error response."""

    def __init__(self, status: int, code: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.message, self.details = message, details


def invalid(message: str) -> ApiError:
    return ApiError(400, "InvalidInput", message)


def denied(details: str) -> ApiError:
    return ApiError(403, "Unauthorized", "Access to requested resource is denied.", details)


def unknown_path() -> ApiError:
    return ApiError(403, "MissingAuthenticationToken", "Missing Authentication Token")


def throttled() -> ApiError:
    return ApiError(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response with a new request id."""
    all_headers = {"x-amzn-RequestId": str(uuid.uuid4()), **(headers or {})}
    return Response(msgspec.json.encode(body), status, all_headers, "application/json")


def error_response(error: ApiError) -> Response:
    body = {"code": error.code, "message": error.message, "details": error.details}
    headers = {"x-amzn-ErrorType": f"{error.code}Exception"}
    return json_response({"errors": [body]}, error.status, headers)


def add_rate_limit_header(response: Response, rate: float, speed: float = 1.0) -> None:
    """Add the rate where Amazon does. A sandbox that is faster or slower than Amazon also reports
    its speed, for which Amazon has no header."""
    if speed != 1.0:
        response.headers["x-sandbox-speed"] = f"{speed:g}"
    if response.status_code in _STATUSES_WITH_LIMIT:
        response.headers["x-amzn-RateLimit-Limit"] = f"{rate:.6f}".rstrip("0").rstrip(".")
