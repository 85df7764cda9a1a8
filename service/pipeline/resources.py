"""The resources that all runs of this process share."""

from datetime import timedelta

import anyio
import msgspec

from connectors.base import Clock
from service.connections import Connections
from service.metrics import Metrics
from service.pipeline.pacing import Pacer
from service.registry import Registry
from service.sources import Sources
from service.store.claims import ClaimStore
from service.store.completeness import CompletenessStore
from service.store.dimensions import DimensionStore
from service.store.records import RecordStore
from service.store.removals import RemovalStore

#: Maximum changes of running syncs that are written at once. The requests of users (a start, a
#: cancel) must not queue behind the changes of a hundred syncs.
WRITING_AT_ONCE = 2
#: Maximum detections at once. They are CPU-bound and only one thread of Python runs at a time, but
#: a small detection must not wait until a large one has ended.
DETECTING_AT_ONCE = 4


class Resources(msgspec.Struct, frozen=True):
    """Stores, services and limits that a run uses."""

    registry: Registry
    connections: Connections
    records: RecordStore
    claims: ClaimStore
    removals: RemovalStore
    completeness: CompletenessStore
    dimensions: DimensionStore
    sources: Sources
    clock: Clock
    pacer: Pacer
    #: Seconds that one attempt may take.
    timeout: float
    #: How long a sync that is taken over repeatedly may make no progress.
    stall_timeout: timedelta
    #: Seconds for which a dataset that its source cannot deliver is retried.
    patience: float
    #: Records whose outcome is stored by default: `failed` or `all`.
    items: str = "failed"
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    writing: anyio.Semaphore = msgspec.field(
        default_factory=lambda: anyio.Semaphore(WRITING_AT_ONCE)
    )
    detecting: anyio.CapacityLimiter = msgspec.field(
        default_factory=lambda: anyio.CapacityLimiter(DETECTING_AT_ONCE)
    )
