"""Where a request came from, and whether by HTTPS: trusted proxies are believed, others are not."""

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SCHEMES = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


class TrustedProxies:
    """Believes X-Forwarded-For and X-Forwarded-Proto of these peers, and of no other. Nobody's
    X-Forwarded-Host is believed: a proxy passes Host on as it is."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer and scope["type"] in SCHEMES and self._trusts(_address(peer[0])):
            headers = Headers(scope=scope)
            scope["client"] = (self._sender(peer[0], headers.getlist("x-forwarded-for")), 0)
            said = (headers.getlist("x-forwarded-proto") or [""])[-1].strip().lower()
            scope["scheme"] = SCHEMES[scope["type"]].get(said, scope["scheme"])
        await self._app(scope, receive, send)

    def _sender(self, peer: str, forwarded: Sequence[str]) -> str:
        """Each proxy adds, at the right, whom it heard the request from: so it is the first from
        the right that is no proxy of ours. What is no address was not written by one: then it is
        the last hop that we know."""
        sender = peer
        for each in reversed(",".join(forwarded).split(",")):
            address = _address(each)
            if address is None:
                break
            sender = str(address)
            if not self._trusts(address):
                break
        return sender

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """An address as proxies write it: alone, with a port, and IPv6 in brackets or without."""
    text = text.strip()
    if match := re.fullmatch(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+", text):
        text = match[1] or match[2]
    if "%" in text:  # the zone of an IPv6 address can be any text
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
