"""Response shapes of notifications of sources."""

from collections.abc import Sequence
from typing import Annotated

from service.wire.fields import Out, one_of


class NotificationOut(Out, frozen=True):
    """What becomes of a notification."""

    #: The source's id of the notification.
    id: str
    outcome: Annotated[str, one_of("accepted", "duplicate", "ignored")]
    #: Why it is ignored; else null.
    reason: str | None


class NotificationsOut(Out, frozen=True):
    """What becomes of the notifications of a request, in their order."""

    notifications: Sequence[NotificationOut]
