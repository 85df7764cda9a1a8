"""Destinations of notifications, and subscriptions to them: kept, but nothing is ever sent."""

import uuid

import msgspec


class Destination(msgspec.Struct, frozen=True):
    """`owner` is the application that made it."""

    id: str
    owner: str
    name: str
    resource: dict[str, dict[str, str]]


class Subscription(msgspec.Struct, frozen=True):
    """One seller's, by one application, to one kind of notification."""

    id: str
    owner: tuple[str, str]
    kind: str
    version: str
    destination: str


class Notices:
    """All of them."""

    def __init__(self) -> None:
        self.destinations: dict[str, Destination] = {}
        self.subscriptions: dict[str, Subscription] = {}


def new_id() -> str:
    return str(uuid.uuid4())
