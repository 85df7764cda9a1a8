"""The endpoint for operators: the processes, and the syncs of all tenants."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import Parts, actor, parts
from service.errors import OperatorOnly
from service.model import Status
from service.operations import LiveSync, Overview
from service.store.nodes import Node
from service.store.relay import RelayState
from service.users import sub_of
from service.wire import operations_shapes as shapes
from service.wire import responses
from service.wire.serialize import time

OPERATOR = "operator"
NOT_YOURS = "Only an operator may read this. Use a token with the role `operator`."


async def operations(request: Request) -> Response:
    """Get the running, waiting and late work of all tenants. For operators. The figures of other
    nodes are up to two seconds old; a node that was killed is listed for another minute."""
    if actor(request).role != OPERATOR:
        raise OperatorOnly(NOT_YOURS)
    here = parts(request)
    relay = await here.relay.state(here.clock.now())
    return responses.JSON(_shown(await here.operations.overview(), relay, here))


def _time(moment: datetime | None) -> str | None:
    return time(moment) if moment else None


def _shown(overview: Overview, relay: RelayState | None, here: Parts) -> shapes.OperationsOut:
    return shapes.OperationsOut(
        nodes=[_node(node) for node in overview.nodes],
        syncs=[_sync(live) for live in overview.syncs],
        waiting=overview.waiting,
        oldest_waiting_seconds=overview.oldest_waiting,
        quotas=[
            shapes.QuotaOut(operation=of.operation, waiting=of.waiting, until=time(of.until))
            for of in overview.quotas
        ],
        outbox_lag_seconds=overview.outbox_lag,
        webhook_lag_seconds=overview.webhook_lag,
        relay=shapes.RelayOut(node=relay.node, lag_seconds=relay.lag_seconds) if relay else None,
    )


def _node(node: Node) -> shapes.NodeOut:
    return shapes.NodeOut(
        id=node.id,
        role=node.role,
        started_at=time(node.started_at),
        last_seen_at=time(node.seen_at),
        running=node.running,
        slots=node.slots,
        streams=node.streams,
    )


def _sync(live: LiveSync) -> shapes.OperatedSync:
    sync = live.sync
    return shapes.OperatedSync(
        sync_id=sync.id,
        tenant=sync.tenant,
        user=sub_of(sync.user),
        # As in the status that users see: it waits in the stage `queued`.
        status=(Status.IN_PROGRESS if sync.status is Status.PENDING else sync.status).value,
        stage=sync.stage.value,
        owner=live.owner,
        owned_since=_time(live.owned_since),
        takeovers=sync.takeovers,
        started_at=time(sync.started_at),
        checkpoint_at=_time(sync.checkpoint_at),
        waiting_until=_time(sync.waiting_until),
        stuck=live.stuck,
    )
