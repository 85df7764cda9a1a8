"""Login with Amazon: exchanges refresh tokens for access tokens, one request at a time for each."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import anyio
import msgspec

from connectors.amazon.answers import UNREADABLE, plain
from connectors.amazon.settings import AmazonSettings
from connectors.base import (
    Clock,
    ConnectionLost,
    ConnectorError,
    Misconfigured,
    Retryable,
    SourceError,
    Waiting,
)
from connectors.http import Answer, Http

MARGIN = timedelta(seconds=60)
"""A token is renewed this long before it expires, or a tenth of its life if that is less."""
LONGEST_LIFE = timedelta(days=1)
"""Upper bound of a token's life, whatever the login reports."""
MAX_TOKENS = 10_000


class Token(msgspec.Struct, frozen=True):
    """An access token, and the time until which it may be used."""

    value: str
    until: datetime

    def __repr__(self) -> str:
        return f"Token(until={self.until})"  # never the token


Credential = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,4096}\Z")]
"""Visible ASCII, which can be sent in a header. Amazon's tokens have at most 2,048 bytes."""


class _AccessGrant(msgspec.Struct):
    access_token: Credential
    expires_in: float


class _RefreshGrant(msgspec.Struct):
    refresh_token: Credential


class _LoginError(msgspec.Struct):
    error: str = ""


class _SharedRequest:
    """One request for a token, shared by all callers that wait for it."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.callers = 0
        self.error: ConnectorError | None = None


class Tokens:
    """The access tokens of this process, by refresh token."""

    def __init__(self, settings: AmazonSettings, http: Http, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._tokens: OrderedDict[str, Token] = OrderedDict()
        self._requests: dict[str, _SharedRequest] = {}

    async def get(self, refresh_token: str, waiting: Waiting | None = None) -> str:
        """A valid access token. Concurrent callers share one request; if it fails, it fails for all
        of them."""
        if token := self._usable(refresh_token):
            return token
        request = self._requests.setdefault(refresh_token, _SharedRequest())
        request.callers += 1
        try:
            async with request.lock:
                return self._usable(refresh_token) or await self._send(
                    request, refresh_token, waiting
                )
        finally:
            request.callers -= 1
            if not request.callers:
                del self._requests[refresh_token]

    async def _send(
        self, request: _SharedRequest, refresh_token: str, waiting: Waiting | None
    ) -> str:
        """Send the shared request. If this caller is cancelled, the next one sends it; if it fails,
        it fails for all of them."""
        if request.error:
            raise request.error
        try:
            return await self._refresh(refresh_token, waiting)
        except ConnectorError as error:
            request.error = error
            raise

    async def exchange(self, code: str, redirect_uri: str) -> str:
        """The refresh token for a code from the consent page. A code is valid for five minutes."""
        answer = await self._post(
            {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        )
        try:
            return msgspec.json.decode(answer.body, type=_RefreshGrant).refresh_token
        except UNREADABLE:  # the cause would carry the token into a traceback
            raise Retryable("The response of Amazon's login cannot be read.") from None

    def forget(self, refresh_token: str, value: str) -> None:
        """Drop an access token that the source has rejected, unless it was renewed already."""
        if (token := self._tokens.get(refresh_token)) and token.value == value:
            del self._tokens[refresh_token]

    def _usable(self, refresh_token: str) -> str | None:
        token = self._tokens.get(refresh_token)
        return token.value if token and self._clock.now() < token.until else None

    async def _refresh(self, refresh_token: str, waiting: Waiting | None) -> str:
        requested = self._clock.now()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        token = _granted(await self._post(form, waiting), requested)
        self._tokens[refresh_token] = token
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        return token.value

    async def _post(self, form: Mapping[str, str], waiting: Waiting | None = None) -> Answer:
        """Send a form with the application's credentials. Returns the response if it is a 200."""
        settings = self._settings
        if missing := settings.missing:
            raise Misconfigured(f"The operator must set {' and '.join(missing)}.")
        ours = {"client_id": settings.client_id, "client_secret": settings.client_secret}
        answer = await self._http.post_form(settings.lwa_url, {**form, **ours}, waiting)
        if answer.status != 200:
            raise _denied(answer)
        return answer


def _granted(answer: Answer, requested: datetime) -> Token:
    try:
        grant = msgspec.json.decode(answer.body, type=_AccessGrant)
        life = timedelta(seconds=max(grant.expires_in, 0.0))
    except UNREADABLE:  # the cause would carry the token into a traceback
        raise Retryable("The response of Amazon's login cannot be read.") from None
    life = min(life, LONGEST_LIFE)
    return Token(grant.access_token, requested + life - min(MARGIN, life / 10))


def _denied(answer: Answer) -> Exception:
    """The error for a refusal (RFC 6749, section 5.2, as Amazon uses it)."""
    try:
        denied = msgspec.json.decode(answer.body, type=_LoginError)
    except UNREADABLE:
        denied = _LoginError()
    match denied.error:
        case "invalid_grant" | "unauthorized_client":
            return ConnectionLost(
                "Amazon no longer accepts this authorisation: it was revoked or belongs to another "
                "application. Connect the account again."
            )
        case "invalid_client":
            return Misconfigured(
                "Amazon refuses the application's own credentials. The operator must renew "
                "AMAZON_CLIENT_SECRET (it expires every 180 days) or correct AMAZON_CLIENT_ID."
            )
    if answer.status >= 500 or answer.status == 429 or denied.error == "temporarily_unavailable":
        return Retryable(
            f"Amazon's login is not available (HTTP {answer.status}). Try again later."
        )
    return SourceError(f"Amazon's login refused: {plain(denied.error) or f'HTTP {answer.status}'}.")
