"""The whole surface on one page: every call with its endpoint, its shapes and its refusals."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from service.api import (
    connections,
    connectors,
    costs,
    history,
    me,
    pages,
    recoveries,
    session,
    streams,
    syncs,
)
from service.api.parts import parts
from service.errors import (
    AlreadyConnected,
    AlreadyFinished,
    AlreadyRunning,
    ConnectionBusy,
    ConnectionRefused,
    ConnectorMisconfigured,
    KeyReused,
    LostConnection,
    NotConnected,
    NotFound,
    NotReady,
    OtherAccount,
    Overtaken,
    PlanLimit,
    SourceUnavailable,
    SyncAlreadyRunning,
    TooManySyncs,
)
from service.wire import openapi, responses, shapes
from service.wire.contract import CSV, EVENTS, Call, Endpoint

UNCHANGED = {304: "Unchanged since the version that is known."}
ENDED = {204: "It has ended, and the client knows how: there is no need to come back."}
START = (
    NotConnected,
    LostConnection,
    SyncAlreadyRunning,
    TooManySyncs,
    PlanLimit,
    KeyReused,
    Overtaken,
)
RESUME = (
    NotConnected,
    LostConnection,
    SyncAlreadyRunning,
    TooManySyncs,
    AlreadyRunning,
    AlreadyFinished,
    Overtaken,
)
ACCOUNT = (ConnectionRefused, SourceUnavailable, ConnectorMisconfigured)
CONNECT = (*ACCOUNT, AlreadyConnected)
RECONNECT = (*CONNECT, OtherAccount)


async def contract(request: Request) -> Response:
    """This document."""
    here = parts(request)
    sources = here.sources
    settings = tuple(sources.settings(name).struct for name in sources.names)
    return responses.JSON(
        _document(here.auth.demo, tuple(sources.names), tuple(sources.datasets), settings)
    )


@cache
def _document(
    demo: bool,
    connectors: Sequence[str],
    datasets: Sequence[str],
    settings: Sequence[type[msgspec.Struct]],
) -> bytes:
    """Made once: it is the same for everybody, and takes longer than any other answer."""
    names = {"connector": connectors, "dataset": datasets}
    return msgspec.json.encode(openapi.document(CALLS, demo, names, settings))


def start(path: str) -> Call:
    return Call(
        *("POST", path, syncs.start),
        body=syncs.StartIn,
        optional=True,
        headers=["Idempotency-Key"],
        status=202,
        gives=shapes.Started,
        tells=["Location"],
        refuses=START,
    )


# The most asked for come first: they are looked at in this order.
CALLS: Sequence[Call] = (
    Call(
        *("GET", "/api/sync/status/{sync_id}", syncs.status),
        headers=["If-None-Match"],
        gives=shapes.SyncStatus,
        also=UNCHANGED,
        tells=["ETag"],
    ),
    Call(
        *("GET", "/api/sse/sync-progress/{sync_id}", streams.sync_progress),
        query=streams.StreamQuery,
        headers=["Last-Event-ID"],
        gives=shapes.Event,
        media=EVENTS,
        also=ENDED,
    ),
    Call("GET", "/api/sse/syncs", streams.all_syncs, gives=shapes.Event, media=EVENTS),
    Call(
        *("POST", "/api/sse/ticket", streams.ticket),
        body=streams.TicketIn,
        gives=shapes.Ticket,
        refuses=[NotFound],
    ),
    start("/api/sync/start"),
    start("/api/sync/force"),
    Call(
        *("GET", "/api/sync/status", syncs.current),
        headers=["If-None-Match"],
        gives=shapes.SyncStatus,
        also=UNCHANGED,
        tells=["ETag"],
        refuses=[NotFound],
    ),
    Call(
        *("POST", "/api/sync/cancel/{sync_id}", syncs.cancel),
        gives=shapes.SyncStatus,
        refuses=[AlreadyFinished, Overtaken],
    ),
    Call(
        *("POST", "/api/sync/resume/{sync_id}", syncs.resume),
        status=202,
        gives=shapes.Started,
        tells=["Location"],
        refuses=RESUME,
    ),
    Call(
        *("GET", "/api/sync/history", history.history),
        query=history.HistoryQuery,
        gives=shapes.History,
    ),
    Call("GET", "/api/sync/history/{sync_id}", history.one, gives=shapes.WholeSync),
    Call(
        *("GET", "/api/sync/history/{sync_id}/items", history.items),
        query=history.ItemsQuery,
        gives=shapes.Items,
    ),
    Call("GET", "/api/audit", history.audit, query=history.AuditQuery, gives=shapes.Audit),
    Call(
        *("GET", "/api/data/{dataset}", history.data),
        query=history.DataQuery,
        gives=shapes.Records,
    ),
    Call("GET", "/api/connectors", connectors.list_all, gives=shapes.Connectors),
    Call("GET", "/api/connections", connections.list_all, gives=shapes.Connections),
    Call(
        *("POST", "/api/connections", connections.connect),
        body=connections.ConnectIn,
        status=201,
        gives=shapes.Connected,
        tells=["Location"],
        refuses=CONNECT,
    ),
    Call(
        *("GET", "/api/connections/{connector}/authorize", connections.authorize),
        query=connections.AuthorizeQuery,
        status=302,
        tells=["Location"],
        refuses=ACCOUNT,
    ),
    Call(
        *("GET", "/api/connections/{connector}/callback", connections.callback),
        query=connections.CallbackQuery,
        status=303,
        tells=["Location"],
        refuses=RECONNECT,
    ),
    Call("GET", "/api/connections/{connection_id}", connections.one, gives=shapes.Connection),
    Call(
        *("DELETE", "/api/connections/{connection_id}", connections.forget),
        query=connections.ForgetQuery,
        status=202,
        gives=shapes.Erasing,
        also={204: "Forgotten; with `data=erase` nothing of its data is left."},
        refuses=[ConnectionBusy],
    ),
    Call(
        *("POST", "/api/connections/{connection_id}/reconnect", connections.reconnect),
        body=connections.ReconnectIn,
        gives=shapes.Connected,
        refuses=RECONNECT,
    ),
    Call(
        *("PUT", "/api/connections/{connection_id}/schedule", connections.schedule),
        body=connections.ScheduleIn | None,
        gives=shapes.Connection,
    ),
    Call(
        *("GET", "/api/connections/{connection_id}/sync-status", connections.sync_status),
        gives=shapes.Freshness,
    ),
    Call(
        *("GET", "/api/recoveries", recoveries.list_all),
        query=recoveries.RecoveriesQuery,
        gives=shapes.Recoveries,
        gives_too=CSV,
    ),
    Call("GET", "/api/recoveries/{claim_id}", recoveries.one, gives=shapes.ProvenRecovery),
    Call(
        *("GET", "/api/costs", costs.list_all),
        query=costs.CostsQuery,
        gives=shapes.Costs,
        gives_too=CSV,
    ),
    Call(
        *("PUT", "/api/costs", costs.put),
        body=list[costs.CostIn],
        takes_too=CSV,
        gives=shapes.CostsTaken,
    ),
    Call("GET", "/api/me", me.me, gives=shapes.Me),
    Call("POST", "/api/session", session.begin, status=204),
    Call("DELETE", "/api/session", session.end, status=204),
    Call("GET", "/healthz", pages.healthz, gives=shapes.Health),
    Call("GET", "/readyz", pages.readyz, gives=shapes.Health, refuses=[NotReady]),
    Call("GET", "/openapi.json", contract, gives=dict[str, Any]),
)


def _routes(calls: Sequence[Call]) -> Iterator[Route]:
    """One route for all the methods of a path, so that a wrong one is told of each in `Allow`."""
    for path, group in groupby(calls, lambda call: call.path):
        yield _route(path, {call.method: call.endpoint for call in group})


def _route(path: str, endpoints: Mapping[str, Endpoint]) -> Route:
    async def chosen(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, chosen, methods=list(endpoints))


routes: list[BaseRoute] = [
    *_routes(CALLS),
    Route("/", pages.dashboard),
    Route("/docs", pages.docs),
    Mount("/web", pages.Files(directory=pages.WEB)),
]
