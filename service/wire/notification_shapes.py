"""Response shapes of notifications of sources."""

from collections.abc import Sequence
from typing import Annotated

from service.wire.fields import Out, one_of


class NotificationOut(Out, frozen=True):
    """The outcome of a notification."""

    #: The source's id of the notification.
    id: str
    outcome: Annotated[str, one_of("accepted", "duplicate", "ignored")]
    #: The reason why it is ignored; null otherwise.
    reason: str | None


class NotificationsOut(Out, frozen=True):
    """The outcomes of the notifications of a request, in their order."""

    notifications: Sequence[NotificationOut]
