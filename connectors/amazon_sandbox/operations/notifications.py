"""Notifications v1: destinations of an application, and a seller's subscriptions."""

from typing import Annotated

import msgspec

from connectors.amazon_sandbox.answers import Refused, invalid
from connectors.amazon_sandbox.notices import Destination, Subscription, new_id
from connectors.amazon_sandbox.operations.call import Call

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


class _Resource(msgspec.Struct, rename="camel", omit_defaults=True):
    sqs: _Queue | None = None
    event_bridge: _Bridge | None = None


class _NewDestination(msgspec.Struct, rename="camel"):
    name: str
    resource_specification: _Resource


class _NewSubscription(msgspec.Struct, rename="camel"):
    payload_version: str
    destination_id: str


def create_destination(call: Call) -> object:
    wanted = call.decode(_NewDestination)
    resource = msgspec.to_builtins(wanted.resource_specification)
    if len(resource) != 1:
        raise invalid("Exactly one of sqs and eventBridge is required")
    if "eventBridge" in resource:
        resource["eventBridge"]["name"] = f"aws.partner/sellingpartnerapi.com/{call.client_id}"
    made = Destination(new_id(), call.client_id, wanted.name, resource)
    if any(each.name == made.name for each in _destinations(call)):
        raise Refused(409, "Conflict", "There is a destination of that name already.")
    call.notices.destinations[made.id] = made
    return {"payload": _destination(made)}


def get_destinations(call: Call) -> object:
    return {"payload": [_destination(each) for each in _destinations(call)]}


def get_destination(call: Call) -> object:
    return {"payload": _destination(_find_destination(call, call.path["destinationId"]))}


def delete_destination(call: Call) -> object:
    found = _find_destination(call, call.path["destinationId"])
    if any(each.destination == found.id for each in call.notices.subscriptions.values()):
        raise Refused(409, "Conflict", "The destination is in use by a subscription.")
    del call.notices.destinations[found.id]
    return {}


def create_subscription(call: Call) -> object:
    wanted, kind = call.decode(_NewSubscription), _kind(call)
    destination = _find_destination(call, wanted.destination_id)
    if _mine(call, kind):
        raise Refused(409, "Conflict", "There is a subscription of that type already.")
    made = Subscription(new_id(), _owner(call), kind, wanted.payload_version, destination.id)
    call.notices.subscriptions[made.id] = made
    return {"payload": _subscription(made)}


def get_subscription(call: Call) -> object:
    mine = _mine(call, _kind(call))
    if not mine:
        raise Refused(404, "NotFound", "There is no such subscription.")
    return {"payload": _subscription(mine[0])}


def get_subscription_by_id(call: Call) -> object:
    return {"payload": _subscription(_find_subscription(call))}


def delete_subscription_by_id(call: Call) -> object:
    """Of any seller: the application itself asks for it."""
    found = call.notices.subscriptions.get(call.path["subscriptionId"])
    if found is None or (found.owner[0], found.kind) != (call.client_id, _kind(call)):
        raise Refused(404, "NotFound", "There is no such subscription.")
    del call.notices.subscriptions[found.id]
    return {}


def _kind(call: Call) -> str:
    kind = call.path["notificationType"]
    if kind not in _KINDS:
        raise invalid(f"Invalid notificationType: {kind}")
    return kind


def _owner(call: Call) -> tuple[str, str]:
    return call.client_id, call.seller.root


def _destinations(call: Call) -> list[Destination]:
    every = call.notices.destinations.values()
    return [each for each in every if each.owner == call.client_id]


def _find_destination(call: Call, id: str) -> Destination:
    found = call.notices.destinations.get(id)
    if found is None or found.owner != call.client_id:
        raise Refused(404, "NotFound", "There is no such destination.")
    return found


def _mine(call: Call, kind: str) -> list[Subscription]:
    every = call.notices.subscriptions.values()
    return [each for each in every if each.owner == _owner(call) and each.kind == kind]


def _find_subscription(call: Call) -> Subscription:
    for each in _mine(call, _kind(call)):
        if each.id == call.path["subscriptionId"]:
            return each
    raise Refused(404, "NotFound", "There is no such subscription.")


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
