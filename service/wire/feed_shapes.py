"""Response shapes of the feeds."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.store.changes import EVENTS, OTHER_EVENTS
from service.wire.event_shapes import data_schemas
from service.wire.fields import Out, Time, one_of
from service.wire.record_shapes import RecordOut

_DATA = {"anyOf": data_schemas()}
_ENTRIES = [
    {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
    for name in ("Change", "FeedEvent")
]
_CONTROL = {
    "type": "object",
    "properties": {
        "streamNextOffset": {"type": "string"},
        "streamCursor": {"type": "string"},
        "upToDate": {"type": "boolean"},
    },
    "required": ["streamNextOffset", "streamCursor"],
}
_BLOCK = {
    "contentMediaType": "application/json",
    "contentSchema": {"anyOf": [*_ENTRIES, _CONTROL]},
}
EVENT_TYPES = tuple(sorted({*EVENTS.values(), *OTHER_EVENTS}))


class Change(Out, frozen=True):
    """A record that was created, updated or deleted."""

    #: The same in every delivery of the change.
    id: str
    connector: str
    connection_id: str
    tenant: str
    #: The `sub` of the user.
    user: str
    dataset: str
    op: Annotated[str, one_of("created", "updated", "deleted")]
    record_id: str
    sync_id: str
    #: Whether the sync reads a period for the first time. Fixed at its start.
    is_historical_sync: bool
    #: The source's time of the record; null if it has none.
    original_at: Time | None
    #: When the change was stored.
    at: Time
    #: With `expand=record`: the record as it is now; null if it no longer exists.
    record: RecordOut | msgspec.UnsetType | None = msgspec.UNSET


class FeedEvent(Out, frozen=True):
    """An event of a sync, a connection or a claim."""

    #: The same in every delivery of the event.
    id: str
    type: Annotated[str, one_of(*EVENT_TYPES)]
    timestamp: Time
    data: Annotated[Any, Meta(extra_json_schema=_DATA)]


class FeedBlock(Out, frozen=True):
    """A block of a feed's event stream: entries (`data`), then the offset after them
    (`control`)."""

    event: Annotated[str, one_of("data", "control")]
    data: Annotated[str, Meta(extra_json_schema=_BLOCK)]
