"""The description of a call: what it accepts and returns. `service/api/routes.py` has the table of
all calls."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.errors import (
    AuthUnavailable,
    BodyTooLarge,
    Forbidden,
    Invalid,
    InvalidJSON,
    NotFound,
    ServiceError,
    ShuttingDown,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from service.wire.reading import Query

JSON = "application/json"
EVENTS = "text/event-stream"
CSV = "text/csv"

PRIVATE = ("/api/", "/ws/")
"""The prefixes of the paths whose responses are for one caller."""
SIGNED = "/api/notifications/"
"""The prefix of the paths that require a signature of the body instead of an identity."""


def requires_identity(path: str) -> bool:
    return path.startswith(PRIVATE) and not path.startswith(SIGNED)


Endpoint = Callable[[Request], Awaitable[Response]]
ErrorType = type[ServiceError]


class Call(msgspec.Struct, frozen=True):
    """A method and path, its endpoint, and the documented requests and responses."""

    method: str
    path: str
    endpoint: Endpoint
    #: The shape of the query parameters.
    query: type[Query] | None = None
    #: The shape of the request body; None for no body.
    body: Any = None
    #: Whether the request body may be missing.
    body_optional: bool = False
    #: A media type besides JSON that the request body may have.
    also_accepts: str | None = None
    #: The request headers that the endpoint reads.
    request_headers: Sequence[str] = ()
    #: The status of a successful response.
    status: int = 200
    #: The shape of its body; None for no body.
    response: Any = None
    media_type: str = JSON
    #: A media type besides `media_type` that the client may request, or several.
    also_returns: str | Sequence[str] | None = None
    #: The shape of an event, if the client may request an event stream instead.
    events: Any = None
    response_headers: Sequence[str] = ()
    #: The other statuses of a successful response, and what they mean.
    other_statuses: Mapping[int, str] = {}
    #: The shapes of their bodies; without one, they have no body.
    other_responses: Mapping[int, Any] = {}
    #: The errors of this endpoint. Others follow from the path, the query and the body.
    errors: Sequence[ErrorType] = ()

    @property
    def private(self) -> bool:
        return requires_identity(self.path)

    @property
    def path_parameters(self) -> Sequence[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def all_errors(self) -> Sequence[ErrorType]:
        """Every documented error of the call. Internal errors are not documented."""
        errors: list[ErrorType] = [Forbidden, ShuttingDown]
        if self.private:
            errors += [Unauthenticated, AuthUnavailable, TooManyRequests, StoreUnavailable]
        if self.path_parameters:
            errors.append(NotFound)
        if self.query and self.media_type != EVENTS and self.status != 101:
            errors.append(Invalid)
        if self.body is not None:
            errors += [InvalidJSON, BodyTooLarge, Invalid]
        return list(dict.fromkeys([*errors, *self.errors]))
