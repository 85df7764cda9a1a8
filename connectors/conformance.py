"""The test case of a connector: `CASE` in the module `conformance` of its package. `FakeApi` is a
source that is only an HTTP API.

Only these modules import this one. The tests open each case and check the requirements that every
connector must meet."""

import importlib
import importlib.util
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.base import Clock, Connection

Environ = Mapping[str, str]
Json = dict[str, Any]
UNREACHABLE = "http://127.0.0.1:1"
"""An address at which no server responds."""


class Stand(msgspec.Struct, frozen=True):
    """The test facilities that a source can use."""

    #: The clock of the test. The connector has the same one: its pauses take no time.
    clock: Clock
    #: Serves an application on a loopback port, and yields its address.
    serve: Callable[[ASGIApp], AbstractAsyncContextManager[str]]
    #: The connector's sandbox, a package; None if it has none.
    sandbox: ModuleType | None = None


OpenSource = Callable[[Stand, bool], AbstractAsyncContextManager[Environ]]
"""Opens a source and yields the environment of its connector. If the flag is True, exactly one
record cannot be read. `FakeApi` is one."""


class ConnectorCase(msgspec.Struct, frozen=True, kw_only=True):
    """The test case of a connector."""

    #: A valid connection.
    connection: Connection
    #: A connection whose credentials were revoked.
    revoked: Connection
    #: Invalid connections, each with the name of the wrong field.
    wrong: Sequence[tuple[str, Connection]]
    source: OpenSource
    #: An environment in which the source cannot be reached.
    down: Environ
    #: Datasets whose source returns some records twice: the later one replaces the earlier.
    repeating: Sequence[str] = ()
    #: A valid connection that leaves a choice to the source; None if there is no choice.
    undecided: Connection | None = None


def find_case(name: str) -> ConnectorCase:
    """The case of a connector. Raises LookupError with the file that must define it."""
    module = f"connectors.{name}.conformance"
    if importlib.util.find_spec(module) is None:
        raise LookupError(
            f"The tests need connectors/{name}/conformance.py with the CASE of {name}."
        )
    case = getattr(importlib.import_module(module), "CASE", None)
    if not isinstance(case, ConnectorCase):
        raise LookupError(f"connectors/{name}/conformance.py must define CASE, a ConnectorCase.")
    return case


class FakeApi(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is only an HTTP API: `respond` responds to a request from the records.

    After `calls` calls in `seconds`, by the clock of the test, it responds with 429 and
    Retry-After."""

    #: The connector's environment variable for the base address.
    variable: str
    #: Returns the records at a time, keyed by any name. The first is made unreadable.
    records: Callable[[datetime], Mapping[str, Sequence[Json]]]
    respond: Callable[[Request, Mapping[str, Sequence[Json]]], Response]
    #: Replaces the first record if it must be unreadable.
    unreadable: Any = {}
    calls: int = 5
    seconds: int = 60

    @asynccontextmanager
    async def __call__(self, stand: Stand, spoilt: bool) -> AsyncIterator[Environ]:
        records = self.records(stand.clock.now())
        if spoilt:
            name, items = next((name, items) for name, items in records.items() if items)
            records = {**records, name: [self.unreadable, *items[1:]]}
        recent: list[datetime] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            response = self._refusal(recent, stand.clock.now())
            response = response or self.respond(Request(scope, receive), records)
            await response(scope, receive, send)

        async with stand.serve(app) as address:
            yield {self.variable: address}

    def _refusal(self, recent: list[datetime], now: datetime) -> Response | None:
        """429 if the calls are used up, None after counting the call. `recent` are the times of
        counted calls."""
        span = timedelta(seconds=self.seconds)
        recent[:] = [time for time in recent if now - time < span]
        if len(recent) < self.calls:
            recent.append(now)
            return None
        left = math.ceil((recent[0] + span - now).total_seconds())
        return JSONResponse({"error": "Too many calls."}, 429, {"Retry-After": str(left)})
