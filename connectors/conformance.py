"""How a connector is tested: the `CASE` in the module `conformance` of its package, and `FakeApi`,
a source that is only an HTTP API.

Only these modules import this one. The tests open each case and check what holds for every
connector."""

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
"""An address at which nothing answers."""


class Stand(msgspec.Struct, frozen=True):
    """What the tests offer to a source."""

    #: The clock of the test. The connector has the same one: its pauses take no time.
    clock: Clock
    #: Serves an application on a loopback port, and yields its address.
    serve: Callable[[ASGIApp], AbstractAsyncContextManager[str]]
    #: The connector's sandbox, a package; None if it has none.
    sandbox: ModuleType | None = None


OpenSource = Callable[[Stand, bool], AbstractAsyncContextManager[Environ]]
"""Yields the environment of a connector whose source answers; if True, with exactly one record that
cannot be read. `FakeApi` is one."""


class ConnectorCase(msgspec.Struct, frozen=True, kw_only=True):
    """How a connector is tested."""

    #: A valid connection.
    connection: Connection
    #: One whose credentials were revoked.
    revoked: Connection
    #: Invalid ones, each with the name of the wrong field.
    wrong: Sequence[tuple[str, Connection]]
    source: OpenSource
    #: The environment while the source cannot be reached.
    down: Environ
    #: Datasets whose source returns some records twice: the later one replaces the earlier.
    repeating: Sequence[str] = ()
    #: A good connection that leaves a choice to the source; None if there is nothing to choose.
    undecided: Connection | None = None


def find_case(name: str) -> ConnectorCase:
    """The case of a connector. Raises LookupError, which says where it is missing."""
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
    """A source that is only an HTTP API: `respond` answers a request from the records.

    Beyond `calls` in `seconds`, by the clock of the test, it answers 429 with Retry-After."""

    #: The environment variable of the connector that holds the base address.
    variable: str
    #: The records at a time, by any names. The first one is what becomes unreadable.
    records: Callable[[datetime], Mapping[str, Sequence[Json]]]
    respond: Callable[[Request, Mapping[str, Sequence[Json]]], Response]
    #: What the first record becomes if it shall be unreadable.
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
