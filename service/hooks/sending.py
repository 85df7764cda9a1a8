"""Sends one delivery: a POST that is made to checked addresses only, and never waits for long.

A host name is resolved and checked for every connection, which goes to the checked address, so that
a name cannot lead elsewhere after its check (DNS rebinding). Redirects are not followed and proxies
of the environment are not used."""

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ssl import SSLContext
from typing import Any

import anyio
import anyio.to_thread
import httpcore
import httpx
import msgspec

from connectors.addresses import public

TIMEOUT = 15.0
"""Maximum seconds of an attempt in total."""
MAX_ANSWER = 16 * 1024
"""Maximum bytes of a response body that are read, so that the receiver can finish it. They are
discarded."""
FINISHED_WITHIN = 1.0
"""Maximum seconds for reading them."""
MAX_ADDRESSES = 3
"""Maximum addresses of a name that are tried."""
CONNECT_TIMEOUT = 5.0
"""Maximum seconds for each address."""
MAX_REASON = 300
GONE = 410

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name. Raises OSError or UnicodeError."""


class SendOutcome(msgspec.Struct, frozen=True):
    """The outcome of an attempt."""

    #: The status of the response; None without one.
    status: int | None
    #: The reason why it failed; None if the event was delivered.
    error: str | None

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it is permanently gone."""
        return self.status == GONE


class AddressRefused(Exception):
    """A name resolves to an address to which nothing is sent."""


class WebhookSender:
    """Sends to any number of receivers at once."""

    def __init__(
        self,
        private: bool,
        most: int,
        resolve: Resolve | None = None,
        trusted: SSLContext | None = None,
    ) -> None:
        """`private`: also to addresses that are not public. At most `most` names are resolved at
        once. `trusted` replaces the authorities of certificates."""
        # Threads of its own: a resolver that does not answer must not hold up the process.
        self._threads = anyio.CapacityLimiter(most)
        self._backend = CheckedBackend(resolve or self._resolve, private)
        self._trusted = trusted

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> SendOutcome:
        """Make one attempt. A failure is an outcome, never an exception."""
        answered: list[int] = []
        error = f"No answer within {TIMEOUT:.0f} s."
        try:
            with anyio.move_on_after(TIMEOUT):
                await self._post(httpx.URL(url), headers, body, answered)
        except AddressRefused as refused:
            error = str(refused)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as failed:
            error = _reason("The connection failed", failed)
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, httpx.InvalidURL) as failed:
            error = _reason("No valid answer", failed)
        if not answered:
            return SendOutcome(None, error)
        (status,) = answered
        return SendOutcome(
            status, None if 200 <= status < 300 else f"The receiver answered {status}."
        )

    async def _post(
        self, url: httpx.URL, headers: Mapping[str, str], body: bytes, answered: list[int]
    ) -> None:
        """Send the event. The status of the response is added to `answered` as soon as it is
        known."""
        if self._trusted is None:
            self._trusted = httpx.create_ssl_context(trust_env=False)
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._trusted, network_backend=self._backend, max_connections=1
            ) as pool,
            pool.stream("POST", target, headers=list(headers.items()), content=body) as response,
        ):
            answered.append(response.status)
            await _finish(response)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        entries = await anyio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=self._threads,
        )
        return [str(entry[4][0]) for entry in entries]


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, unless `private`."""

    def __init__(self, resolve: Resolve, private: bool) -> None:
        self._resolve = resolve
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failed: Exception | None = None
        for address in (await self._addresses(host, port))[:MAX_ADDRESSES]:
            try:
                return await self._network.connect_tcp(address, port, CONNECT_TIMEOUT)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host. If one of them is refused, all are."""
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        except UnicodeError:  # an empty label, or a long one
            raise AddressRefused(f"{host} is not a valid name.") from None
        if not self._private and not all(map(public, addresses)):
            raise AddressRefused(f"{host} does not resolve to a public address.")
        return addresses


async def _finish(response: httpcore.Response) -> None:
    """Read the rest of a small response. An error meanwhile changes nothing: only the status
    counts."""
    size = 0
    with suppress(httpcore.NetworkError, httpcore.ProtocolError, OSError):
        with anyio.move_on_after(FINISHED_WITHIN):
            async for piece in response.aiter_stream():
                size += len(piece)
                if size > MAX_ANSWER:
                    return


def _reason(what: str, error: Exception) -> str:
    text = str(error) or type(error).__name__
    return f"{what}: {text[:MAX_REASON].rstrip('.')}."
