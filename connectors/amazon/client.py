"""One call of the Selling Partner API: paced by its quota, signed with a fresh token, replayed when
that token dies, its refusals in our words."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import NoReturn
from urllib.parse import quote

import msgspec

from connectors.amazon.answers import UNREADABLE, plain
from connectors.amazon.auth import Tokens
from connectors.amazon.profile import Pace, Request, profile
from connectors.amazon.settings import AmazonSettings
from connectors.base import Clock, Connection, ConnectionLost, Retryable, SourceError, Waiting
from connectors.http import Answer, Download, Http
from connectors.quota import Bucket, Buckets, Quota
from connectors.turns import FairTurns

FINANCE = "Finance and Accounting"
FULFILLMENT = "Amazon Fulfillment"
TRACKING = "Inventory and Order Tracking"
INSIGHTS = "Selling Partner Insights"
"""Roles that an application asks for and a seller agrees to (developer docs, "Roles")."""
MOST_RENEWALS = 3
"""How often a call is sent again because its token expired, before it is put off."""
SLOWEST, FASTEST = 0.01, 100_000.0
"""The speeds that the project's sandbox can have (its `--speed`)."""


class Operation(msgspec.Struct, frozen=True):
    """An operation with its published usage plan: calls a second, and the burst. A `{}` in its
    path is the one argument that belongs there. `role` is what it needs; reports have no role of
    their own, each type has."""

    name: str
    path: str
    rate: float
    burst: float
    role: str = ""


class Refused(SourceError):
    """400: the parameters are refused, or the answer to them would be too large: Amazon calls both
    InvalidInput."""


class Expired(Refused):
    """400 that names the pagination token: it is good no more."""


class Denied(SourceError):
    """403: a role or permission is missing."""


class Unknown(SourceError):
    """404: the source does not know what was asked for, or no longer does."""


class _Call(msgspec.Struct, frozen=True):
    """What goes out, whichever token and how often it takes."""

    url: str
    params: Mapping[str, str]
    body: bytes | None


class _Fault(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    details: str | None = None


class _Faults(msgspec.Struct):
    errors: list[_Fault] = []


class Client:
    """Calls operations for connections. Quotas and tokens are shared by the whole process."""

    def __init__(
        self, settings: AmazonSettings, http: Http, tokens: Tokens, buckets: Buckets, clock: Clock
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._buckets = buckets
        self._clock = clock
        self.turns = FairTurns()
        self.speed = 1.0
        """How many times faster than Amazon the other side is. Only a stand-in announces it."""

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
        """The body of a 2xx. Waits for the quota, and announces each wait by `waiting`; not for one
        that is refused without end. `role` is what this call needs, where the operation does not
        tell.

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
            bucket.answered(_announced_rate(answer))
            if answer.status in (200, 201, 202):
                return answer.body
            most = MOST_RENEWALS if _expired(answer) else 1
            if replays < most and _blames_token(answer):
                self._tokens.forget(connection.settings.refresh_token, token)
                replays += 1
                continue
            _refuse(operation, answer, role or operation.role)

    def download(self, url: str) -> AbstractAsyncContextManager[Download]:
        """A report's document. Its address is its own permission: no token goes with it."""
        return self._http.download(url)

    def _call(self, connection: Connection, operation: Operation, request: Request) -> _Call:
        """As the connection's environment wants to be asked. Raises Unknowable where it has no
        answer."""
        asked = profile(connection.settings.environment).asked(
            operation.name, connection.settings.region, request
        )
        return _Call(
            self._settings.host(connection.settings.region, connection.settings.environment)
            + operation.path.format(quote(asked.argument, safe="")),
            asked.params,
            None if asked.body is None else msgspec.json.encode(asked.body),
        )

    async def _send(
        self,
        connection: Connection,
        operation: Operation,
        call: _Call,
        bucket: Bucket,
        waiting: Waiting,
    ) -> tuple[Answer, str]:
        """The answer, and the access token that was sent last."""
        # Who is no longer let in shall not wait for the quota first.
        token = await self._tokens.get(connection.settings.refresh_token, waiting)
        out = 0

        async def paced() -> Mapping[str, str]:
            nonlocal token, out
            await bucket.take(waiting, _why(operation, bucket))
            out += 1
            # Again: it may have come to its end in the minutes of that pause.
            token = await self._tokens.get(connection.settings.refresh_token, waiting)
            return {"x-amz-access-token": token}

        try:
            if call.body is None:
                answer = await self._http.get(call.url, call.params, paced, waiting)
            else:
                answer = await self._http.post(call.url, call.body, paced, waiting)
        finally:
            bucket.back(out)
        return answer, token

    def bucket(self, connection: Connection, operation: Operation) -> Bucket:
        """Made, after a restart, from what the connection remembers of it."""
        pace = _pace(connection, operation)

        def first() -> Quota:
            if kept := connection.learned.get(_memory(pace)):
                with suppress(ValueError):  # another version kept it
                    known = msgspec.json.decode(kept, type=Quota)
                    return msgspec.structs.replace(known, usual=pace.rate)
            now = self._clock.now()
            return Quota(pace.rate, pace.burst, pace.burst, now, usual=pace.rate)

        return self._buckets.get((_seller(connection), pace.name), first)

    def rate(self, connection: Connection, operation: Operation) -> float:
        """Calls a second: as an answer announced, else as published, at the other side's speed."""
        rate = self.bucket(connection, operation).rate
        published = _pace(connection, operation).rate
        return published * self.speed if rate == published else rate

    def learned(self, connection: Connection, operations: Iterable[Operation]) -> Mapping[str, str]:
        """What the quotas of these operations have come to, to be kept with the page."""
        return {
            _memory(_pace(connection, operation)): msgspec.json.encode(
                self.bucket(connection, operation).known()
            ).decode()
            for operation in operations
        }


def _seller(connection: Connection) -> str:
    """Amazon counts calls by seller and application, whoever of ours made them."""
    digest = hashlib.blake2b(connection.settings.refresh_token.encode(), digest_size=16).hexdigest()
    return f"{connection.settings.region}:{connection.settings.environment}:{digest}"


def _pace(connection: Connection, operation: Operation) -> Pace:
    own = Pace(operation.name, operation.rate, operation.burst)
    return profile(connection.settings.environment).pace or own


def _memory(pace: Pace) -> str:
    return f"quota:{pace.name}"


def _why(operation: Operation, bucket: Bucket) -> str:
    every = 1 / bucket.rate
    pace = f"one call in {every:,.0f} s" if every >= 1 else f"{bucket.rate:,.0f} calls a second"
    return f"Amazon's quota for {operation.name} ({pace})"


def _blames_token(answer: Answer) -> bool:
    """Whether a new token may help. Where a role is missing it would not, and the call that finds
    this out again would cost a quota that may grow by one in 45 seconds."""
    if answer.status not in (401, 403):
        return False
    fault = _fault(answer)
    said = f"{fault.message} {fault.details}".lower()
    return answer.status == 401 or "token" in said or "expired" in said


def _expired(answer: Answer) -> bool:
    """Whether the token was good, but is no more: then another one will do."""
    return answer.status in (401, 403) and "expired" in (_fault(answer).details or "").lower()


def _announced_rate(answer: Answer) -> float | None:
    """x-amzn-RateLimit-Limit, where it is a number: some gateways send words."""
    try:
        rate = float(answer.headers.get("x-amzn-ratelimit-limit", ""))
    except ValueError:
        return None
    return rate if 1e-5 < rate <= 1e5 else None


def _announced_speed(answer: Answer) -> float:
    """x-sandbox-speed of the project's own sandbox; 1 without it, which is Amazon's."""
    try:
        speed = float(answer.headers.get("x-sandbox-speed", "1"))
    except ValueError:
        return 1.0
    return speed if SLOWEST <= speed <= FASTEST else 1.0


def _refuse(operation: Operation, answer: Answer, role: str) -> NoReturn:
    """Every answer that is neither 200 nor 429, sorted by what the caller can do."""
    fault = _fault(answer)
    said = ": ".join(plain(text) for text in (fault.code, fault.message, fault.details) if text)
    request = plain(answer.headers.get("x-amzn-requestid", "none"), 100)
    text = f"{operation.name}: HTTP {answer.status} {said} (request id {request})"
    if answer.status >= 500:
        raise Retryable(f"Amazon cannot answer now. {text}")
    if answer.status == 400:
        kind = Expired if "token" in said.lower() else Refused
        raise kind(f"Amazon refused the request. {text}")
    if answer.status in (401, 403):
        if "revoked" in (fault.details or "").lower():
            raise ConnectionLost(f"Amazon no longer accepts this connection. {text}")
        if _expired(answer):
            raise Retryable(f"Amazon's access tokens expire before they can be used. {text}")
        raise Denied(f"{_lacking(role)} {text}")
    if answer.status == 404:
        raise Unknown(f"Amazon refused. {text}")
    raise SourceError(f"Amazon refused. {text}")


def _lacking(role: str) -> str:
    if not role:
        return "The connection lacks a role or permission for this."
    return (
        f"The application lacks the role {role}, or the seller has not agreed to it. Add the role "
        "to the application in Seller Central and authorise it again."
    )


def _fault(answer: Answer) -> _Fault:
    """The first error of the body, whichever of Amazon's two shapes it has."""
    with suppress(*UNREADABLE):
        if errors := msgspec.json.decode(answer.body, type=_Faults).errors:
            return errors[0]
    with suppress(*UNREADABLE):
        if errors := msgspec.json.decode(answer.body, type=list[_Fault]):
            return errors[0]
    return _Fault()
