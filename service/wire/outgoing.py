"""The part of the OpenAPI document about what the service sends by itself: its webhooks."""

from collections.abc import Callable, Mapping
from typing import Any

from service.wire.contract import JSON
from service.wire.event_shapes import EVENT_DATA

Json = dict[str, Any]
Schema = Callable[[Any], Json]
"""Returns the schema of a shape, and adds referenced schemas to the components."""

#: The headers of Standard Webhooks 1.0.
HEADERS: Mapping[str, str] = {
    "webhook-id": "The id of the event, the same at each attempt.",
    "webhook-timestamp": "When this attempt was signed, in seconds since 1970.",
    "webhook-signature": "One or more signatures: `v1,…`, separated by spaces.",
}
RESPONSES: Mapping[str, str] = {
    "2XX": "The event is delivered.",
    "410": "The receiver no longer exists. The webhook is disabled.",
    "default": "The event is sent again later, at growing intervals.",
}


def webhooks(schema: Schema) -> Json:
    """The `webhooks` section: one request for each type of event."""
    return {kind: {"post": _webhook(kind, *EVENT_DATA[kind], schema)} for kind in EVENT_DATA}


def _webhook(kind: str, happened: str, data: Any, schema: Schema) -> Json:
    shape = {"type": "object"} if data is Any else schema(data)
    body = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": [kind]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": shape,
        },
        "required": ["type", "timestamp", "data"],
    }
    return {
        "operationId": "on" + "".join(word.title() for word in kind.split(".")),
        "tags": ["webhooks"],
        "summary": happened.rstrip("."),
        "description": "A signed request to the URL of a webhook (Standard Webhooks 1.0).",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in HEADERS.items()
        ],
        "requestBody": {"content": {JSON: {"schema": body}}, "required": True},
        "responses": {status: {"description": text} for status, text in RESPONSES.items()},
        "security": [],
    }
