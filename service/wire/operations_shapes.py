"""The response of `GET /api/operations`. Times are RFC 3339 in UTC."""

from collections.abc import Sequence

from service.wire.fields import Count, Out, Seconds, Time


class NodeOut(Out, frozen=True):
    """A process of the service."""

    id: str
    #: `all`, `web` or `worker`.
    role: str
    started_at: Time
    #: When it announced itself last.
    last_seen_at: Time
    #: Syncs that it runs.
    running: Count
    #: Maximum syncs that it runs at once.
    slots: Count
    #: Its open streams.
    streams: Count


class OperatedSync(Out, frozen=True):
    """A sync of any tenant that waits or runs."""

    sync_id: str
    tenant: str
    user: str
    status: str
    stage: str
    #: The id of the node that runs it.
    owner: str | None
    owned_since: Time | None
    takeovers: Count
    started_at: Time
    checkpoint_at: Time | None
    waiting_until: Time | None
    #: No new page for 15 minutes beyond its planned wait.
    stuck: bool


class QuotaOut(Out, frozen=True):
    """An operation of a source whose quota is used up."""

    operation: str
    #: Datasets that wait for it.
    waiting: Count
    until: Time


class RelayOut(Out, frozen=True):
    """The process that publishes changes, and how late it is."""

    node: str
    lag_seconds: Seconds


class OperationsOut(Out, frozen=True):
    """The running, waiting and late work of all tenants."""

    nodes: Sequence[NodeOut]
    #: At most 1,000, oldest first.
    syncs: Sequence[OperatedSync]
    waiting: Count
    #: Null if none waits.
    oldest_waiting_seconds: Seconds | None
    quotas: Sequence[QuotaOut]
    outbox_lag_seconds: Seconds
    #: Null if no webhook waits.
    webhook_lag_seconds: Seconds | None
    #: Null if nothing is published.
    relay: RelayOut | None
