"""Errors of the service. The docstring of each class is its default message for the user."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ServiceError(Exception):
    """Something went wrong. Try again later."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str | None = None,
        *,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.detail = detail or self.default_text()
        self.more = more or {}
        self.headers = headers or {}
        self.errors = errors
        super().__init__(self.detail)

    @classmethod
    def default_text(cls) -> str:
        """The default message: the docstring on one line."""
        return " ".join((cls.__doc__ or "").split())


class StartupError(ServiceError):
    """The service cannot start. Check its settings."""


class BadRequest(ServiceError):
    """The request is not valid HTTP/1.1. Check the client that sent it."""

    status, code, title = 400, "bad_request", "Bad Request"


class HeadTooLarge(ServiceError):
    """The request line and the headers are too large. Send at most 64 KiB."""

    status, code, title = 431, "head_too_large", "Request Header Fields Too Large"


class RequestTimeout(ServiceError):
    """The request took too long to arrive. Send it again, without pauses."""

    status, code, title = 408, "request_timeout", "Request Timeout"


class InvalidJSON(ServiceError):
    """The body is not valid JSON. Send one JSON object, encoded as UTF-8."""

    status, code, title = 400, "invalid_json", "Invalid JSON"


class Unauthenticated(ServiceError):
    """Authentication is required. Send `Authorization: Bearer <token>` or the session cookie."""

    status, code, title = 401, "unauthenticated", "Not authenticated"


class Unsigned(ServiceError):
    """The signature is missing or wrong. Send `X-Signature: sha256=<hex>`, the HMAC-SHA256 of the
    body with NOTIFICATIONS_SECRET."""

    status, code, title = 401, "signature_invalid", "Signature invalid"


class AuthUnavailable(ServiceError):
    """The token cannot be verified: the keys of its issuer are unavailable. Try again soon."""

    status, code, title = 503, "auth_unavailable", "Authentication unavailable"


class Forbidden(ServiceError):
    """This request is not allowed. Check the origin and the credentials of the request."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(ServiceError):
    """Nothing exists at this path. Check the path and the ID in it."""

    status, code, title = 404, "not_found", "Not found"


class MalformedOffset(ServiceError):
    """The offset is not one of this feed. Use `-1`, `now`, or the `Stream-Next-Offset` of an
    earlier response."""

    status, code, title = 400, "malformed_offset", "Malformed offset"


class OffsetMissing(ServiceError):
    """A live read needs an offset. Use `-1`, `now`, or the `Stream-Next-Offset` of an earlier
    response."""

    status, code, title = 400, "offset_missing", "Offset missing"


class OffsetGone(ServiceError):
    """The entries after this offset have been deleted. Start again at `-1`, and read the missed
    records from GET /api/data."""

    status, code, title = 410, "offset_gone", "Offset gone"


class OperatorOnly(ServiceError):
    """Only an operator may read the data of all users. Leave `all` out, or use a token with the
    role `operator`."""

    status, code, title = 403, "operator_only", "Operator only"


class MethodNotAllowed(ServiceError):
    """This path does not support the method. Use a method from the Allow header."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class UpgradeRequired(ServiceError):
    """This path is a WebSocket. Open it as one: ws:// or wss://. A proxy in front must pass the
    headers Upgrade and Connection on."""

    status, code, title = 426, "upgrade_required", "Upgrade Required"


class NotConnected(ServiceError):
    """No account is connected. Connect one first: POST /api/connections with a connector and its
    settings, which GET /api/connectors lists."""

    status, code, title = 409, "not_connected", "Not connected"


class SyncAlreadyRunning(ServiceError):
    """A sync is already running. Wait for it, follow its stream, or cancel it."""

    status, code, title = 409, "sync_already_running", "Sync already running"


class AlreadyRunning(ServiceError):
    """This sync is already running. Follow it instead of resuming it."""

    status, code, title = 409, "already_running", "Already running"


class AlreadyFinished(ServiceError):
    """This sync has already finished. Start a new one."""

    status, code, title = 409, "already_finished", "Already finished"


class PlanLimit(ServiceError):
    """Your plan does not allow this. Running syncs continue; to start more, change the plan."""

    status, code, title = 403, "plan_limit", "Plan limit reached"


class ConnectionBusy(ServiceError):
    """This connection has a live sync. Cancel it first."""

    status, code, title = 409, "connection_busy", "Connection busy"


class LostConnection(ServiceError):
    """The connection is lost: the source refuses its credentials. Reconnect it first: POST
    /api/connections/{id}/reconnect."""

    status, code, title = 409, "connection_lost", "Connection lost"


class WrongAccount(ServiceError):
    """These credentials belong to a different account. Send credentials of the expected one."""


class AlreadyConnected(WrongAccount):
    """This account is already connected. Use that connection. If its credentials have changed,
    reconnect it: POST /api/connections/{id}/reconnect."""

    status, code, title = 409, "already_connected", "Already connected"


class OtherAccount(WrongAccount):
    """These credentials belong to a different account than this connection. Nothing was changed.
    Send credentials of the same account, or connect the other one: POST /api/connections."""

    status, code, title = 409, "other_account", "Different account"


class BodyTooLarge(ServiceError):
    """The body is too large. Send at most 1 MiB."""

    status, code, title = 413, "body_too_large", "Body too large"


class Invalid(ServiceError):
    """Some values are not valid; `errors` names them. Correct them and send the request again."""

    status, code, title = 422, "invalid", "Invalid request"

    @classmethod
    def field(cls, name: str, message: str) -> "Invalid":
        return cls(f"{name}: {message}", errors=({"field": name, "message": message},))


class KeyReused(Invalid):
    """This Idempotency-Key was used for a different request in the last 24 hours. Use a new key."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"


class ConnectionRefused(Invalid):
    """The source refuses this connection. Check the credentials and authorise again."""

    status, code, title = 422, "connection_refused", "Connection refused"


class TooManySyncs(ServiceError):
    """Your organisation has reached its limit of live syncs. Wait until one has ended."""

    status, code, title = 429, "too_many_syncs", "Too many live syncs"


class TooManyRequests(ServiceError):
    """Too many requests. Wait for the number of seconds in Retry-After."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class TooManyDownloads(ServiceError):
    """You have reached your limit of running downloads. Wait until one has ended."""

    status, code, title = 429, "too_many_downloads", "Too many downloads"


class DownloadsBusy(ServiceError):
    """The service has reached its limit of running downloads. Try again soon."""

    status, code, title = 503, "downloads_busy", "Service Unavailable"


class TooManyWebhooks(ServiceError):
    """You have reached your limit of webhooks. Delete one first, or let one receive more types of
    events."""

    status, code, title = 409, "too_many_webhooks", "Too many webhooks"


class WebhookDisabled(ServiceError):
    """The webhook is disabled, so nothing is sent to it. Enable it first: PATCH /api/webhooks/{id}
    with `{"enabled": true}`."""

    status, code, title = 409, "webhook_disabled", "Webhook disabled"


class StoreUnavailable(ServiceError):
    """The database is temporarily unavailable; nothing was changed. Try again soon."""

    status, code, title = 503, "store_unavailable", "Database unavailable"


class SourceUnavailable(ServiceError):
    """The source is unreachable or busy. Try again later."""

    status, code, title = 503, "source_unavailable", "Source unavailable"


class ConnectorMisconfigured(ServiceError):
    """The connector's settings are not valid. The operator must correct them."""

    status, code, title = 409, "connector_misconfigured", "Connector misconfigured"


class ShuttingDown(ServiceError):
    """The service is shutting down and could not complete the request. Try again soon."""

    status, code, title = 503, "shutting_down", "Service Unavailable"


class TooManyConnections(ServiceError):
    """The service has reached its limit of open connections. Try again soon."""

    status, code, title = 503, "too_many_connections", "Service Unavailable"


class NotReady(ServiceError):
    """The service is not ready. Try again soon."""

    status, code, title = 503, "not_ready", "Not ready"


class IllegalMove(ServiceError):
    """The status of the sync does not allow this action. Check the status first."""

    status, code, title = 409, "illegal_move", "Not allowed in this status"


class Overtaken(ServiceError):
    """Another request has changed the sync. Get its status and try again."""

    status, code, title = 409, "overtaken", "Changed meanwhile"
