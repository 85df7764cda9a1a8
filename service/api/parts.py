"""The parts of the service that endpoints use. `app.py` creates them."""

from pathlib import Path
from typing import cast

import msgspec
from starlette.requests import HTTPConnection

from connectors.base import Clock
from service.connections import Connections
from service.consents import Consents
from service.edge.authentication import IDENTITY
from service.edge.authenticator import Authenticator, Identity
from service.edge.rates import Rates
from service.erasing import Erasing
from service.hooks.webhooks import Webhooks
from service.metrics import Metrics
from service.nodes import Nodes
from service.notifications import Notifications
from service.operations import Operations
from service.registry import Registry
from service.sources import Sources
from service.starting import Starter
from service.store.activity import ActivityStore
from service.store.audit import AuditStore
from service.store.changes import ChangeStore
from service.store.claims import ClaimStore
from service.store.completeness import CompletenessStore
from service.store.dimensions import DimensionStore
from service.store.records import RecordStore
from service.store.relay import RelayStore
from service.store.removals import RemovalStore
from service.store.syncs import SyncStore
from service.streams.downloads import Downloads
from service.streams.feeds import Feeds
from service.streams.hub import Hub
from service.users import Actor
from service.wire.serialize import Encoder


class Parts(msgspec.Struct, frozen=True):
    """The parts of the running service, shared by all requests."""

    registry: Registry
    starter: Starter
    connections: Connections
    consents: Consents
    store: SyncStore
    records: RecordStore
    activity: ActivityStore
    recoveries: ClaimStore
    removals: RemovalStore
    completeness: CompletenessStore
    dimensions: DimensionStore
    audit: AuditStore
    sources: Sources
    hub: Hub
    feeds: Feeds
    changes: ChangeStore
    #: The epoch of the offsets of feeds.
    epoch: int
    #: The turns of the relay to Redis: who publishes, and how late.
    relay: RelayStore
    downloads: Downloads
    encoder: Encoder
    auth: Authenticator
    rates: Rates
    clock: Clock
    erasing: Erasing
    notifications: Notifications
    webhooks: Webhooks
    metrics: Metrics
    operations: Operations
    nodes: Nodes
    #: The folder of an SQLite database; None for PostgreSQL.
    data_folder: Path | None
    metrics_token: str


def parts(request: HTTPConnection) -> Parts:
    return cast(Parts, request.app.state.parts)


def identity(request: HTTPConnection) -> Identity:
    """The identity that the authentication middleware determined."""
    return cast(Identity, request.scope[IDENTITY])


def actor(request: HTTPConnection) -> Actor:
    """The user who makes the request."""
    return identity(request).actor
