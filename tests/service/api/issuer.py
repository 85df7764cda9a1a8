"""An identity provider: signs tokens with its keys and publishes the public keys."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from tests.serving import YEAR_2100, Json

Private = RSAKey | ECKey


@cache
def rsa(kid: str = "rsa-1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


@cache
def ec(kid: str = "ec-1") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})


def public(*keys: Private, **fields: Any) -> list[Json]:
    return [{**key.as_dict(private=False), **fields} for key in keys]


def jwks(*keys: Private) -> bytes:
    return msgspec.json.encode({"keys": public(*keys)})


def signed(key: Private, user: str = "ann", header: Json | None = None, **claims: Any) -> str:
    """A token of this issuer; its header names the key."""
    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    head = {"alg": algorithm, "kid": key.kid, **(header or {})}
    body = {"sub": user, "exp": YEAR_2100, **claims}
    any_header = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    present = {name: value for name, value in head.items() if value is not None}
    return jwt.encode(present, body, key, registry=any_header)


class Issuer:
    """Serves a JWKS over HTTP, counts its requests, and can fail or wait."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.status = 200
        self.body = jwks(rsa(), ec())
        self.headers: dict[str, str] = {}
        self.before: Callable[[], object] = lambda: None  # runs in the thread of the server

    def publish(self, *keys: Private) -> None:
        self.body = jwks(*keys)


@contextmanager
def issuer(port: int = 0) -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests += 1
            served.before()
            self.send_response(served.status)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(BrokenPipeError):  # the service has given up
                self.wfile.write(served.body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    served = Issuer(f"http://127.0.0.1:{server.server_address[1]}/jwks.json")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
