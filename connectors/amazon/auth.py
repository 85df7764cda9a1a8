"""Login with Amazon: access tokens from refresh tokens, each asked for once at a time."""

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
"""A token this close to its end is not used any more (or a tenth of its life, if that is less)."""
LONGEST_LIFE = timedelta(days=1)
"""A token is not believed to live longer, whatever the login says."""
MOST_TOKENS = 10_000


class Token(msgspec.Struct, frozen=True):
    """An access token and when to stop using it."""

    value: str
    until: datetime

    def __repr__(self) -> str:
        return f"Token(until={self.until})"  # never the token


Credential = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,4096}\Z")]
"""What can be sent in a header: visible ASCII. Amazon's tokens have at most 2,048 bytes."""


class _Granted(msgspec.Struct):
    access_token: Credential
    expires_in: float


class _Exchanged(msgspec.Struct):
    refresh_token: Credential


class _Denied(msgspec.Struct):
    error: str = ""
    error_description: str = ""


class _Flight:
    """One request for a token, and all who wait for what it brings."""

    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.passengers = 0
        self.error: ConnectorError | None = None


class Tokens:
    """The access tokens of this process, by refresh token."""

    def __init__(self, settings: AmazonSettings, http: Http, clock: Clock) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._tokens: OrderedDict[str, Token] = OrderedDict()
        self._flights: dict[str, _Flight] = {}

    async def get(self, refresh_token: str, waiting: Waiting | None = None) -> str:
        """A token that is good for a while. However many ask at once, one request is made; if it
        fails, it fails for all of them."""
        if token := self._usable(refresh_token):
            return token
        flight = self._flights.setdefault(refresh_token, _Flight())
        flight.passengers += 1
        try:
            async with flight.lock:
                return self._usable(refresh_token) or await self._land(
                    flight, refresh_token, waiting
                )
        finally:
            flight.passengers -= 1
            if not flight.passengers:
                del self._flights[refresh_token]

    async def _land(self, flight: _Flight, refresh_token: str, waiting: Waiting | None) -> str:
        """If one caller is cancelled here, the next tries; an error of the login is for all."""
        if flight.error:
            raise flight.error
        try:
            return await self._refresh(refresh_token, waiting)
        except ConnectorError as error:
            flight.error = error
            raise

    async def exchange(self, code: str, redirect_uri: str) -> str:
        """The refresh token for a code of the consent page, which is good for five minutes."""
        answer = await self._ask(
            {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        )
        try:
            return msgspec.json.decode(answer.body, type=_Exchanged).refresh_token
        except UNREADABLE:  # its cause would carry the token into a traceback
            raise Retryable("Amazon's login gave an answer that cannot be read.") from None

    def forget(self, refresh_token: str, value: str) -> None:
        """The far side says that this token is no good. A newer one is kept."""
        if (token := self._tokens.get(refresh_token)) and token.value == value:
            del self._tokens[refresh_token]

    def _usable(self, refresh_token: str) -> str | None:
        token = self._tokens.get(refresh_token)
        return token.value if token and self._clock.now() < token.until else None

    async def _refresh(self, refresh_token: str, waiting: Waiting | None) -> str:
        asked = self._clock.now()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        token = _granted(await self._ask(form, waiting), asked)
        self._tokens[refresh_token] = token
        while len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)
        return token.value

    async def _ask(self, form: Mapping[str, str], waiting: Waiting | None = None) -> Answer:
        """A 200 of the login, asked as our application."""
        settings = self._settings
        if missing := settings.missing:
            raise Misconfigured(f"The operator must set {' and '.join(missing)}.")
        ours = {"client_id": settings.client_id, "client_secret": settings.client_secret}
        answer = await self._http.post_form(settings.lwa_url, {**form, **ours}, waiting)
        if answer.status != 200:
            raise _denied(answer)
        return answer


def _granted(answer: Answer, asked: datetime) -> Token:
    try:
        granted = msgspec.json.decode(answer.body, type=_Granted)
        life = timedelta(seconds=max(granted.expires_in, 0.0))
    except UNREADABLE:  # its cause would carry the token into a traceback
        raise Retryable("Amazon's login gave an answer that cannot be read.") from None
    life = min(life, LONGEST_LIFE)
    return Token(granted.access_token, asked + life - min(MARGIN, life / 10))


def _denied(answer: Answer) -> Exception:
    """What a refusal means to the caller (RFC 6749, section 5.2, as Amazon uses it)."""
    try:
        denied = msgspec.json.decode(answer.body, type=_Denied)
    except UNREADABLE:
        denied = _Denied()
    match denied.error:
        case "invalid_grant" | "unauthorized_client":
            return ConnectionLost(
                "Amazon no longer accepts this authorisation: it was revoked or belongs to another "
                "application. Connect the account again."
            )
        case "invalid_client":
            return Misconfigured(
                "Amazon refuses the application's own credentials. The operator must renew "
                "AMAZON_CLIENT_SECRET (it expires every 180 days) or mend AMAZON_CLIENT_ID."
            )
    if answer.status >= 500 or answer.status == 429 or denied.error == "temporarily_unavailable":
        return Retryable(
            f"Amazon's login is not available (HTTP {answer.status}). Try again later."
        )
    return SourceError(f"Amazon's login refused: {plain(denied.error) or f'HTTP {answer.status}'}.")
