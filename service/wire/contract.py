"""What a call takes and gives, beside its path: the table in `routes.py` is made of these."""

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

Endpoint = Callable[[Request], Awaitable[Response]]
Refusal = type[ServiceError]


class Call(msgspec.Struct, frozen=True):
    """A method of a path, who answers it, and what is promised of that.

    `query` and `body` are the shapes that its endpoint reads (a body that is `optional` may be
    missing), `headers` those that it minds. It answers with `status` and `gives` (a shape, as
    `media`; None is no body), or with one of `also`. `takes_too` and `gives_too` are other types of
    the same. `refuses` are its own refusals; the others follow from where it is and what it reads.
    """

    method: str
    path: str
    endpoint: Endpoint
    query: type[Query] | None = None
    body: Any = None
    optional: bool = False
    headers: Sequence[str] = ()
    status: int = 200
    gives: Any = None
    media: str = JSON
    also: Mapping[int, str] = {}
    takes_too: str | None = None
    gives_too: str | None = None
    tells: Sequence[str] = ()
    refuses: Sequence[Refusal] = ()

    @property
    def private(self) -> bool:
        return self.path.startswith("/api/")

    @property
    def words(self) -> Sequence[str]:
        """The parameters of its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def refusals(self) -> Sequence[Refusal]:
        """Every one that it can answer with, but for faults of ours."""
        found: list[Refusal] = [Forbidden, ShuttingDown]
        if self.private:
            found += [Unauthenticated, AuthUnavailable, TooManyRequests, StoreUnavailable]
        if self.words:
            found.append(NotFound)
        if self.query and self.media != EVENTS:
            found.append(Invalid)
        if self.body is not None:
            found += [InvalidJSON, BodyTooLarge, Invalid]
        return list(dict.fromkeys([*found, *self.refuses]))
