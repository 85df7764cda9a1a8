"""What the endpoints work with; `app.py` puts it together."""

from typing import cast

import msgspec
from starlette.requests import HTTPConnection

from connectors.base import Clock
from service.api.auth import Authenticator, Identity
from service.api.door import IDENTITY
from service.api.hub import Hub
from service.api.rates import Rates
from service.api.wire import Encoder
from service.connections import Connections
from service.erasing import Erasing
from service.model import Actor
from service.registry import Registry
from service.sources import Sources
from service.store.audit import AuditLog
from service.store.records import Records
from service.store.recoveries import Recoveries
from service.store.store import Store


class Parts(msgspec.Struct, frozen=True):
    registry: Registry
    connections: Connections
    store: Store
    records: Records
    recoveries: Recoveries
    audit: AuditLog
    sources: Sources
    hub: Hub
    encoder: Encoder
    auth: Authenticator
    rates: Rates
    clock: Clock
    erasing: Erasing


def parts(request: HTTPConnection) -> Parts:
    return cast(Parts, request.app.state.parts)


def identity(request: HTTPConnection) -> Identity:
    """Who asks: the door has seen to that."""
    return cast(Identity, request.scope[IDENTITY])


def actor(request: HTTPConnection) -> Actor:
    return identity(request).actor
