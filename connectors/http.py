"""A polite HTTP client: pooled, patient with faults of the way, its errors in our words.

The only file that knows the HTTP library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random

import anyio
import httpx
import msgspec

from connectors.base import ANNOUNCED, Clock, Retryable, Waiting

TRIES = 5
"""How often one request is sent at most, faults of the way and 5xx answers counted together."""
TIMEOUT = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_ASKED_PAUSE = 120.0
LARGEST_BODY = 32 * 1024 * 1024
CALLS_AT_ONCE = 16
"""Calls on their way to one host: more would only take turns at this process's one processor, and
what else it has to answer would wait for all of them. A slow host holds up nobody but its own."""
ONE = httpx.Limits(max_connections=1)
DOCUMENT_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""Documents come from addresses of their own that do not live long enough to wait for a turn."""

Before = Callable[[], Awaitable[Mapping[str, str]]]
"""Awaited ahead of every try, which may cost a call of a quota; gives the headers of that try."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: status, headers by lower-case name, bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Download(msgspec.Struct, frozen=True):
    """A document that is coming in: what its Content-Type says of its charset, and its bytes."""

    charset: str | None
    chunks: AsyncIterator[bytes]


class _Host:
    """One host's connections: a client of its own for each call under way, the warmest one first.

    (One pool for all of them would look through all of them, and ask the system about each that is
    idle, at the begin and at the end of every call.)"""

    def __init__(self, new_client: "NewClient") -> None:
        self._new_client = new_client
        self._turns = anyio.Semaphore(CALLS_AT_ONCE)
        self.idle: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self._turns:
            client = self.idle.pop() if self.idle else self._new_client(ONE)
            try:
                yield client
            finally:
                self.idle.append(client)


NewClient = Callable[[httpx.Limits], httpx.AsyncClient]
"""Makes a client with a pool of that size."""


class Http:
    """Sends requests. 5xx and a broken way are tried again with growing, jittered pauses; every
    other answer is the caller's to judge."""

    def __init__(self, new_client: NewClient, clock: Clock, tries: int = TRIES) -> None:
        self._new_client = new_client
        self._client = new_client(DOCUMENT_LIMITS)  # makes every request, and sends for documents
        self._hosts: dict[str, _Host] = {}
        self._clock = clock
        self._tries = tries
        self._random = Random()  # noqa: S311 - jitter, not secrecy

    async def close(self) -> None:
        for client in (
            self._client,
            *(each for host in self._hosts.values() for each in host.idle),
        ):
            await client.aclose()

    async def get(
        self, url: str, params: Mapping[str, str], before: Before, waiting: Waiting
    ) -> Answer:
        """The answer, whatever its status. Raises Retryable where there was none."""
        request = self._client.build_request("GET", url, params=dict(params))
        return await self._send(request, before, waiting)

    async def post(self, url: str, body: bytes, before: Before, waiting: Waiting) -> Answer:
        """Like get, with a body of JSON. What is posted may be done twice if the way breaks."""
        headers = {"Content-Type": "application/json"}
        request = self._client.build_request("POST", url, content=body, headers=headers)
        return await self._send(request, before, waiting)

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator["Download"]:
        """A document of any size, as it comes: no identity is sent with it. Raises Retryable."""
        request = self._client.build_request("GET", url, headers={"Accept": "*/*"})
        response = await self._open(request)
        try:
            if response.status_code != 200:
                raise Retryable(f"The document was refused (HTTP {response.status_code}).")
            yield Download(response.charset_encoding, _chunks(response))
        finally:
            await response.aclose()

    async def _open(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request, stream=True)
        except httpx.RequestError as error:
            raise Retryable(_unreachable(request, error)) from error

    def _host(self, url: httpx.URL) -> _Host:
        return self._hosts.setdefault(url.netloc.decode(), _Host(self._new_client))

    async def post_form(self, url: str, form: Mapping[str, str]) -> Answer:
        request = self._client.build_request("POST", url, data=dict(form))
        return await self._send(request, _at_once, _silently)

    async def _send(self, request: httpx.Request, before: Before, waiting: Waiting) -> Answer:
        host = self._host(request.url)
        for tried in range(1, self._tries + 1):
            request.headers.update(await before())
            pause = min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE) * self._random.uniform(0.5, 1.0)
            try:
                async with host.turn() as client:
                    answer = await self._once(client, request)
            except httpx.RequestError as error:  # also one that cannot be decompressed
                if tried == self._tries:
                    raise Retryable(_unreachable(request, error)) from error
            else:
                if answer.status < 500 or tried == self._tries:
                    return answer
                pause = max(pause, _asked_pause(answer))
            if pause > ANNOUNCED:
                until = self._clock.now() + timedelta(seconds=pause)
                await waiting(until, f"{request.url.host} to answer again")
            await self._clock.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _once(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        response = await client.send(request, stream=True)
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
        return Answer(response.status_code, dict(response.headers), bytes(body))


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """As stored: a document that is packed is the reader's to unpack."""
    try:
        async for chunk in response.aiter_raw(65536):
            yield chunk
    except httpx.RequestError as error:
        raise Retryable("The document broke off before its end. Try again later.") from error


async def _at_once() -> Mapping[str, str]:
    """Nothing to wait for, nothing to add."""
    return {}


async def _silently(until: datetime, why: str) -> None:
    """Nobody in particular waits for this."""


def _asked_pause(answer: Answer) -> float:
    """Retry-After in seconds (RFC 9110); 0 where there is none, or a date."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), LONGEST_ASKED_PAUSE) if asked.isdecimal() else 0.0


def _unreachable(request: httpx.Request, error: httpx.RequestError) -> str:
    return f"{request.url.host} cannot be reached ({type(error).__name__}). Try again later."


@asynccontextmanager
async def open_http(clock: Clock, user_agent: str, tries: int = TRIES) -> AsyncIterator[Http]:
    """Clients for the life of a process: their connections are pooled."""
    context = httpx.create_ssl_context()  # made once: it takes 30 ms

    def new_client(limits: httpx.Limits) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT, pool=None),
            limits=limits,
            headers={"User-Agent": user_agent, "Accept": "application/json"},
            # No cookies: what one account's answer set would be sent for all others.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            verify=context,
        )

    http = Http(new_client, clock, tries)
    try:
        yield http
    finally:
        await http.close()
