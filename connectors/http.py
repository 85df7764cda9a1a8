"""A polite HTTP client: pooled, patient with faults of the way, its errors in our words.

The only file that knows the HTTP library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random

import httpx
import msgspec

from connectors.base import Clock, Retryable

TRIES = 5
"""How often one request is sent at most, faults of the way and 5xx answers counted together."""
TIMEOUT = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_ASKED_PAUSE = 120.0
LARGEST_BODY = 32 * 1024 * 1024

Before = Callable[[], Awaitable[None]]


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: status, headers by lower-case name, bytes, and the seconds it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0


class Http:
    """Sends requests. 5xx and a broken way are tried again with growing, jittered pauses; every
    other answer is the caller's to judge."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, tries: int = TRIES) -> None:
        self._client = client
        self._clock = clock
        self._tries = tries
        self._random = Random()  # noqa: S311 - jitter, not secrecy

    async def get(
        self, url: str, params: Mapping[str, str], headers: Mapping[str, str], before: Before
    ) -> Answer:
        """`before` is awaited ahead of every try: each of them may cost a call of a quota."""
        request = self._client.build_request("GET", url, params=dict(params), headers=dict(headers))
        return await self._send(request, before)

    async def post_form(self, url: str, form: Mapping[str, str]) -> Answer:
        return await self._send(self._client.build_request("POST", url, data=dict(form)), _at_once)

    async def _send(self, request: httpx.Request, before: Before) -> Answer:
        for tried in range(1, self._tries + 1):
            await before()
            pause = min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE) * self._random.uniform(0.5, 1.0)
            try:
                answer = await self._once(request)
            except httpx.TransportError as error:
                if tried == self._tries:
                    raise Retryable(_unreachable(request, error)) from error
            else:
                if answer.status < 500 or tried == self._tries:
                    return answer
                pause = max(pause, _asked_pause(answer))
            await self._clock.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _once(self, request: httpx.Request) -> Answer:
        began = self._clock.now()
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise Retryable(
                        f"{request.url.host} sent more than {LARGEST_BODY} bytes at once."
                    )
        finally:
            await response.aclose()
        seconds = (self._clock.now() - began).total_seconds()
        return Answer(response.status_code, dict(response.headers), bytes(body), seconds)


async def _at_once() -> None:
    """Nothing to wait for."""


def _asked_pause(answer: Answer) -> float:
    """Retry-After in seconds (RFC 9110); 0 where there is none, or a date."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), LONGEST_ASKED_PAUSE) if asked.isdigit() else 0.0


def _unreachable(request: httpx.Request, error: httpx.TransportError) -> str:
    return f"{request.url.host} cannot be reached ({type(error).__name__}). Try again later."


@asynccontextmanager
async def open_http(clock: Clock, user_agent: str, tries: int = TRIES) -> AsyncIterator[Http]:
    """One client for the life of a process: its connections are pooled."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    headers = {"User-Agent": user_agent, "Accept": "application/json"}
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(TIMEOUT, pool=None), limits=limits, headers=headers
    ) as client:
        yield Http(client, clock, tries)
