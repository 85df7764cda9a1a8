"""Response shapes of webhooks and their deliveries."""

from collections.abc import Sequence
from typing import Annotated

from service.store.deliveries import StoredDelivery
from service.store.webhooks import ALL_TYPES, StoredWebhook
from service.wire.feed_shapes import EVENT_TYPES
from service.wire.fields import Count, Out, Time, one_of
from service.wire.offsets import before
from service.wire.serialize import shape_of

LATER = ("connection.stale", "recovery.found", "recovery.closing")
WEBHOOK_TYPES = (*sorted({*EVENT_TYPES, *LATER}), ALL_TYPES)
"""The types that a webhook may select."""


class WebhookOut(Out, frozen=True):
    """An endpoint to which events are sent."""

    id: str
    url: str
    #: Types of events; `*` for all.
    types: Sequence[str]
    description: str | None
    #: Whether it gets the events of all users.
    all: bool
    enabled: bool
    #: The reason why the service has disabled it.
    disabled_reason: str | None
    created_at: Time


class WebhookCreated(WebhookOut, frozen=True):
    """A webhook with its new secret, which is shown only once."""

    secret: str


class WebhooksOut(Out, frozen=True):
    """The user's webhooks, oldest first."""

    webhooks: Sequence[WebhookOut]


class DeliveryAttemptOut(Out, frozen=True):
    """One request to the receiver."""

    at: Time
    #: The status of the response; null without one.
    status: int | None
    #: The reason why it failed; null if the event was delivered.
    error: str | None
    ms: Count


class DeliveryOut(Out, frozen=True):
    """An event for a webhook, with its attempts."""

    id: str
    #: The `webhook-id` that the receiver gets.
    event_id: str
    #: The `after` of a replay that begins with this event; null for a test.
    replay_after: str | None
    type: str
    status: Annotated[str, one_of("pending", "delivered", "failed")]
    #: The last 50, oldest first.
    attempts: Sequence[DeliveryAttemptOut]
    #: Not before this time, and not before the earlier events of the same sync.
    next_attempt_at: Time | None


class DeliveriesOut(Out, frozen=True):
    """A page of deliveries, newest first."""

    deliveries: Sequence[DeliveryOut]
    next_cursor: str | None


class Replayed(Out, frozen=True):
    """The result of a replay."""

    #: The number of events that are sent again.
    events: Count


def webhook(stored: StoredWebhook) -> WebhookOut:
    return shape_of(WebhookOut, stored, all=stored.everybody)


def created(stored: StoredWebhook, secret: str) -> WebhookCreated:
    return shape_of(WebhookCreated, stored, all=stored.everybody, secret=secret)


def delivery(stored: StoredDelivery) -> DeliveryOut:
    attempts = [shape_of(DeliveryAttemptOut, attempt) for attempt in stored.attempts]
    return shape_of(DeliveryOut, stored, attempts=attempts, replay_after=before(stored.event_id))
