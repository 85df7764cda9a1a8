"""Webhooks: the endpoints to which events are sent, and the log of deliveries."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from service.api.connections import CONTROL
from service.api.parts import actor, parts
from service.errors import (
    Invalid,
    MalformedOffset,
    OffsetGone,
    OperatorOnly,
    Overtaken,
    TooManyWebhooks,
    WebhookDisabled,
)
from service.hooks.webhooks import WebhookRequest
from service.wire import responses, webhook_shapes
from service.wire.contract import Call
from service.wire.paging import Paged
from service.wire.reading import In, read_body, read_query
from service.wire.webhook_shapes import WEBHOOK_TYPES

MAX_TYPES = 50
Types = Annotated[list[str], Meta(min_length=1, max_length=MAX_TYPES)]
Description = Annotated[str, Meta(max_length=200)]


class WebhookIn(In, frozen=True):
    """A new webhook."""

    url: str
    #: Types of events, or `*` for all.
    types: Types
    description: Description | None = None
    #: `true`: the events of all users; for operators.
    all: bool = False


class WebhookChangeIn(In, frozen=True):
    """The changes of a webhook."""

    url: str | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    #: `false` stops deliveries. With `true`, they continue where they stopped.
    enabled: bool | UnsetType = UNSET


class ReplayIn(In, frozen=True):
    """The events to send again."""

    #: The `id` of the event before them, another offset of GET /api/events, or `-1` for all stored
    #: events.
    after: str


class DeliveriesQuery(Paged, frozen=True):
    """Filters and page of the deliveries."""

    status: Literal["", "pending", "delivered", "failed"] = ""
    type: str = ""
    event_id: str = ""


async def create(request: Request) -> Response:
    """Create a webhook. The response shows its secret, which signs the deliveries."""
    body = await read_body(request, WebhookIn)
    wanted = WebhookRequest(body.url, _types(body.types), _description(body.description), body.all)
    stored, secret = await parts(request).webhooks.create(actor(request), wanted)
    headers = {"Location": f"/api/webhooks/{stored.id}"}
    answer = webhook_shapes.created(stored, secret)
    return responses.JSON(answer, status_code=201, headers=headers)


async def list_all(request: Request) -> Response:
    """List the user's webhooks."""
    stored = await parts(request).webhooks.list(actor(request))
    shown = [webhook_shapes.webhook(one) for one in stored]
    return responses.JSON(webhook_shapes.WebhooksOut(webhooks=shown))


async def one(request: Request) -> Response:
    """Get a webhook."""
    stored = await parts(request).webhooks.get(actor(request), _id(request))
    return responses.JSON(webhook_shapes.webhook(stored))


async def change(request: Request) -> Response:
    """Change a webhook. Fields that the body leaves out stay unchanged."""
    stored = await parts(request).webhooks.get(actor(request), _id(request))
    body = await read_body(request, WebhookChangeIn)
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    if "types" in changes:
        changes["types"] = _types(changes["types"])
    if "description" in changes:
        changes["description"] = _description(changes["description"])
    changed = msgspec.structs.replace(stored, **changes)
    stored = await parts(request).webhooks.change(actor(request), changed)
    return responses.JSON(webhook_shapes.webhook(stored))


async def delete(request: Request) -> Response:
    """Delete a webhook with its deliveries. Nothing further is sent to it."""
    await parts(request).webhooks.delete(actor(request), _id(request))
    return Response(status_code=204)


async def rotate(request: Request) -> Response:
    """Replace the secret of a webhook. The previous secret also signs for 24 hours."""
    stored, secret = await parts(request).webhooks.rotate(actor(request), _id(request))
    return responses.JSON(webhook_shapes.created(stored, secret))


async def test(request: Request) -> Response:
    """Send an event of type `webhook.test` to a webhook."""
    delivery = await parts(request).webhooks.test(actor(request), _id(request))
    return responses.JSON(webhook_shapes.delivery(delivery), status_code=202)


async def replay(request: Request) -> Response:
    """Send the events after an offset again, with the same ids."""
    await parts(request).webhooks.get(actor(request), _id(request))
    body = await read_body(request, ReplayIn)
    count = await parts(request).webhooks.replay(actor(request), _id(request), body.after)
    return responses.JSON(webhook_shapes.Replayed(events=count), status_code=202)


async def deliveries(request: Request) -> Response:
    """List past and pending deliveries, newest first, with every attempt of the last 30 days."""
    webhook_id = _id(request)
    await parts(request).webhooks.get(actor(request), webhook_id)
    query = read_query(request, DeliveriesQuery)
    page = query.page(f"deliveries {webhook_id}")
    filters = {"status": query.status, "type": query.type, "event": query.event_id}
    found = await parts(request).webhooks.deliveries(
        actor(request),
        webhook_id,
        {name: value for name, value in filters.items() if value},
        page.read_limit,
        page.after[0] if page.after else None,
    )
    rows, cursor = page.cut(found, lambda delivery: (delivery.id,))
    shown = [webhook_shapes.delivery(row) for row in rows]
    return responses.JSON(webhook_shapes.DeliveriesOut(deliveries=shown, next_cursor=cursor))


async def retry(request: Request) -> Response:
    """Send a delivery again now, also a delivered one. If it fails, its schedule begins again."""
    delivery_id = request.path_params["delivery_id"]
    webhooks = parts(request).webhooks
    delivery = await webhooks.retry(actor(request), _id(request), delivery_id)
    return responses.JSON(webhook_shapes.delivery(delivery), status_code=202)


def _id(request: Request) -> str:
    webhook_id: str = request.path_params["webhook_id"]
    return webhook_id


def _types(given: list[str]) -> tuple[str, ...]:
    """The types without duplicates. Raises Invalid for an unknown one."""
    for kind in given:
        if kind not in WEBHOOK_TYPES:
            raise Invalid.field("types", f"Must be of {', '.join(WEBHOOK_TYPES)}.")
    return tuple(dict.fromkeys(given))


def _description(given: str | None) -> str | None:
    if given is not None and CONTROL.search(given):
        raise Invalid.field("description", "Must not have control characters.")
    return given


CALLS: Sequence[Call] = (
    Call("GET", "/api/webhooks", list_all, response=webhook_shapes.WebhooksOut),
    Call(
        *("POST", "/api/webhooks", create),
        body=WebhookIn,
        status=201,
        response=webhook_shapes.WebhookCreated,
        response_headers=["Location"],
        errors=[OperatorOnly, TooManyWebhooks],
    ),
    Call("GET", "/api/webhooks/{webhook_id}", one, response=webhook_shapes.WebhookOut),
    Call(
        *("PATCH", "/api/webhooks/{webhook_id}", change),
        body=WebhookChangeIn,
        response=webhook_shapes.WebhookOut,
    ),
    Call("DELETE", "/api/webhooks/{webhook_id}", delete, status=204),
    Call(
        *("POST", "/api/webhooks/{webhook_id}/rotate", rotate),
        response=webhook_shapes.WebhookCreated,
        errors=[Overtaken],
    ),
    Call(
        *("POST", "/api/webhooks/{webhook_id}/test", test),
        status=202,
        response=webhook_shapes.DeliveryOut,
        errors=[WebhookDisabled],
    ),
    Call(
        *("POST", "/api/webhooks/{webhook_id}/replay", replay),
        body=ReplayIn,
        status=202,
        response=webhook_shapes.Replayed,
        errors=[WebhookDisabled, MalformedOffset, OffsetGone],
    ),
    Call(
        *("GET", "/api/webhooks/{webhook_id}/deliveries", deliveries),
        query=DeliveriesQuery,
        response=webhook_shapes.DeliveriesOut,
    ),
    Call(
        *("POST", "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry", retry),
        status=202,
        response=webhook_shapes.DeliveryOut,
        errors=[WebhookDisabled],
    ),
)
