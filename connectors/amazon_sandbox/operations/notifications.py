"""Notifications v1: an application's destinations, and a seller's subscriptions."""

from typing import Annotated

import msgspec

from connectors.amazon_sandbox.notification_store import Destination, Subscription, new_id
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.responses import ApiError, invalid

_KINDS = (
    "ANY_OFFER_CHANGED",
    "DATA_KIOSK_QUERY_PROCESSING_FINISHED",
    "FBA_INVENTORY_AVAILABILITY_CHANGES",
    "FEE_PROMOTION",
    "ITEM_INVENTORY_EVENT_CHANGE",
    "ORDER_CHANGE",
    "REPORT_PROCESSING_FINISHED",
    "TRANSACTION_UPDATE",
)


class _Queue(msgspec.Struct):
    arn: Annotated[str, msgspec.Meta(pattern=r"^arn:aws:sqs:\S+:\S+:\S+")]


class _Bridge(msgspec.Struct, rename="camel"):
    account_id: str
    region: str


class _ResourceSpecification(msgspec.Struct, rename="camel", omit_defaults=True):
    sqs: _Queue | None = None
    event_bridge: _Bridge | None = None


class _NewDestination(msgspec.Struct, rename="camel"):
    name: str
    resource_specification: _ResourceSpecification


class _NewSubscription(msgspec.Struct, rename="camel"):
    payload_version: str
    destination_id: str


def create_destination(call: Call) -> object:
    body = call.decode(_NewDestination)
    resource = msgspec.to_builtins(body.resource_specification)
    if len(resource) != 1:
        raise invalid("Exactly one of sqs and eventBridge is required")
    if "eventBridge" in resource:
        resource["eventBridge"]["name"] = f"aws.partner/sellingpartnerapi.com/{call.client_id}"
    destination = Destination(new_id(), call.client_id, body.name, resource)
    if any(existing.name == destination.name for existing in _destinations(call)):
        raise ApiError(409, "Conflict", "A destination of that name already exists.")
    call.notification_store.destinations[destination.id] = destination
    return {"payload": _destination(destination)}


def get_destinations(call: Call) -> object:
    return {"payload": [_destination(destination) for destination in _destinations(call)]}


def get_destination(call: Call) -> object:
    return {"payload": _destination(_find_destination(call, call.path["destinationId"]))}


def delete_destination(call: Call) -> object:
    destination = _find_destination(call, call.path["destinationId"])
    if any(
        subscription.destination == destination.id
        for subscription in call.notification_store.subscriptions.values()
    ):
        raise ApiError(409, "Conflict", "The destination is in use by a subscription.")
    del call.notification_store.destinations[destination.id]
    return {}


def create_subscription(call: Call) -> object:
    body, kind = call.decode(_NewSubscription), _kind(call)
    destination = _find_destination(call, body.destination_id)
    if _own_subscriptions(call, kind):
        raise ApiError(409, "Conflict", "A subscription of that type already exists.")
    subscription = Subscription(new_id(), _owner(call), kind, body.payload_version, destination.id)
    call.notification_store.subscriptions[subscription.id] = subscription
    return {"payload": _subscription(subscription)}


def get_subscription(call: Call) -> object:
    subscriptions = _own_subscriptions(call, _kind(call))
    if not subscriptions:
        raise ApiError(404, "NotFound", "Subscription not found.")
    return {"payload": _subscription(subscriptions[0])}


def get_subscription_by_id(call: Call) -> object:
    return {"payload": _subscription(_find_subscription(call))}


def delete_subscription_by_id(call: Call) -> object:
    """Delete a subscription of any seller: the call is made by the application itself."""
    subscription = call.notification_store.subscriptions.get(call.path["subscriptionId"])
    if subscription is None or (subscription.owner[0], subscription.kind) != (
        call.client_id,
        _kind(call),
    ):
        raise ApiError(404, "NotFound", "Subscription not found.")
    del call.notification_store.subscriptions[subscription.id]
    return {}


def _kind(call: Call) -> str:
    kind = call.path["notificationType"]
    if kind not in _KINDS:
        raise invalid(f"Invalid notificationType: {kind}")
    return kind


def _owner(call: Call) -> tuple[str, str]:
    return call.client_id, call.seller.root


def _destinations(call: Call) -> list[Destination]:
    destinations = call.notification_store.destinations.values()
    return [destination for destination in destinations if destination.owner == call.client_id]


def _find_destination(call: Call, id: str) -> Destination:
    destination = call.notification_store.destinations.get(id)
    if destination is None or destination.owner != call.client_id:
        raise ApiError(404, "NotFound", "Destination not found.")
    return destination


def _own_subscriptions(call: Call, kind: str) -> list[Subscription]:
    subscriptions = call.notification_store.subscriptions.values()
    return [
        subscription
        for subscription in subscriptions
        if subscription.owner == _owner(call) and subscription.kind == kind
    ]


def _find_subscription(call: Call) -> Subscription:
    for subscription in _own_subscriptions(call, _kind(call)):
        if subscription.id == call.path["subscriptionId"]:
            return subscription
    raise ApiError(404, "NotFound", "Subscription not found.")


def _destination(destination: Destination) -> object:
    return {
        "destinationId": destination.id,
        "name": destination.name,
        "resource": destination.resource,
    }


def _subscription(subscription: Subscription) -> object:
    return {
        "subscriptionId": subscription.id,
        "payloadVersion": subscription.version,
        "destinationId": subscription.destination,
    }


OPERATIONS = (
    ApiOperation(
        "createDestination",
        "POST",
        "/notifications/v1/destinations",
        1,
        5,
        create_destination,
        grantless=True,
    ),
    ApiOperation(
        "getDestinations",
        "GET",
        "/notifications/v1/destinations",
        1,
        5,
        get_destinations,
        grantless=True,
    ),
    ApiOperation(
        "getDestination",
        "GET",
        "/notifications/v1/destinations/{destinationId}",
        1,
        5,
        get_destination,
        grantless=True,
    ),
    ApiOperation(
        "deleteDestination",
        "DELETE",
        "/notifications/v1/destinations/{destinationId}",
        1,
        5,
        delete_destination,
        grantless=True,
    ),
    ApiOperation(
        "createSubscription",
        "POST",
        "/notifications/v1/subscriptions/{notificationType}",
        1,
        5,
        create_subscription,
    ),
    ApiOperation(
        "getSubscription",
        "GET",
        "/notifications/v1/subscriptions/{notificationType}",
        1,
        5,
        get_subscription,
    ),
    ApiOperation(
        "getSubscriptionById",
        "GET",
        "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
        1,
        5,
        get_subscription_by_id,
    ),
    ApiOperation(
        "deleteSubscriptionById",
        "DELETE",
        "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
        1,
        5,
        delete_subscription_by_id,
        grantless=True,
    ),
)
