"""Checks the URL of a webhook. Host names are resolved and checked when an event is sent; other
faults of a URL are refused at once."""

import re
import socket
from ipaddress import IPv4Address, ip_address

import httpx

from connectors.addresses import public
from service.errors import Invalid

MAX_CHARACTERS = 2048
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\\]")


def check_url(text: str, private: bool) -> None:
    """Raises Invalid, for the field `url`. `private`: http and addresses that are not public are
    also allowed."""
    if problem := _problem(text, private):
        raise Invalid.field("url", problem)


def _problem(text: str, private: bool) -> str | None:
    schemes = ("https", "http") if private else ("https",)
    if len(text) > MAX_CHARACTERS:
        return f"Must be at most {MAX_CHARACTERS:,} characters long."
    if _UNPRINTABLE.search(text):
        return "Must not contain spaces, control characters or backslashes."
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return "Must be a valid URL, like https://app.example/webhooks."
    if url.scheme not in schemes or not url.host:
        return f"Must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and a host."
    if url.userinfo or "@" in text.partition("://")[2].partition("/")[0]:
        return "Must not contain a user or a password. Verify the signature instead."
    if "#" in text:
        return "Must not have a fragment (#…)."
    if url.port is not None and not 0 < url.port < 65536:
        return "Must have a port from 1 to 65535, or none."
    if not private and _is_local(url.host):
        return (
            "Must be on the public internet: not a private, loopback, link-local or reserved "
            "address. (The operator can allow others with WEBHOOKS_PRIVATE=1.)"
        )
    return None


def _is_local(host: str) -> bool:
    """Whether a host is an address that is not public, or a name of this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not public(str(ip_address(name)))
    except ValueError:
        pass
    try:  # other notations that resolvers accept: 127.1, 2130706433, 0x7f000001
        return not public(str(IPv4Address(socket.inet_aton(name))))
    except (OSError, UnicodeError):
        return False
