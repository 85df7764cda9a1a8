"""Checks whether network addresses are public, and resolves host names."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import anyio

from connectors.base import Retryable, SourceError

NAT64 = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that embed an IPv4 address in their last 32 bits (RFC 6052)."""


def public(text: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Loopback, private, shared (RFC 6598), link-local, multicast and reserved addresses do not. An
    IPv6 address that embeds an IPv4 address is judged by the IPv4 address."""
    try:
        address = _effective(ip_address(text))
    except ValueError:
        return False
    special = address.is_multicast or address.is_reserved
    if isinstance(address, IPv6Address):
        special = special or address.is_site_local
    return address.is_global and not special


def _effective(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address embeds, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


async def resolve_public(host: str, port: int) -> list[str]:
    """The addresses of a host, in the resolver's order.

    Raises SourceError if one of them is not public, Retryable if the name does not resolve."""
    try:
        entries = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Retryable(f"{host[:100]} cannot be resolved. Try again later.") from error
    except UnicodeError:  # an empty or overlong label
        raise SourceError("The document's address has no valid host name.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    if not addresses or not all(map(public, addresses)):
        raise SourceError(f"{host[:100]} is not a public address. Documents are not read from it.")
    return addresses
