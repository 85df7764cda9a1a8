"""The data of events: of the feed of events, and of webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.model import Fault, Kind, Trigger
from service.wire.fields import Amount, Count, Day, Ordinal, Out, Time
from service.wire.sync_shapes import ShownStatus


class SyncMoved(Out, frozen=True):
    """A sync that was started, was paused or has ended, as it was at that time."""

    sync_id: str
    connection_id: str
    connector: str
    status: ShownStatus
    trigger: Trigger
    kind: Kind
    attempt: Ordinal
    #: The version of the sync; larger versions are newer.
    version: Ordinal
    started_at: Time
    completed_at: Time | None
    records_processed: Count
    records_failed: Count
    claims_detected: Count | None
    warnings_count: Count
    error: Fault | None


class ConnectionLostData(Out, frozen=True):
    """A connection whose credentials the source refuses."""

    connection_id: str
    reason: str


class ConnectionStaleData(Out, frozen=True):
    """A connection without a complete sync for too long."""

    connection_id: str
    #: Null if no sync has completed.
    last_completed_at: Time | None
    stale_since: Time


class FoundTotal(Out, frozen=True):
    """The found claims of one currency."""

    currency: str | None
    claims: Count
    #: The number of the claims without an amount.
    unvalued: Count
    amount: Amount | None


class RecoveriesFound(Out, frozen=True):
    """The claims that a sync has found for the first time."""

    sync_id: str
    connection_id: str
    connector: str
    claims: Count
    totals: Sequence[FoundTotal]


class RecoveryClosing(Out, frozen=True):
    """A claim that closes soon."""

    recovery_id: str
    connection_id: str
    rule: str
    title: str
    units: int
    amount: Amount | None
    currency: str | None
    opens: Day
    closes: Day


#: The types of events, each with its description and the shape of its data. `Any` is an object.
EVENT_DATA: Mapping[str, tuple[str, Any]] = {
    "sync.started": ("A sync has been accepted.", SyncMoved),
    "sync.completed": ("A sync is complete.", SyncMoved),
    "sync.failed": ("A sync has failed.", SyncMoved),
    "sync.paused": ("A sync waits for its user.", SyncMoved),
    "sync.cancelled": ("A sync was cancelled.", SyncMoved),
    "connection.lost": ("The source refuses the credentials.", ConnectionLostData),
    "connection.stale": (
        "A connection has had no complete sync for too long.",
        ConnectionStaleData,
    ),
    "recovery.found": ("A sync has found claims; at most one event a sync.", RecoveriesFound),
    "recovery.closing": ("A claim closes within 7 days.", RecoveryClosing),
    "webhook.test": ("A test that the user of the webhook requested.", Any),
}


def data_schemas() -> Sequence[Mapping[str, str]]:
    """The schemas of the data of the events of a feed."""
    shapes = dict.fromkeys(shape for _, shape in EVENT_DATA.values() if shape is not Any)
    return [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in shapes]
