"""The table of calls: path, endpoint, shapes and errors of each, and the routes built from it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute, compile_path

from service.api import (
    connections,
    connectors,
    consent,
    costs,
    dimensions,
    feeds,
    freshness,
    history,
    me,
    metrics,
    notifications,
    operations,
    pages,
    records,
    recoveries,
    removals,
    schedules,
    session,
    streams,
    syncs,
    webhooks,
)
from service.api.parts import parts
from service.errors import (
    AlreadyConnected,
    AlreadyFinished,
    AlreadyRunning,
    ConnectionBusy,
    ConnectionRefused,
    ConnectorMisconfigured,
    DownloadsBusy,
    KeyReused,
    LostConnection,
    MalformedOffset,
    NotConnected,
    NotFound,
    NotReady,
    OffsetGone,
    OffsetMissing,
    OperatorOnly,
    OtherAccount,
    Overtaken,
    PlanLimit,
    SourceUnavailable,
    StoreUnavailable,
    SyncAlreadyRunning,
    TooManyDownloads,
    TooManySyncs,
    Unauthenticated,
    Unsigned,
    UpgradeRequired,
)
from service.wire import (
    connection_shapes,
    dimension_shapes,
    feed_shapes,
    notification_shapes,
    openapi,
    operations_shapes,
    record_shapes,
    responses,
    shapes,
    sync_shapes,
)
from service.wire.contract import CSV, EVENTS, Call, Endpoint
from service.wire.record_files import NDJSON

UNCHANGED = {304: "Unchanged: the ETag still matches."}
WAITED = {200: "With `Prefer: wait=N`: the sync has ended or paused."}
ENDED = {204: "The sync has ended and the client has seen its last event. Do not reconnect."}
FEED = {204: "A long-poll ended without a change.", **UNCHANGED}
FEED_HEADERS = ["Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Cursor", "ETag"]
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
    """Get this document."""
    demo, sources = parts(request).auth.demo, parts(request).sources
    settings = tuple(sources.settings(name).struct for name in sources.names)
    return responses.JSON(_document(demo, tuple(sources.names), tuple(sources.datasets), settings))


@cache
def _document(
    demo: bool,
    connectors: Sequence[str],
    datasets: Sequence[str],
    settings: Sequence[type[msgspec.Struct]],
) -> bytes:
    """The document. It is cached, since it is the same for all clients and slow to build."""
    names = {"connector": connectors, "dataset": datasets}
    return msgspec.json.encode(openapi.document(CALLS, demo, names, settings))


def start(path: str) -> Call:
    return Call(
        *("POST", path, syncs.start),
        body=syncs.StartIn,
        body_optional=True,
        request_headers=["Idempotency-Key", "Prefer"],
        status=202,
        response=sync_shapes.Started,
        other_statuses=WAITED,
        other_responses={200: sync_shapes.SyncStatus},
        response_headers=["Location", "Preference-Applied"],
        errors=START,
    )


# Routes are matched in this order, so the most frequent calls come first.
CALLS: Sequence[Call] = (
    Call(
        *("GET", "/api/sync/status/{sync_id}", syncs.status),
        request_headers=["If-None-Match", "Prefer"],
        response=sync_shapes.SyncStatus,
        other_statuses=UNCHANGED,
        response_headers=["ETag", "Preference-Applied"],
    ),
    Call(
        *("GET", "/api/sse/sync-progress/{sync_id}", streams.sync_progress),
        query=streams.StreamQuery,
        request_headers=["Last-Event-ID"],
        response=sync_shapes.Event,
        media_type=EVENTS,
        other_statuses=ENDED,
    ),
    Call(
        *("GET", "/ws/sync-progress/{sync_id}", streams.socket_only),
        query=streams.StreamQuery,
        status=101,
        errors=[UpgradeRequired],
    ),
    Call("GET", "/api/sse/syncs", streams.all_syncs, response=sync_shapes.Event, media_type=EVENTS),
    Call(
        *("POST", "/api/sse/ticket", streams.ticket),
        body=streams.TicketIn,
        response=sync_shapes.TicketOut,
        errors=[NotFound],
    ),
    start("/api/sync/start"),
    start("/api/sync/force"),
    Call(
        *("GET", "/api/sync/status", syncs.current),
        request_headers=["If-None-Match"],
        response=sync_shapes.SyncStatus,
        other_statuses=UNCHANGED,
        response_headers=["ETag"],
        errors=[NotFound],
    ),
    Call(
        *("POST", "/api/sync/cancel/{sync_id}", syncs.cancel),
        response=sync_shapes.SyncStatus,
        errors=[AlreadyFinished, Overtaken],
    ),
    Call(
        *("POST", "/api/sync/resume/{sync_id}", syncs.resume),
        status=202,
        response=sync_shapes.Started,
        response_headers=["Location"],
        errors=RESUME,
    ),
    Call(
        *("GET", "/api/sync/history", history.history),
        query=history.HistoryQuery,
        response=sync_shapes.History,
    ),
    Call("GET", "/api/sync/history/{sync_id}", history.one, response=sync_shapes.WholeSync),
    Call(
        *("GET", "/api/sync/history/{sync_id}/items", history.items),
        query=history.ItemsQuery,
        response=sync_shapes.Items,
    ),
    Call("GET", "/api/audit", history.audit, query=history.AuditQuery, response=sync_shapes.Audit),
    Call("GET", "/api/data", records.counts, response=record_shapes.DatasetCounts),
    Call(
        *("GET", "/api/data/{dataset}", records.list_all),
        query=records.RecordsQuery,
        request_headers=["If-None-Match"],
        response=record_shapes.Records,
        also_returns=(NDJSON, CSV),
        other_statuses=UNCHANGED,
        response_headers=["ETag", "Content-Disposition"],
        errors=[TooManyDownloads, DownloadsBusy],
    ),
    Call(
        *("GET", "/api/data/{dataset}/{record_id}", records.one),
        query=records.RecordQuery,
        response=record_shapes.WholeRecord,
    ),
    Call(
        *("GET", "/api/changes", feeds.changes),
        query=feeds.ChangesQuery,
        request_headers=["If-None-Match"],
        response=list[feed_shapes.Change],
        events=feed_shapes.FeedBlock,
        other_statuses=FEED,
        response_headers=FEED_HEADERS,
        errors=[MalformedOffset, OffsetMissing, OperatorOnly, NotFound, OffsetGone],
    ),
    Call(
        *("GET", "/api/events", feeds.events),
        query=feeds.EventsQuery,
        request_headers=["If-None-Match"],
        response=list[feed_shapes.FeedEvent],
        events=feed_shapes.FeedBlock,
        other_statuses=FEED,
        response_headers=FEED_HEADERS,
        errors=[MalformedOffset, OffsetMissing, OperatorOnly, NotFound, OffsetGone],
    ),
    *webhooks.CALLS,
    Call("GET", "/api/connectors", connectors.list_all, response=shapes.Connectors),
    Call(
        "GET", "/api/connections", connections.list_all, response=connection_shapes.ConnectionsOut
    ),
    Call(
        *("POST", "/api/connections", connections.connect),
        body=connections.ConnectIn,
        status=201,
        response=connection_shapes.Connected,
        response_headers=["Location"],
        errors=CONNECT,
    ),
    Call(
        *("GET", "/api/connections/{connector}/authorize", consent.authorize),
        query=consent.AuthorizeQuery,
        status=302,
        response_headers=["Location"],
        errors=ACCOUNT,
    ),
    Call(
        *("GET", "/api/connections/{connector}/callback", consent.callback),
        query=consent.CallbackQuery,
        status=303,
        response_headers=["Location"],
    ),
    Call(
        *("POST", "/api/notifications/{connector}", notifications.receive),
        body=dict[str, Any],
        request_headers=[notifications.SIGNATURE],
        status=202,
        response=notification_shapes.NotificationsOut,
        errors=[Unsigned, StoreUnavailable],
    ),
    Call(
        *("GET", "/api/connections/{connection_id}", connections.one),
        response=connection_shapes.Connection,
    ),
    Call(
        *("PATCH", "/api/connections/{connection_id}", connections.rename),
        body=connections.RenameIn,
        response=connection_shapes.Connection,
    ),
    Call(
        *("DELETE", "/api/connections/{connection_id}", connections.forget),
        query=connections.ForgetQuery,
        status=202,
        response=connection_shapes.ErasingOut,
        other_statuses={204: "Forgotten. With `data=erase`, its data has been erased."},
        errors=[ConnectionBusy],
    ),
    Call(
        *("POST", "/api/connections/{connection_id}/reconnect", connections.reconnect),
        body=connections.ReconnectIn,
        response=connection_shapes.Connected,
        errors=RECONNECT,
    ),
    Call(
        *("PUT", "/api/connections/{connection_id}/schedule", connections.schedule),
        body=connections.ScheduleIn | None,
        response=connection_shapes.Connection,
    ),
    Call(
        *("GET", "/api/schedules/preview", schedules.preview),
        query=schedules.PreviewQuery,
        response=connection_shapes.SchedulePreview,
    ),
    Call(
        *("GET", "/api/connections/{connection_id}/estimate", connections.estimate),
        query=connections.EstimateQuery,
        response=connection_shapes.Estimate,
        errors=[PlanLimit],
    ),
    Call(
        *("GET", "/api/connections/{connection_id}/sync-status", freshness.sync_status),
        response=connection_shapes.Freshness,
    ),
    Call(
        *("GET", "/api/recoveries", recoveries.list_all),
        query=recoveries.RecoveriesQuery,
        response=shapes.Recoveries,
        also_returns=CSV,
    ),
    Call(
        *("GET", "/api/recoveries/series", recoveries.series),
        query=recoveries.SeriesQuery,
        response=shapes.RecoverySeries,
    ),
    Call("GET", "/api/recoveries/{claim_id}", recoveries.one, response=shapes.ProvenRecovery),
    Call(
        *("GET", "/api/costs", costs.list_all),
        query=costs.CostsQuery,
        response=shapes.Costs,
        also_returns=CSV,
    ),
    Call(
        *("PUT", "/api/costs", costs.put),
        body=list[costs.CostIn],
        also_accepts=CSV,
        response=shapes.CostsTaken,
    ),
    Call(
        *("GET", "/api/dimensions", dimensions.list_all),
        query=dimensions.DimensionsQuery,
        response=dimension_shapes.DimensionsPage,
        also_returns=CSV,
    ),
    Call(
        *("PUT", "/api/dimensions", dimensions.put),
        body=list[dimensions.DimensionsIn],
        also_accepts=CSV,
        response=dimension_shapes.DimensionsTaken,
    ),
    Call(
        *("GET", "/api/removals/received", removals.list_all),
        query=removals.ReceivedQuery,
        response=shapes.RemovalsReceived,
        also_returns=CSV,
    ),
    Call(
        *("PUT", "/api/removals/received", removals.put),
        body=list[removals.ReceivedIn],
        also_accepts=CSV,
        response=shapes.RemovalsTaken,
    ),
    Call("GET", "/api/me", me.me, response=shapes.Me),
    Call("POST", "/api/session", session.begin, status=204),
    Call("DELETE", "/api/session", session.end, status=204),
    Call(
        *("GET", "/api/operations", operations.operations),
        response=operations_shapes.OperationsOut,
        errors=[OperatorOnly],
    ),
    Call("GET", "/healthz", pages.healthz, response=shapes.Health),
    Call("GET", "/readyz", pages.readyz, response=shapes.Health, errors=[NotReady]),
    Call(
        *("GET", "/metrics", metrics.metrics),
        response=str,
        media_type="text/plain",
        also_returns="application/openmetrics-text",
        errors=[Unauthenticated],
    ),
    Call("GET", "/openapi.json", contract, response=dict[str, Any]),
)


def _routes(calls: Sequence[Call]) -> Iterator[Route]:
    """One route for all methods of a path, so that `Allow` lists every one of them."""
    for path, group in groupby(calls, lambda call: call.path):
        yield _route(path, {call.method: call.endpoint for call in group})


def _route(path: str, endpoints: Mapping[str, Endpoint]) -> Route:
    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    route = Route(path, endpoint, methods=list(endpoints))
    if path.endswith("{record_id}"):  # the id of a record may contain slashes and line breaks
        pattern, *_ = compile_path(path.replace("{record_id}", "{record_id:path}"))
        route.path_regex = re.compile(pattern.pattern, re.DOTALL)
    return route


routes: list[BaseRoute] = [
    WebSocketRoute("/ws/sync-progress/{sync_id}", streams.Socket(streams.sync_progress_socket)),
    WebSocketRoute("/ws/{path:path}", streams.Socket(streams.unknown_socket)),
    *_routes(CALLS),
    Route("/", pages.dashboard),
    Route("/docs", pages.docs),
    Mount("/web", pages.Files(directory=pages.WEB)),
]
_SHOWN = ("/healthz", "/readyz", "/metrics")
OF_WORKERS = [*_routes([call for call in CALLS if call.path in _SHOWN])]
"""The routes of a process without an API."""
