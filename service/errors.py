"""What can go wrong. Each class carries its HTTP status, its code and, as docstring, its words."""

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
        self.detail = detail or self.words()
        self.more = more or {}
        self.headers = headers or {}
        self.errors = errors
        super().__init__(self.detail)

    @classmethod
    def words(cls) -> str:
        return " ".join((cls.__doc__ or "").split())


class StartupError(ServiceError):
    """The service cannot start."""


class BadRequest(ServiceError):
    """This is no request of HTTP/1.1 that can be read."""

    status, code, title = 400, "bad_request", "Bad Request"


class HeadTooLarge(ServiceError):
    """The address and the headers are too large. Send at most 64 KiB of them."""

    status, code, title = 431, "head_too_large", "Request Header Fields Too Large"


class RequestTimeout(ServiceError):
    """The request took too long to arrive. Send it again, without pauses."""

    status, code, title = 408, "request_timeout", "Request Timeout"


class InvalidJSON(ServiceError):
    """The body is not valid JSON. Send one JSON object, encoded as UTF-8."""

    status, code, title = 400, "invalid_json", "Invalid JSON"


class Unauthenticated(ServiceError):
    """Say who you are: send `Authorization: Bearer <token>`, or the session cookie."""

    status, code, title = 401, "unauthenticated", "Not authenticated"


class AuthUnavailable(ServiceError):
    """Your token cannot be checked now: the keys of its issuer cannot be had. Try again soon."""

    status, code, title = 503, "auth_unavailable", "Cannot check who you are"


class Forbidden(ServiceError):
    """This request is not allowed from here."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(ServiceError):
    """There is nothing here. Check the address and the id in it."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(ServiceError):
    """This address does not answer to that method. See the Allow header."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"


class NotConnected(ServiceError):
    """No account is connected. Connect one first: POST /api/connections with a connector and its
    settings, which GET /api/connectors lists."""

    status, code, title = 409, "not_connected", "Not connected"


class SyncAlreadyRunning(ServiceError):
    """A sync is already running. Wait for it, follow its stream, or cancel it."""

    status, code, title = 409, "sync_already_running", "Sync already running"


class AlreadyRunning(ServiceError):
    """This sync is running; there is nothing to resume."""

    status, code, title = 409, "already_running", "Already running"


class AlreadyFinished(ServiceError):
    """This sync has already finished. Start a new one."""

    status, code, title = 409, "already_finished", "Already finished"


class PlanLimit(ServiceError):
    """Your plan does not allow this. Syncs that run go on."""

    status, code, title = 403, "plan_limit", "Plan limit reached"


class ConnectionBusy(ServiceError):
    """A sync of this connection is live. Cancel it first."""

    status, code, title = 409, "connection_busy", "Connection busy"


class LostConnection(ServiceError):
    """The connection is lost: the source refuses its credentials. Reconnect it first: POST
    /api/connections/{id}/reconnect."""

    status, code, title = 409, "connection_lost", "Connection lost"


class WrongAccount(ServiceError):
    """These credentials are not of the account that they are given for."""


class AlreadyConnected(WrongAccount):
    """This account is connected already. Use that connection. If its credentials have changed,
    reconnect it: POST /api/connections/{id}/reconnect."""

    status, code, title = 409, "already_connected", "Already connected"


class OtherAccount(WrongAccount):
    """These credentials belong to another account than this connection. Nothing was changed.
    Give credentials of the same account, or connect the other one: POST /api/connections."""

    status, code, title = 409, "other_account", "Another account"


class BodyTooLarge(ServiceError):
    """The body is too large. Send at most 1 MiB."""

    status, code, title = 413, "body_too_large", "Body too large"


class Invalid(ServiceError):
    """Some values are not acceptable; `errors` names them. Mend them and send the request again."""

    status, code, title = 422, "invalid", "Invalid request"

    @classmethod
    def field(cls, name: str, message: str) -> "Invalid":
        return cls(f"{name}: {message}", errors=({"field": name, "message": message},))


class KeyReused(Invalid):
    """This Idempotency-Key was used for another request within the last 24 hours. Use a new key."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"


class ConnectionRefused(Invalid):
    """The other side refuses this connection. Check the credentials and authorise again."""

    status, code, title = 422, "connection_refused", "Connection refused"


class TooManySyncs(ServiceError):
    """Your organisation has as many live syncs as it may. Wait until one has ended."""

    status, code, title = 429, "too_many_syncs", "Too many live syncs"


class TooManyRequests(ServiceError):
    """You ask too often. Wait as long as Retry-After says."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class StoreUnavailable(ServiceError):
    """The database is not available for the moment; nothing was changed. Try again soon."""

    status, code, title = 503, "store_unavailable", "Database unavailable"


class SourceUnavailable(ServiceError):
    """The source cannot be reached or is busy. Try again later."""

    status, code, title = 503, "source_unavailable", "Source unavailable"


class ConnectorMisconfigured(ServiceError):
    """This connector cannot work as it is set up. The operator must mend its settings."""

    status, code, title = 409, "connector_misconfigured", "Connector misconfigured"


class ShuttingDown(ServiceError):
    """The service is being stopped, and could not wait for this any longer. Try again soon."""

    status, code, title = 503, "shutting_down", "Service Unavailable"


class TooManyConnections(ServiceError):
    """The service has as many open connections as it can serve. Try again soon."""

    status, code, title = 503, "too_many_connections", "Service Unavailable"


class NotReady(ServiceError):
    """The service is not ready to work."""

    status, code, title = 503, "not_ready", "Not ready"


class IllegalMove(ServiceError):
    """A sync cannot move so from the status that it has."""

    status, code, title = 409, "illegal_move", "Not possible now"


class Overtaken(ServiceError):
    """Somebody else changed this sync first."""

    status, code, title = 409, "overtaken", "Changed meanwhile"
