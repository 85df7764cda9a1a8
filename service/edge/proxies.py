"""The sender and the scheme of a request behind proxies. Only trusted proxies can set them."""

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SCHEMES = {
    "http": {"http": "http", "https": "https"},
    # Most proxies send the scheme of the handshake, some that of the WebSocket.
    "websocket": {"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"},
}
"""The scheme of a request by its type and the value of X-Forwarded-Proto."""


class TrustedProxies:
    """Applies X-Forwarded-For and X-Forwarded-Proto of trusted peers. X-Forwarded-Host is always
    ignored: a proxy passes Host on unchanged."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if peer and scope["type"] in SCHEMES and self._is_trusted(_parse(peer[0])):
            headers = Headers(scope=scope)
            scope["client"] = (self._sender(peer[0], headers.getlist("x-forwarded-for")), 0)
            scheme = (headers.getlist("x-forwarded-proto") or [""])[-1].strip().lower()
            scope["scheme"] = SCHEMES[scope["type"]].get(scheme, scope["scheme"])
        await self._app(scope, receive, send)

    def _sender(self, peer: str, forwarded: Sequence[str]) -> str:
        """The first address from the right that is not a trusted proxy, since each proxy appends
        its own peer. If a value is not an address, the sender is the last valid hop."""
        sender = peer
        for text in reversed(",".join(forwarded).split(",")):
            address = _parse(text)
            if address is None:
                break
            sender = str(address)
            if not self._is_trusted(address):
                break
        return sender

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _parse(text: str) -> Address | None:
    """An address as proxies write it: with or without a port, and IPv6 with or without brackets."""
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
