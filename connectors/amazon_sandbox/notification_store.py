"""Destinations and subscriptions of notifications. They are stored; nothing is ever sent."""

import uuid

import msgspec


class Destination(msgspec.Struct, frozen=True):
    id: str
    #: The application that created it.
    owner: str
    name: str
    resource: dict[str, dict[str, str]]


class Subscription(msgspec.Struct, frozen=True):
    id: str
    #: The application and the seller.
    owner: tuple[str, str]
    #: The notification type.
    kind: str
    version: str
    destination: str


class NotificationStore:
    def __init__(self) -> None:
        self.destinations: dict[str, Destination] = {}
        self.subscriptions: dict[str, Subscription] = {}


def new_id() -> str:
    return str(uuid.uuid4())
