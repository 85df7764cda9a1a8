"""The token issuer's public keys: a JWKS (RFC 7517) from a file or a URL."""

import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError

import anyio
import msgspec
import structlog
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.util import base64_to_int

from connectors.base import Clock
from service.errors import AuthUnavailable, StartupError

REFRESH_INTERVAL = 600.0
"""Seconds between two regular refreshes: issuers rotate their keys."""
MIN_INTERVAL = 10.0
"""Minimum seconds between two refreshes, even if many tokens name unknown keys."""
READ_TIMEOUT, TOTAL_TIMEOUT = 5.0, 10.0
"""Seconds without a byte, and in total, after which a URL counts as unavailable."""
MAX_BYTES = 256 * 1024
MIN_RSA_BITS = 2048
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""The members of a key that verification needs. Others, such as private ones, are not read."""
UNUSABLE = (OSError, HTTPException, msgspec.MsgspecError, ValueError, RecursionError)

Keys = Mapping[tuple[str, str | None], Key]
"""Keys by algorithm and key ID."""

log = structlog.get_logger()


class PublicKeys:
    """The most recent keys. While the URL is unavailable, the previous keys remain valid."""

    def __init__(self, location: str, clock: Clock) -> None:
        self._location = location
        self._clock = clock
        self._remote = location.startswith(("http://", "https://"))
        self._keys: Keys = {}
        self._problem = "not fetched yet"  # why the keys are not current; "" if they are
        self._throttled = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Refresh the keys while open. Raises StartupError for a file that is not a JWKS. A URL may
        be unavailable: tokens that do not need it are still accepted."""
        self._requested, self._refreshed = anyio.Event(), anyio.Event()
        if not self._remote:
            await self._refresh()
            if self._problem:
                raise StartupError(
                    f"AUTH_JWKS: {self._location} is not usable ({self._problem}). It must be the "
                    "path or the http(s) URL of a JSON Web Key Set with at least one public key "
                    "for RS256 (RSA, 2048 bits or more) or ES256 (EC, P-256)."
                )
        async with anyio.create_task_group() as group:
            group.start_soon(self._refresh_forever)
            yield
            group.cancel_scope.cancel()

    def find(self, algorithm: str, kid: str | None) -> Key:
        """The key with this ID; without an ID, the only key for the algorithm.

        Raises InvalidKeyIdError for an unknown key, AuthUnavailable if the keys are outdated."""
        if key := self._lookup(algorithm, kid):
            return key
        if self._problem:
            raise AuthUnavailable(headers={"Retry-After": f"{MIN_INTERVAL:.0f}"})
        raise InvalidKeyIdError

    async def fetch_missing(self, algorithm: str, kid: str | None) -> None:
        """Refresh if the key is unknown. Concurrent calls share one refresh."""
        if not self._throttled and not self._lookup(algorithm, kid):
            self._requested.set()
            await self._refreshed.wait()

    def _lookup(self, algorithm: str, kid: str | None) -> Key | None:
        if kid is not None:
            return self._keys.get((algorithm, kid))
        candidates = [key for (name, _), key in self._keys.items() if name == algorithm]
        return candidates[0] if len(candidates) == 1 else None

    # Refreshing ---------------------------------------------------------------------------------

    async def _refresh_forever(self) -> None:
        """Refresh regularly, sooner on request, and every MIN_INTERVAL while it fails."""
        while True:
            before = self._problem
            await self._refresh()
            if self._problem != before:
                write = log.warning if self._problem else log.info
                write("auth_keys", problem=self._problem or None, keys=len(self._keys))
            self._throttled = True
            self._refreshed.set()
            self._requested, self._refreshed = anyio.Event(), anyio.Event()
            await self._clock.sleep(MIN_INTERVAL)
            self._throttled = False
            if not self._problem:
                await self._wait_for_request()

    async def _wait_for_request(self) -> None:
        """Wait until a refresh is requested or due."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._request_when_due, self._requested)
            await self._requested.wait()
            group.cancel_scope.cancel()

    async def _request_when_due(self, requested: anyio.Event) -> None:
        await self._clock.sleep(REFRESH_INTERVAL)
        requested.set()

    async def _refresh(self) -> None:
        read = _download if self._remote else _read
        try:
            with anyio.fail_after(TOTAL_TIMEOUT):
                self._keys = await anyio.to_thread.run_sync(
                    lambda: parse(read(self._location)), abandon_on_cancel=True
                )
            self._problem = ""
        except UNUSABLE as error:
            self._problem = str(error) or type(error).__name__


def parse(raw: bytes) -> Keys:
    """The keys of a JWKS that can verify tokens. Others are ignored, as RFC 7517 (section 5)
    advises. Raises ValueError if no key remains or if it is not a JWKS."""
    keys: dict[tuple[str, str | None], Key] = {}
    for jwk in msgspec.json.decode(raw, type=_KeySet).keys:
        algorithm, kid = ALGORITHMS.get(str(jwk.get("kty")), ""), jwk.get("kid")
        if key := _key(jwk, algorithm):
            keys.setdefault((algorithm, kid if isinstance(kid, str) else None), key)
    if not keys:
        raise ValueError("it has no key for RS256 or ES256")
    return keys


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _key(jwk: dict[str, Any], algorithm: str) -> Key | None:
    """The key; None if it is not a public key for the algorithm."""
    members = {name: value for name, value in jwk.items() if name in PUBLIC}
    try:
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
            return None
        if jwk.get("alg", algorithm) != algorithm:
            return None
        if algorithm == "RS256" and base64_to_int(jwk["n"]).bit_length() >= MIN_RSA_BITS:
            return RSAKey.import_key(members)
        if algorithm == "ES256" and jwk["crv"] == "P-256":
            return ECKey.import_key(members)
    except Exception:  # an invalid key, whatever the reason, must not make the others unusable
        return None
    return None


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return _read_bounded(file)


def _download(url: str) -> bytes:
    # Some hosts refuse urllib's default User-Agent.
    headers = {"Accept": "application/json", "User-Agent": "seller-sync"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - settings allow http(s)
    try:
        with _opener.open(request, timeout=READ_TIMEOUT) as response:
            return _read_bounded(response)
    except HTTPError as error:
        with error:
            raise OSError(f"status {error.code}") from None


def _read_bounded(source: IO[bytes]) -> bytes:
    raw = source.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 1024} KiB")
    return raw


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that the operator configured, not from a redirect's target."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)
