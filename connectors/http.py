"""A polite HTTP client: pooled, patient with faults of the way, its errors in our words.

The only file that knows the HTTP library."""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random
from typing import Any, cast

import anyio
import httpx
import msgspec
from anyio.lowlevel import checkpoint

from connectors.addresses import resolve_public
from connectors.base import ANNOUNCED, Clock, Retryable, SourceError, Waiting
from connectors.calls import SLOW, Host, Patience, Slow

TRIES = 5
"""How often one request is sent at most, faults of the way and 5xx answers counted together."""
TIMEOUT = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 20.0
LONGEST_ASKED_PAUSE = 120.0
LARGEST_BODY = 32 * 1024 * 1024
UNPACKED_AT_ONCE = 1024 * 1024
PIECE = 256 * 1024
PIECE_SECONDS = 30.0
"""A document must bring a piece in this time: at least 8.7 KB/s."""
LONGEST_ADDRESS = 16_384
"""Characters of a document's address. Amazon's have about 1,500."""
UNUSABLE = "The document has an address that is not valid, or not one of HTTPS."
MOST_ADDRESSES = 4
"""How many addresses of a document's host are tried."""
ONE = httpx.Limits(max_connections=1)
DOCUMENT_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""Documents come from addresses of their own that do not live long enough to wait for a turn."""

Before = Callable[[], Awaitable[Mapping[str, str]]]
"""Awaited ahead of every try, which may cost a call of a quota; gives the headers of that try."""


GONE = (403, 404, 410)
"""How a document is refused that is deleted, or whose address has expired."""


class Gone(Retryable):
    """A document is not at its address. It may be at another, if the source gives one."""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: status, headers by lower-case name, bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Download(msgspec.Struct, frozen=True):
    """A document that is coming in: what its Content-Type says of its charset, and its bytes."""

    charset: str | None
    chunks: AsyncIterator[bytes]


Dated = Callable[[str, float], None]
"""Called with the Date header of an answer, and how many seconds it took."""
NewClient = Callable[[httpx.Limits], httpx.AsyncClient]
"""Makes a client with a pool of that size."""


class Http:
    """Sends requests. 5xx and a broken way are tried again with growing, jittered pauses; every
    other answer is the caller's to judge.

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
        self._client = new_client(DOCUMENT_LIMITS)  # makes every request, and sends for documents
        self._hosts: dict[str, Host[httpx.AsyncClient]] = {}
        self._clock = clock
        self._tries = tries
        self._public = public
        self._dated = dated
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
        """The answer, whatever its status. Raises Retryable where there was none, SourceError
        where what is asked for cannot be put into a request."""
        request = self._request("GET", url, params=dict(params))
        return await self._send(request, before, waiting)

    async def post(self, url: str, body: bytes, before: Before, waiting: Waiting) -> Answer:
        """Like get, with a body of JSON. What is posted may be done twice if the way breaks."""
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
        """A document of any size, as it comes: no identity is sent with it, no redirect followed.

        Raises Retryable; SourceError for an address that is not used."""
        response = await self._open(self._document(url))
        try:
            if response.status_code != 200:
                kind = Gone if response.status_code in GONE else Retryable
                raise kind(f"The document was refused (HTTP {response.status_code}).")
            yield Download(response.charset_encoding, _chunks(response))
        finally:
            await response.aclose()

    def _request(self, method: str, url: str | httpx.URL, **parts: Any) -> httpx.Request:
        try:
            return self._client.build_request(method, url, **parts)
        except (httpx.InvalidURL, UnicodeError) as error:  # a token of 70 KB, say
            raise SourceError(
                "The source gave an identifier that cannot be sent back to it: it is too long or "
                f"has characters that no address may have ({type(error).__name__})."
            ) from None

    def _document(self, url: str) -> httpx.URL:
        """Raises SourceError for an address that is not used."""
        try:
            address = httpx.URL(url) if len(url) <= LONGEST_ADDRESS else httpx.URL()
            usable = bool(address.host) and url.isascii() and (address.port or 1) < 65_536
        except (httpx.InvalidURL, ValueError):
            raise SourceError(UNUSABLE) from None
        if not usable or address.scheme not in (("https",) if self._public else ("https", "http")):
            raise SourceError(UNUSABLE)
        return address

    async def _open(self, address: httpx.URL) -> httpx.Response:
        """The head of the answer, from the first address that can be reached."""
        with Patience(address.host).spending():
            *others, last = await self._ways(address)
            for request in others:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                    return await self._client.send(request, stream=True)
            try:
                return await self._client.send(last, stream=True)
            except httpx.RequestError as error:
                raise Retryable(_unreachable(address.host, error)) from error
            except UnicodeError:  # a name that no resolver takes: an empty label, a long one
                raise SourceError(UNUSABLE) from None

    async def _ways(self, address: httpx.URL) -> Sequence[httpx.Request]:
        """Requests for a document. Where only public addresses are allowed, the connection goes to
        an address that was checked: the name is not resolved a second time, which could give
        another (DNS rebinding). TLS still verifies the name."""
        headers = {"Accept": "*/*", "Host": address.netloc.decode("ascii")}
        if not self._public:
            return [self._request("GET", address, headers=headers)]
        found = await resolve_public(address.host, address.port or 443)
        name = {"sni_hostname": address.raw_host.decode("ascii")}
        return [
            self._request("GET", address.copy_with(host=each), headers=headers, extensions=name)
            for each in found[:MOST_ADDRESSES]
        ]

    def _host(self, url: httpx.URL) -> Host[httpx.AsyncClient]:
        name = url.netloc.decode()
        if name not in self._hosts:
            self._hosts[name] = Host(lambda: self._new_client(ONE))
        return self._hosts[name]

    async def _send(self, request: httpx.Request, before: Before, waiting: Waiting) -> Answer:
        name = request.url.host

        async def announce() -> None:
            until = self._clock.now() + timedelta(seconds=max(patience.left - SLOW, 0.0))
            await waiting(until, f"{name}, which is slow to answer")

        host, patience, slow = self._host(request.url), Patience(name), Slow(announce)
        for tried in range(1, self._tries + 1):
            request.headers.update(await before())
            pause = min(FIRST_PAUSE * 2**tried, LONGEST_PAUSE) * self._random.uniform(0.5, 1.0)
            try:
                async with host.turn() as turn, slow.watching(turn):
                    with patience.spending():
                        answer = await self._once(turn.client, request)
            except httpx.RequestError as error:  # also one that cannot be decompressed
                if tried == self._tries or patience.left <= 0:
                    raise Retryable(_unreachable(name, error)) from error
            else:
                if answer.status < 500 or tried == self._tries or patience.left <= 0:
                    return answer
                pause = max(pause, _asked_pause(answer))
            if pause > ANNOUNCED:
                until = self._clock.now() + timedelta(seconds=pause)
                await waiting(until, f"{name} to answer again")
            await self._clock.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _once(self, client: httpx.AsyncClient, request: httpx.Request) -> Answer:
        begun = anyio.current_time()
        response = await client.send(request, stream=True)
        try:
            if self._dated:
                self._dated(response.headers.get("date", ""), anyio.current_time() - begun)
            body = bytearray()
            async for piece in _unpacked(response):
                body += piece
                if len(body) > LARGEST_BODY:
                    raise Retryable(
                        f"{request.url.host} sent more than {LARGEST_BODY} bytes at once."
                    )
        finally:
            await response.aclose()
        return Answer(response.status_code, dict(response.headers), bytes(body))


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body without its compression, in pieces of a bounded size: the HTTP library would unpack
    gzip inside gzip at once, to any size. Raises httpx.DecodingError."""
    stream = cast(httpx.AsyncByteStream, response.stream)
    match response.headers.get("content-encoding", "").strip().lower():
        case "" | "identity":
            async for chunk in stream:
                yield chunk
            return
        case "gzip" | "x-gzip":
            unpacker = zlib.decompressobj(wbits=31)
        case other:
            raise httpx.DecodingError(f"Nobody asked for the encoding {other[:40]!r}.")
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
        raise httpx.DecodingError("The body broke off before its end.")


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """As stored: a document that is packed is the reader's to unpack. Only the time spent waiting
    for the source counts, not the reader's own."""
    pieces = response.aiter_raw(PIECE)
    while True:
        piece = None
        try:
            with anyio.fail_after(PIECE_SECONDS):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise Retryable("The document came too slowly. Try again later.") from error
        except httpx.RequestError as error:
            raise Retryable("The document broke off before its end. Try again later.") from error
        if piece is None:
            return
        yield piece


async def _at_once() -> Mapping[str, str]:
    """Nothing to wait for, nothing to add."""
    return {}


async def _silently(until: datetime, why: str) -> None:
    """Nobody in particular waits for this."""


def _asked_pause(answer: Answer) -> float:
    """Retry-After in seconds (RFC 9110); 0 where there is none, or a date."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), LONGEST_ASKED_PAUSE) if asked.isdecimal() else 0.0


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
    """Clients for the life of a process: their connections are pooled."""
    context = httpx.create_ssl_context()  # made once: it takes 30 ms

    def new_client(limits: httpx.Limits) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT, pool=None),
            limits=limits,
            headers={
                "User-Agent": user_agent,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            # No cookies: what one account's answer set would be sent for all others.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            verify=context,
        )

    http = Http(new_client, clock, tries, public, dated)
    try:
        yield http
    finally:
        await http.close()
