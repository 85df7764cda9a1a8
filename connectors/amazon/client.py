"""Calls of the Selling Partner API: paced by quotas, authorised by access tokens, repeated when a
token expires; refusals become the errors of `connectors.base`."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import NoReturn
from urllib.parse import quote

import msgspec

from connectors.amazon.answers import UNREADABLE, plain
from connectors.amazon.auth import Tokens
from connectors.amazon.profile import Pace, Request, profile
from connectors.amazon.reports.finished import FinishedReports
from connectors.amazon.settings import AmazonSettings
from connectors.base import (
    Clock,
    Connection,
    ConnectionLost,
    QuotaReason,
    Retryable,
    SourceError,
    Use,
    Waiting,
)
from connectors.http import Answer, Download, Http
from connectors.quota import Bucket, Buckets, Quota
from connectors.turns import FairTurns

FINANCE = "Finance and Accounting"
FULFILLMENT = "Amazon Fulfillment"
TRACKING = "Inventory and Order Tracking"
INSIGHTS = "Selling Partner Insights"
"""Roles that an application requests and a seller agrees to (developer docs, "Roles")."""
MAX_RENEWALS = 3
"""How often a call is repeated because its access token expired."""
SLOWEST, FASTEST = 0.01, 100_000.0
"""The speeds that the project's sandbox can have (its `--speed`)."""


class Operation(msgspec.Struct, frozen=True):
    """An operation with its published usage plan."""

    name: str
    #: A `{}` stands for the argument of a call.
    path: str
    #: Calls per second.
    rate: float
    burst: float
    #: The role that it requires; empty for reports, where it depends on the report type.
    role: str = ""


class Refused(SourceError):
    """400: the parameters are refused, or the response would be too large. Amazon reports both as
    InvalidInput."""


class Expired(Refused):
    """400 that names the pagination token: it is no longer valid."""


class Denied(SourceError):
    """403: a role or permission is missing."""


class Unknown(SourceError):
    """404: the requested resource does not exist, or no longer exists."""


class _Call(msgspec.Struct, frozen=True):
    """A call without its access token, which may be renewed between attempts."""

    url: str
    params: Mapping[str, str]
    body: bytes | None


class _Fault(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    details: str | None = None


class _Faults(msgspec.Struct):
    errors: list[_Fault] = []


class AmazonClient:
    """Calls operations for connections. All syncs of the process share its quotas and tokens."""

    def __init__(
        self, settings: AmazonSettings, http: Http, tokens: Tokens, buckets: Buckets, clock: Clock
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._buckets = buckets
        self._clock = clock
        self.turns = FairTurns()
        #: Wakes the reads that wait for a report.
        self.finished = FinishedReports()
        #: How many times faster than Amazon the source is. Only a sandbox announces it.
        self.speed = 1.0

    async def call(
        self,
        connection: Connection,
        operation: Operation,
        params: Mapping[str, str],
        waiting: Waiting,
        argument: str = "",
        body: Mapping[str, object] | None = None,
        role: str = "",
    ) -> bytes:
        """The body of a 2xx response. Waits for the quota and announces each wait by `waiting`;
        gives up on an operation that refuses all calls. `role` is the role that this call requires,
        if the operation names none.

        Raises Refused, Unknown, Unknowable, SourceError, ConnectionLost, Misconfigured or
        Retryable."""
        call = self._call(connection, operation, Request(params, argument, body))
        bucket = self.bucket(connection, operation)
        replays = 0
        while True:
            answer, token = await self._send(connection, operation, call, bucket, waiting)
            if self._settings.sp_api_url:
                self.speed = _announced_speed(answer)
            if answer.status == 429:
                bucket.refused()
                continue
            bucket.admitted(_announced_rate(answer))
            if answer.status in (200, 201, 202):
                return answer.body
            most = MAX_RENEWALS if _expired(answer) else 1
            if replays < most and _blames_token(answer):
                self._tokens.forget(connection.settings.refresh_token, token)
                replays += 1
                continue
            _refuse(operation, answer, role or operation.role)

    @property
    def uses(self) -> Mapping[str, Use]:
        """The use of each operation."""
        return self._buckets.uses

    def download(self, url: str) -> AbstractAsyncContextManager[Download]:
        """Stream a report's document. Its address is authorised by itself: no token is sent."""
        return self._http.download(url)

    def _call(self, connection: Connection, operation: Operation, request: Request) -> _Call:
        """The call in the form that the connection's environment accepts. Raises Unknowable if the
        environment has no response to it."""
        accepted = profile(connection.settings.environment).accepted(
            operation.name, connection.settings.region, request
        )
        return _Call(
            self._settings.host(connection.settings.region, connection.settings.environment)
            + operation.path.format(quote(accepted.argument, safe="")),
            accepted.params,
            None if accepted.body is None else msgspec.json.encode(accepted.body),
        )

    async def _send(
        self,
        connection: Connection,
        operation: Operation,
        call: _Call,
        bucket: Bucket,
        waiting: Waiting,
    ) -> tuple[Answer, str]:
        """The response, and the access token that was sent last."""
        # First, so that a revoked connection fails at once instead of waiting for the quota.
        token = await self._tokens.get(connection.settings.refresh_token, waiting)
        out = 0

        async def paced() -> Mapping[str, str]:
            nonlocal token, out
            await bucket.take(waiting, _why(operation, bucket))
            out += 1
            # Again, since the token may have expired while the call waited for the quota.
            token = await self._tokens.get(connection.settings.refresh_token, waiting)
            return {"x-amz-access-token": token}

        try:
            if call.body is None:
                answer = await self._http.get(call.url, call.params, paced, waiting)
            else:
                answer = await self._http.post(call.url, call.body, paced, waiting)
        finally:
            bucket.finished(out)
        return answer, token

    def bucket(self, connection: Connection, operation: Operation) -> Bucket:
        """The bucket of an operation. After a restart, or a sync in another process, it continues
        from the state that the connection remembers."""
        pace = _pace(connection, operation)
        stored = connection.learned.get(_quota_key(pace))

        def first() -> Quota:
            if stored:
                with suppress(ValueError):  # another version stored it
                    state = msgspec.json.decode(stored, type=Quota)
                    return msgspec.structs.replace(state, usual=pace.rate)
            now = self._clock.now()
            return Quota(pace.rate, pace.burst, pace.burst, now, usual=pace.rate)

        return self._buckets.get((_seller(connection), pace.name), first, stored, pace.name)

    def rate(self, connection: Connection, operation: Operation) -> float:
        """Calls per second: the announced rate, else the published one times the source's speed."""
        rate = self.bucket(connection, operation).rate
        published = _pace(connection, operation).rate
        return published * self.speed if rate == published else rate

    def learned(self, connection: Connection, operations: Iterable[Operation]) -> Mapping[str, str]:
        """The state of these operations' quotas, to be stored with a page."""
        return {
            _quota_key(_pace(connection, operation)): msgspec.json.encode(
                self.bucket(connection, operation).state()
            ).decode()
            for operation in operations
        }


def _seller(connection: Connection) -> str:
    """A key of the seller: Amazon counts calls per seller and application, whichever user of ours
    makes them."""
    digest = hashlib.blake2b(connection.settings.refresh_token.encode(), digest_size=16).hexdigest()
    return f"{connection.settings.region}:{connection.settings.environment}:{digest}"


def _pace(connection: Connection, operation: Operation) -> Pace:
    own = Pace(operation.name, operation.rate, operation.burst)
    return profile(connection.settings.environment).pace or own


def _quota_key(pace: Pace) -> str:
    return f"quota:{pace.name}"


def _why(operation: Operation, bucket: Bucket) -> str:
    every = 1 / bucket.rate
    pace = f"one call in {every:,.0f} s" if every >= 1 else f"{bucket.rate:,.0f} calls a second"
    return QuotaReason(f"Amazon's quota for {operation.name} ({pace})", operation.name)


def _blames_token(answer: Answer) -> bool:
    """Whether a new token may help. It does not help if a role is missing, and a repeated call
    would use up a quota that may refill only once in 45 seconds."""
    if answer.status not in (401, 403):
        return False
    fault = _fault(answer)
    text = f"{fault.message} {fault.details}".lower()
    return answer.status == 401 or "token" in text or "expired" in text


def _expired(answer: Answer) -> bool:
    """Whether the access token has expired: a new one will be accepted."""
    return answer.status in (401, 403) and "expired" in (_fault(answer).details or "").lower()


def _announced_rate(answer: Answer) -> float | None:
    """The rate in x-amzn-RateLimit-Limit; None if it is not a number, since some gateways send
    words."""
    try:
        rate = float(answer.headers.get("x-amzn-ratelimit-limit", ""))
    except ValueError:
        return None
    return rate if 1e-5 < rate <= 1e5 else None


def _announced_speed(answer: Answer) -> float:
    """The speed in x-sandbox-speed of the project's own sandbox; without it 1, the speed of
    Amazon."""
    try:
        speed = float(answer.headers.get("x-sandbox-speed", "1"))
    except ValueError:
        return 1.0
    return speed if SLOWEST <= speed <= FASTEST else 1.0


def _refuse(operation: Operation, answer: Answer, role: str) -> NoReturn:
    """Raise the error for a response that is neither a success nor a 429."""
    fault = _fault(answer)
    reason = ": ".join(plain(text) for text in (fault.code, fault.message, fault.details) if text)
    request = plain(answer.headers.get("x-amzn-requestid", "none"), 100)
    text = f"{operation.name}: HTTP {answer.status} {reason} (request id {request})"
    if answer.status >= 500:
        raise Retryable(f"Amazon is not available. {text}")
    if answer.status == 400:
        kind = Expired if "token" in reason.lower() else Refused
        raise kind(f"Amazon refused the request. {text}")
    if answer.status in (401, 403):
        if "revoked" in (fault.details or "").lower():
            raise ConnectionLost(f"Amazon no longer accepts this connection. {text}")
        if _expired(answer):
            raise Retryable(f"Amazon's access tokens expire before they can be used. {text}")
        raise Denied(f"{_missing_role(role)} {text}")
    if answer.status == 404:
        raise Unknown(f"Amazon refused the request. {text}")
    raise SourceError(f"Amazon refused the request. {text}")


def _missing_role(role: str) -> str:
    if not role:
        return "The connection lacks a role or permission for this."
    return (
        f"The application lacks the role {role}, or the seller has not agreed to it. Add the role "
        "to the application in Seller Central and authorise it again."
    )


def _fault(answer: Answer) -> _Fault:
    """The first error of the body, in either of Amazon's two shapes."""
    with suppress(*UNREADABLE):
        if errors := msgspec.json.decode(answer.body, type=_Faults).errors:
            return errors[0]
    with suppress(*UNREADABLE):
        if errors := msgspec.json.decode(answer.body, type=list[_Fault]):
            return errors[0]
    return _Fault()
