"""Calls of a JSON API with a bearer token: its refusals become the errors of `connectors.base`."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import msgspec

from connectors.base import (
    ANNOUNCED,
    Clock,
    ConnectionLost,
    QuotaReason,
    Record,
    Retryable,
    SourceError,
    Waiting,
)
from connectors.http import Answer, Http, open_http, retry_after

MAX_REFUSALS = 10
"""How often in a row a call waits because the source answers 429."""
LONGEST_UNNAMED_PAUSE = 60.0
"""Seconds: the longest pause after a 429 that does not say how long to wait."""

T = TypeVar("T")


class RefusedCall(SourceError):
    """The source refused a call for good. `status` says why: 400 or 410 may be a cursor that the
    source no longer knows."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class JsonApi:
    """The API of a source. `label` is the source's name in texts for users."""

    def __init__(self, http: Http, clock: Clock, label: str, address: str) -> None:
        self._http = http
        self._clock = clock
        self._label = label
        self._address = address.rstrip("/")

    async def get(
        self, path: str, params: Mapping[str, str], token: str, waiting: Waiting, kind: type[T]
    ) -> T:
        """The body of GET `path` as `kind`. After a 429, the call waits as long as Retry-After
        requires and is repeated.

        Raises ConnectionLost (401, 403), Retryable (429 too often, 5xx, no response, a body that is
        not `kind`), RefusedCall."""

        async def headers() -> Mapping[str, str]:
            return {"Authorization": f"Bearer {token}"}

        for refusals in range(MAX_REFUSALS):
            answer = await self._http.get(self._address + path, params, headers, waiting)
            if answer.status != 429:
                return self._read(path, answer, kind)
            unnamed = min(2.0**refusals, LONGEST_UNNAMED_PAUSE)
            await self._pause(retry_after(answer) or unnamed, path, waiting)
        raise Retryable(f"{self._label} accepts no calls at the moment. Try again later.")

    async def _pause(self, seconds: float, path: str, waiting: Waiting) -> None:
        if seconds > ANNOUNCED:
            until = self._clock.now() + timedelta(seconds=seconds)
            await waiting(until, QuotaReason(f"{self._label}, which limits calls", path))
        await self._clock.sleep(seconds)

    def _read(self, path: str, answer: Answer, kind: type[T]) -> T:
        if answer.status in (401, 403):
            raise ConnectionLost(f"{self._label} does not accept the credentials. Connect again.")
        text = f"{self._label} answered {path} with HTTP {answer.status}."
        if answer.status >= 500:
            raise Retryable(f"{text} Try again later.")
        if answer.status != 200:
            raise RefusedCall(text, answer.status)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Retryable(f"{self._label} answered {path} with an unexpected body.") from error


def unreadable(raw: msgspec.Raw, error: Exception) -> Record:
    """The record of raw data that cannot be read. Its id is a hash of the data, so that it is the
    same at every read."""
    data = bytes(raw)
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    return Record(f"unreadable-{digest}", data, error=f"Cannot be read: {error}")


@asynccontextmanager
async def open_json_api(clock: Clock, label: str, address: str) -> AsyncIterator[JsonApi]:
    """A `JsonApi` for the life of a process."""
    async with open_http(clock, "seller-sync") as http:
        yield JsonApi(http, clock, label, address)
