"""The webhooks of users. Only this module creates, changes, tests and replays them.

Secrets are encrypted at rest with the keys of the connections' credentials."""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from urllib.parse import urlsplit

import msgspec
from cryptography.fernet import InvalidToken, MultiFernet
from standardwebhooks.webhooks import Webhook
from uuid_utils import uuid7

from connectors.base import Clock
from service.credentials import decrypt, encrypt
from service.errors import (
    NotFound,
    OffsetGone,
    OperatorOnly,
    Overtaken,
    StartupError,
    TooManyWebhooks,
    WebhookDisabled,
)
from service.hooks.urls import check_url
from service.store.audit import note
from service.store.changes import ChangeStore, Position
from service.store.deliveries import DeliveryStore, StoredDelivery
from service.store.engine import Statement, stamp
from service.store.ids import new_id
from service.store.webhooks import StoredWebhook, WebhookStore
from service.users import Actor, AuditEntry
from service.wire.offsets import FIRST, from_token

MAX_OF_A_USER = 20
BOTH_SIGN = timedelta(hours=24)
"""How long the previous secret also signs after a rotation."""
SECRET_BYTES = 32
PREFIX = "whsec_"
TEST = "webhook.test"
OPERATOR = "operator"


class WebhookRequest(msgspec.Struct, frozen=True):
    """The webhook that a user wants to create."""

    url: str
    types: tuple[str, ...]
    description: str | None
    everybody: bool = False


class Webhooks:
    """The only way to change a webhook."""

    def __init__(
        self,
        store: WebhookStore,
        deliveries: DeliveryStore,
        changes: ChangeStore,
        epoch: int,
        keys: MultiFernet,
        clock: Clock,
        private: bool,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._changes = changes
        self._epoch = epoch
        self._keys = keys
        self._clock = clock
        self._private = private
        #: Called when there may be events to send.
        self.wake: Callable[[], None] = lambda: None

    # Endpoints --------------------------------------------------------------------------------

    async def create(self, actor: Actor, request: WebhookRequest) -> tuple[StoredWebhook, str]:
        """Create a webhook, which receives the events from now on. Also returns its secret.

        Raises Invalid, OperatorOnly or TooManyWebhooks."""
        check_url(request.url, self._private)
        if request.everybody and actor.role != OPERATOR:
            raise OperatorOnly
        begin = await self._changes.tail("events", None if request.everybody else actor.user)
        secret = _new_secret()
        webhook = StoredWebhook(
            id=f"wh_{uuid7().hex}",
            user_id=actor.user,
            tenant_id=actor.tenant,
            everybody=request.everybody,
            url=request.url,
            types=request.types,
            description=request.description,
            enabled=True,
            disabled_reason=None,
            created_at=self._clock.now(),
            secret=self._encrypted(secret),
            tx=begin.tx,
            seq=begin.seq,
        )
        entry = self._note(actor, webhook, "webhook_created")
        if not await self._store.add(webhook, MAX_OF_A_USER, entry):
            raise TooManyWebhooks
        return webhook, secret

    async def list(self, actor: Actor) -> Sequence[StoredWebhook]:
        return await self._store.list(actor.user)

    async def get(self, actor: Actor, webhook_id: str) -> StoredWebhook:
        """A webhook of the user. Raises NotFound, also for another user's webhook."""
        webhook = await self._store.one(webhook_id)
        if webhook is None or webhook.user_id != actor.user:
            raise NotFound(f"You have no webhook {webhook_id}. GET /api/webhooks lists yours.")
        return webhook

    async def change(self, actor: Actor, changed: StoredWebhook) -> StoredWebhook:
        """Store url, types, description and whether it is enabled. An enabled webhook continues
        where it was disabled."""
        check_url(changed.url, self._private)
        if changed.enabled:
            changed = msgspec.structs.replace(changed, disabled_reason=None)
        entry = self._note(actor, changed, "webhook_changed")
        if not await self._store.change(changed, entry):
            raise NotFound
        self.wake()
        return changed

    async def delete(self, actor: Actor, webhook_id: str) -> None:
        """Delete a webhook with its deliveries."""
        webhook = await self.get(actor, webhook_id)
        await self._store.delete(webhook.id, self._note(actor, webhook, "webhook_deleted"))

    async def rotate(self, actor: Actor, webhook_id: str) -> tuple[StoredWebhook, str]:
        """Replace the secret. The previous one also signs for BOTH_SIGN; older ones no longer
        do."""
        webhook = await self.get(actor, webhook_id)
        secret, until = _new_secret(), self._clock.now() + BOTH_SIGN
        entry = self._note(actor, webhook, "webhook_rotated")
        if not await self._store.rotate(webhook, self._encrypted(secret), until, entry):
            raise Overtaken("The secret was rotated or the webhook deleted meanwhile. Try again.")
        return webhook, secret

    # Deliveries -------------------------------------------------------------------------------

    async def test(self, actor: Actor, webhook_id: str) -> StoredDelivery:
        """Send an event of type `webhook.test`. Raises WebhookDisabled."""
        webhook = await self._enabled(actor, webhook_id)
        now = self._clock.now()
        delivery = StoredDelivery(
            id=new_id(now),
            webhook_id=webhook.id,
            event_id=f"test_{uuid7().hex}",
            type=TEST,
            sync_id="",
            connection_id="",
            tx=0,
            seq=0,
            at=now,
            body=event_body(TEST, stamp(now), msgspec.json.encode({"webhookId": webhook.id})),
        )
        await self._deliveries.add(delivery)
        self.wake()
        return delivery

    async def replay(self, actor: Actor, webhook_id: str, after: str) -> int:
        """Send the stored events after an offset of GET /api/events again; returns their number.

        Raises WebhookDisabled, MalformedOffset or OffsetGone."""
        webhook = await self._enabled(actor, webhook_id)
        position = await self._position(webhook, after)
        count = await self._store.count(webhook, position)
        await self._store.go_back(webhook, position)
        self.wake()
        return count

    async def _position(self, webhook: StoredWebhook, offset: str) -> Position:
        user = webhook.filters.get("user")
        trimmed = await self._changes.trimmed("events", user)
        if offset == FIRST:
            return trimmed
        position = from_token(self._epoch, offset)
        if position < trimmed:
            raise OffsetGone
        return position

    async def deliveries(
        self,
        actor: Actor,
        webhook_id: str,
        filters: Mapping[str, str],
        limit: int,
        before: str | None,
    ) -> Sequence[StoredDelivery]:
        """A page of the log, newest first."""
        webhook = await self.get(actor, webhook_id)
        return await self._deliveries.page(webhook.id, filters, limit, before)

    async def retry(self, actor: Actor, webhook_id: str, delivery_id: str) -> StoredDelivery:
        """Send a delivery now, whatever its status is. If it fails, its schedule starts again."""
        webhook = await self._enabled(actor, webhook_id)
        entry = self._note(actor, webhook, "webhook_retried", {"deliveryId": delivery_id})
        now = self._clock.now()
        if not await self._deliveries.retry(webhook.id, delivery_id, now, entry):
            raise NotFound(f"The webhook has no delivery {delivery_id}.")
        self.wake()
        delivery = await self._deliveries.one(webhook.id, delivery_id)
        if delivery is None:
            raise NotFound(f"The webhook has no delivery {delivery_id}.")
        return delivery

    async def _enabled(self, actor: Actor, webhook_id: str) -> StoredWebhook:
        webhook = await self.get(actor, webhook_id)
        if not webhook.enabled:
            raise WebhookDisabled
        return webhook

    # Secrets ----------------------------------------------------------------------------------

    def signature(self, webhook: StoredWebhook, event_id: str, at: datetime, body: str) -> str:
        """The `webhook-signature`, made with the secret and, until a day after a rotation, also
        with the previous one. Raises InvalidToken if SECRETS_KEYS lacks the key of a secret."""
        stored = [webhook.secret]
        if webhook.previous_secret and webhook.previous_until and at < webhook.previous_until:
            stored.append(webhook.previous_secret)
        secrets = [decrypt(self._keys, one)["secret"] for one in stored]
        # `sign` replaces the time zone: it must be UTC.
        return " ".join(Webhook(one).sign(event_id, at.astimezone(UTC), body) for one in secrets)

    async def rotate_keys(self) -> int:
        """Encrypt all secrets with the newest key; returns the number of webhooks. Raises
        StartupError, before anything is changed, if SECRETS_KEYS lacks a key that is in use."""
        stored = await self._store.every()
        try:
            rotated = [
                (
                    one,
                    encrypt(self._keys, decrypt(self._keys, one.secret)),
                    one.previous_secret
                    and encrypt(self._keys, decrypt(self._keys, one.previous_secret)),
                )
                for one in stored
            ]
        except InvalidToken as error:
            raise StartupError(
                "Some secrets of webhooks were encrypted with a key that SECRETS_KEYS does not "
                "contain. Give the new key first and all old ones after it."
            ) from error
        return sum([await self._store.encrypt_again(*one) for one in rotated])

    def _encrypted(self, secret: str) -> str:
        return encrypt(self._keys, {"secret": secret})

    def _note(
        self,
        actor: Actor,
        webhook: StoredWebhook,
        action: str,
        more: Mapping[str, object] | None = None,
    ) -> Statement:
        """The entry of the audit log. It contains only the host of the URL: the path may be a
        secret."""
        details = {"webhookId": webhook.id, "host": urlsplit(webhook.url).hostname}
        return note(
            AuditEntry(
                at=self._clock.now(),
                action=action,
                user=actor.user,
                tenant=actor.tenant,
                actor=actor.sub,
                address=actor.address,
                user_agent=actor.user_agent,
                details={**details, **(more or {})},
            )
        )


def event_body(kind: str, at: str, data: bytes) -> str:
    """The body that is sent for an event. `data` is JSON, `at` a stored time."""
    event = {"type": kind, "timestamp": f"{at[:23]}Z", "data": msgspec.Raw(data)}
    return msgspec.json.encode(event).decode()


def _new_secret() -> str:
    return PREFIX + base64.b64encode(token_bytes(SECRET_BYTES)).decode()
