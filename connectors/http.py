"""The HTTP client of the connectors: pooled, with retries and time limits.

The only module of the connectors that imports the HTTP library. It raises the errors of
`connectors.base`."""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random
from typing import Any, cast
from urllib.parse import urlencode

import anyio
import httpx
import msgspec
from anyio.lowlevel import checkpoint

from connectors.addresses import resolve_public
from connectors.base import ANNOUNCED, Clock, Retryable, SourceError, Waiting
from connectors.calls import SLOW, Host, SlowCall, TimeBudget

TRIES = 5
"""Attempts per request, network failures and 5xx responses counted together."""
TIMEOUT = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_RETRY_AFTER = 120.0
LARGEST_BODY = 32 * 1024 * 1024
UNPACKED_AT_ONCE = 1024 * 1024
PIECE = 256 * 1024
PIECE_SECONDS = 30.0
"""Seconds within which a document must deliver its next piece: at least 8.7 KB/s."""
LONGEST_ADDRESS = 16_384
"""Characters of a document's address. Amazon's have about 1,500."""
UNUSABLE = "The document's address is not valid or does not use HTTPS."
MAX_ADDRESSES = 4
"""The most addresses of a document's host that are tried."""
ONE = httpx.Limits(max_connections=1)
DOCUMENT_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""Document downloads are not limited: their addresses would expire while they wait for a slot."""

Before = Callable[[], Awaitable[Mapping[str, str]]]
"""Awaited before every attempt, so that each one is counted against a quota. Returns the headers of
the attempt."""


GONE = (403, 404, 410)
"""The statuses of a document that was deleted, or whose address has expired."""


class Gone(Retryable):
    """A document is no longer at its address. The source may offer a new address."""


class Answer(msgspec.Struct, frozen=True):
    """A complete response: status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Download(msgspec.Struct, frozen=True):
    """A document in transfer: the charset from its Content-Type, and its bytes."""

    charset: str | None
    chunks: AsyncIterator[bytes]


Dated = Callable[[str, float], None]
"""Called with the Date header of a response, and how many seconds the response took."""
NewClient = Callable[[httpx.Limits], httpx.AsyncClient]
"""Creates a client with these limits of its pool."""


class Http:
    """Sends requests. Retries 5xx responses and network failures with growing, jittered pauses;
    returns every other response to the caller.

    With `public`, documents are read from public addresses by HTTPS only."""

    def __init__(
        self,
        new_client: NewClient,
        clock: Clock,
        tries: int = TRIES,
        public: bool = False,
        dated: Dated | None = None,
    ) -> None:
        self._new_client = new_client
        self._client = new_client(DOCUMENT_LIMITS)  # builds every request, sends only documents
        self._hosts: dict[str, Host[httpx.AsyncClient]] = {}
        self._clock = clock
        self._tries = tries
        self._public = public
        self._dated = dated
        self._random = Random()  # noqa: S311 - jitter, not secrecy

    async def close(self) -> None:
        idle = (client for host in self._hosts.values() for client in host.idle)
        for client in (self._client, *idle):
            await client.aclose()

    async def get(
        self, url: str, params: Mapping[str, str], before: Before, waiting: Waiting
    ) -> Answer:
        """The response, whatever its status. Raises Retryable if none arrived, SourceError if the
        parameters cannot be sent."""
        request = self._request("GET", url, params)
        return await self._send(request, before, waiting)

    async def post(self, url: str, body: bytes, before: Before, waiting: Waiting) -> Answer:
        """Like `get`, with a JSON body. After a network failure the request is sent again, so the
        source may execute it twice."""
        headers = {"Content-Type": "application/json"}
        request = self._request("POST", url, content=body, headers=headers)
        return await self._send(request, before, waiting)

    async def post_form(
        self, url: str, form: Mapping[str, str], waiting: Waiting | None = None
    ) -> Answer:
        request = self._request("POST", url, data=dict(form))
        return await self._send(request, _at_once, waiting or _silently)

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator["Download"]:
        """Stream a document of any size. No credentials are sent, and no redirect is followed.

        Raises Retryable, or SourceError for an address that may not be used."""
        response = await self._open(self._document(url))
        try:
            if response.status_code != 200:
                kind = Gone if response.status_code in GONE else Retryable
                raise kind(f"The document could not be downloaded (HTTP {response.status_code}).")
            yield Download(response.charset_encoding, _chunks(response))
        finally:
            await response.aclose()

    def _request(
        self,
        method: str,
        url: str | httpx.URL,
        params: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> httpx.Request:
        try:
            if params:  # parses the address once: the library would parse it twice
                url = f"{url}?{urlencode(params)}"
            return self._client.build_request(method, url, **parts)
        except (httpx.InvalidURL, UnicodeError) as error:  # a token of 70 KB, say
            raise SourceError(
                "The source returned an identifier that cannot be sent back: it is too long or "
                f"contains characters that are not allowed in an address ({type(error).__name__})."
            ) from None

    def _document(self, url: str) -> httpx.URL:
        """Parse and check an address. Raises SourceError if it may not be used."""
        try:
            address = httpx.URL(url) if len(url) <= LONGEST_ADDRESS else httpx.URL()
            usable = bool(address.host) and url.isascii() and (address.port or 1) < 65_536
        except (httpx.InvalidURL, ValueError):
            raise SourceError(UNUSABLE) from None
        if not usable or address.scheme not in (("https",) if self._public else ("https", "http")):
            raise SourceError(UNUSABLE)
        return address

    async def _open(self, address: httpx.URL) -> httpx.Response:
        """The start of the response, from the first address of the host that can be reached."""
        with TimeBudget(address.host).spending():
            *others, last = await self._requests(address)
            for request in others:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await _begun(self._client, request)
            try:
                return await _begun(self._client, last)
            except httpx.RequestError as error:
                raise Retryable(_unreachable(address.host, error)) from error
            except UnicodeError:  # a name that no resolver accepts: an empty or overlong label
                raise SourceError(UNUSABLE) from None

    async def _requests(self, address: httpx.URL) -> Sequence[httpx.Request]:
        """One request for each IP address of a document's host.

        Where only public addresses are allowed, the name is resolved and checked here, and the
        connection goes to the checked IP address. Resolving the name again when connecting could
        return a private address (DNS rebinding). TLS still verifies the certificate's name."""
        headers = {"Accept": "*/*", "Host": address.netloc.decode("ascii")}
        if not self._public:
            return [self._request("GET", address, headers=headers)]
        hosts = await resolve_public(address.host, address.port or 443)
        name = {"sni_hostname": address.raw_host.decode("ascii")}
        return [
            self._request("GET", address.copy_with(host=host), headers=headers, extensions=name)
            for host in hosts[:MAX_ADDRESSES]
        ]

    def _host(self, url: httpx.URL) -> Host[httpx.AsyncClient]:
        name = url.netloc.decode()
        if name not in self._hosts:
            self._hosts[name] = Host(lambda: self._new_client(ONE))
        return self._hosts[name]

    async def _send(self, request: httpx.Request, before: Before, waiting: Waiting) -> Answer:
        name = request.url.host

        async def announce() -> None:
            until = self._clock.now() + timedelta(seconds=max(budget.left - SLOW, 0.0))
            await waiting(until, f"{name}, which is slow to answer")

        host, budget, slow = self._host(request.url), TimeBudget(name), SlowCall(announce)
        for attempt in range(1, self._tries + 1):
            request.headers.update(await before())
            pause = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * self._random.uniform(0.5, 1.0)
            try:
                async with host.slot() as slot, slow.watching(slot):
                    with budget.spending():
                        answer = await self._once(slot.client, request)
            except httpx.RequestError as error:  # includes a body that cannot be decompressed
                if attempt == self._tries or budget.left <= 0:
                    raise Retryable(_unreachable(name, error)) from error
            else:
                if answer.status < 500 or attempt == self._tries or budget.left <= 0:
                    return answer
                pause = max(pause, retry_after(answer))
            if pause > ANNOUNCED:
                until = self._clock.now() + timedelta(seconds=pause)
                await waiting(until, f"{name} to answer again")
            await self._clock.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        begun = anyio.current_time()
        response = await _begun(client, request)
        try:
            if self._dated:
                self._dated(response.headers.get("date", ""), anyio.current_time() - begun)
            body = bytearray()
            async for piece in _unpacked(response):
                body += piece
                if len(body) > LARGEST_BODY:
                    raise Retryable(
                        f"{request.url.host} sent a response of more than {LARGEST_BODY} bytes."
                    )
        finally:
            await response.aclose()
        return Answer(response.status_code, dict(response.headers), bytes(body))


async def _begun(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The start of the response. Raises httpx.RequestError."""
    try:
        return await client.send(request, stream=True)
    except (AttributeError, OSError) as error:
        # The source closed the connection as soon as it was opened: httpcore then asks anyio for
        # the peer of a closed socket, and does not map that error to one of httpx.
        raise httpx.ConnectError(f"closed on opening ({error!r})", request=request) from error


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """The decompressed body, in pieces of at most UNPACKED_AT_ONCE bytes.

    The HTTP library would decompress a whole chunk at once, and also gzip inside gzip: a response
    of a few kilobytes could fill the memory. Raises httpx.DecodingError."""
    stream = cast(httpx.AsyncByteStream, response.stream)
    match response.headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            async for chunk in stream:
                yield chunk
            return
        case "gzip" | "x-gzip":
            unpacker = zlib.decompressobj(wbits=31)
        case other:
            raise httpx.DecodingError(f"Unexpected content encoding {other[:40]!r}.")
    async for chunk in stream:
        data, more = chunk, False
        while (data or more) and not unpacker.eof:
            try:
                piece = unpacker.decompress(data, UNPACKED_AT_ONCE)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            yield piece
            data, more = unpacker.unconsumed_tail, len(piece) == UNPACKED_AT_ONCE
            if more:
                await checkpoint()
    if not unpacker.eof:
        raise httpx.DecodingError("The body ended before it was complete.")


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The document as stored; the reader decompresses it if it is compressed. The time limit of a
    piece covers only the wait for the source, not the time that the reader takes."""
    pieces = response.aiter_raw(PIECE)
    while True:
        piece = None
        try:
            with anyio.fail_after(PIECE_SECONDS):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise Retryable("The document arrived too slowly. Try again later.") from error
        except httpx.RequestError as error:
            raise Retryable(
                "The document ended before it was complete. Try again later."
            ) from error
        if piece is None:
            return
        yield piece


async def _at_once() -> Mapping[str, str]:
    """A `Before` that waits for nothing and adds no headers."""
    return {}


async def _silently(until: datetime, why: str) -> None:
    """A `Waiting` that announces nothing."""


def retry_after(answer: Answer) -> float:
    """Retry-After in seconds (RFC 9110); 0 if it is missing or a date."""
    seconds = answer.headers.get("retry-after", "")
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isdecimal() else 0.0


def _unreachable(host: str, error: httpx.RequestError) -> str:
    return f"{host[:100]} cannot be reached ({type(error).__name__}). Try again later."


@asynccontextmanager
async def open_http(
    clock: Clock,
    user_agent: str,
    tries: int = TRIES,
    public: bool = False,
    dated: Dated | None = None,
) -> AsyncIterator[Http]:
    """An `Http` for the life of a process: its connections are pooled."""
    context = httpx.create_ssl_context()  # created once, since it takes 30 ms

    def new_client(limits: httpx.Limits) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT, pool=None),
            limits=limits,
            headers={
                "User-Agent": user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            # No cookies: one set for one account would be sent with the requests of all others.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            verify=context,
        )

    http = Http(new_client, clock, tries, public, dated)
    try:
        yield http
    finally:
        await http.close()
