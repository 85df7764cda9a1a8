"""The public keys of whoever issues our tokens: a JWKS (RFC 7517), from a file or a URL."""

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

from service.errors import AuthUnavailable, StartupError

FRESH = 600.0
"""Seconds after which the keys are asked for anew: they rotate."""
REST = 10.0
"""Seconds between two askings at the least, whatever tokens come."""
SILENCE, PATIENCE = 5.0, 10.0
"""Seconds without a byte, and in all, after which a URL is taken to be down."""
LARGEST = 256 * 1024
SMALLEST_RSA = 2048
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""What a key needs to verify with: private parts, should there be any, are not even taken in."""
UNUSABLE = (OSError, HTTPException, msgspec.MsgspecError, ValueError, RecursionError)

Keys = Mapping[tuple[str, str | None], Key]
"""By algorithm and key id."""

log = structlog.get_logger()


class PublicKeys:
    """The newest keys that could be had. If the URL is down, those that we have stay good."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._remote = where.startswith(("http://", "https://"))
        self._keys: Keys = {}
        self._problem = "not asked yet"  # why these are not the newest keys; "" if they are
        self._resting = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, the keys are kept fresh. Raises StartupError for a file that is no JWKS; a
        URL may be down for now: who can be let in without it, is."""
        self._wanted, self._answered = anyio.Event(), anyio.Event()
        if not self._remote:
            await self._ask()
            if self._problem:
                raise StartupError(
                    f"AUTH_JWKS: {self._where} is not usable ({self._problem}). It must be the "
                    "path or the http(s) URL of a JSON Web Key Set with at least one public key "
                    "for RS256 (RSA, 2048 bits or more) or ES256 (EC, P-256)."
                )
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_fresh)
            yield
            group.cancel_scope.cancel()

    def find(self, algorithm: str, kid: str | None) -> Key:
        """The key with this id; without an id, the only one for the algorithm.

        Raises InvalidKeyIdError if there is none, AuthUnavailable if there may be one by now."""
        if key := self._known(algorithm, kid):
            return key
        if self._problem:
            raise AuthUnavailable(headers={"Retry-After": f"{REST:.0f}"})
        raise InvalidKeyIdError

    async def learn(self, algorithm: str, kid: str | None) -> None:
        """Ask for a key that is not known: once for all who wait, and not again for a while."""
        if not self._resting and not self._known(algorithm, kid):
            self._wanted.set()
            await self._answered.wait()

    def _known(self, algorithm: str, kid: str | None) -> Key | None:
        if kid is not None:
            return self._keys.get((algorithm, kid))
        fitting = [key for (each, _), key in self._keys.items() if each == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    # Inside -------------------------------------------------------------------------------------

    async def _keep_fresh(self) -> None:
        """Asks when the keys are old, sooner if one is wanted, again and again while it fails."""
        while True:
            before = self._problem
            await self._ask()
            if self._problem != before:
                told = log.warning if self._problem else log.info
                told("auth_keys", problem=self._problem or None, keys=len(self._keys))
            self._resting = True
            self._answered.set()
            self._wanted, self._answered = anyio.Event(), anyio.Event()
            await anyio.sleep(REST)
            self._resting = False
            if not self._problem:
                with anyio.move_on_after(FRESH):
                    await self._wanted.wait()

    async def _ask(self) -> None:
        read = _download if self._remote else _read
        try:
            with anyio.fail_after(PATIENCE):
                self._keys = await anyio.to_thread.run_sync(
                    lambda: parse(read(self._where)), abandon_on_cancel=True
                )
            self._problem = ""
        except UNUSABLE as error:
            self._problem = str(error) or type(error).__name__


def parse(raw: bytes) -> Keys:
    """The keys of a JWKS that can verify our tokens; others are passed over, as the RFC (section 5)
    advises. Raises ValueError if none is left, or if it is no JWKS at all."""
    keys: dict[tuple[str, str | None], Key] = {}
    for jwk in msgspec.json.decode(raw, type=_Set).keys:
        algorithm, kid = ALGORITHMS.get(str(jwk.get("kty")), ""), jwk.get("kid")
        if key := _key(jwk, algorithm):
            keys.setdefault((algorithm, kid if isinstance(kid, str) else None), key)
    if not keys:
        raise ValueError("it holds no key for RS256 or ES256")
    return keys


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]]


def _key(jwk: dict[str, Any], algorithm: str) -> Key | None:
    """None for what is no public key for that algorithm."""
    numbers = {name: value for name, value in jwk.items() if name in PUBLIC}
    try:
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
            return None
        if jwk.get("alg", algorithm) != algorithm:
            return None
        if algorithm == "RS256" and base64_to_int(jwk["n"]).bit_length() >= SMALLEST_RSA:
            return RSAKey.import_key(numbers)
        if algorithm == "ES256" and jwk["crv"] == "P-256":
            return ECKey.import_key(numbers)
    except Exception:  # whatever is wrong with one, the others are still good
        return None
    return None


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return _bounded(file)


def _download(url: str) -> bytes:
    # Some hosts turn away urllib's own name.
    headers = {"Accept": "application/json", "User-Agent": "seller-sync"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - settings allow http(s)
    try:
        with _opener.open(request, timeout=SILENCE) as answer:
            return _bounded(answer)
    except HTTPError as error:
        with error:
            raise OSError(f"status {error.code}") from None


def _bounded(source: IO[bytes]) -> bytes:
    raw = source.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 1024} KiB")
    return raw


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that the operator gave, not from where that one points."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)
