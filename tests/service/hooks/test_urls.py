"""Addresses that a webhook may have, and those that are refused at once."""

import pytest

from service.errors import Invalid
from service.hooks.urls import MAX_CHARACTERS, check_url

GOOD = (
    "https://app.example/hooks?key=1",
    "https://app.example:8443/hooks",
    "https://bücher.example/hooks",
    "https://8.8.8.8/hooks",
    "https://[2606:4700::1111]/hooks",
)
LOCAL = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0.0.0.0", "10.1.2.3"),
    *("172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "198.18.0.1", "[::1]", "[::]", "[fd00::1]", "[fe80::1]"),
    *("[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[::7f00:1]"),
    *("[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.", "api.localhost", "printer.local"),
    *("metadata.google.internal", "127。0。0。1"),
)
BAD = {
    "http://app.example/hooks": "https://",
    "ftp://app.example/": "https://",
    "app.example/hooks": "https://",
    "/hooks": "https://",
    "": "https://",
    "https://": "host",
    "https:///hooks": "host",
    "https://ann@app.example/": "user",
    "https://ann:secret@app.example/": "user",
    "https://@app.example/": "user",
    "https://app.example/#part": "fragment",
    "https://app.example/#": "fragment",
    "https://app.example:0/": "port",
    "https://app.example:65536/": "valid URL|port",
    "https://app.example:x/": "valid URL",
    "https://[::1/": "valid URL",
    "https://app example/": "spaces",
    "https://app.example/\n": "spaces",
    "https://app.example\\@10.0.0.1/": "backslashes",
    "https://app.example/\ud800": "control",
    "https://app.example/" + "x" * MAX_CHARACTERS: "2,048",
    "https://xn--.example/\x00": "control",
}


@pytest.mark.parametrize("url", GOOD)
def test_public_https_addresses_are_accepted(url: str) -> None:
    check_url(url, private=False)


@pytest.mark.parametrize("host", LOCAL)
def test_addresses_that_are_not_public_are_refused(host: str) -> None:
    with pytest.raises(Invalid, match="public internet") as caught:
        check_url(f"https://{host}/hooks", private=False)
    assert caught.value.errors[0]["field"] == "url"
    check_url(f"http://{host}:8080/hooks", private=True)


@pytest.mark.parametrize("url", BAD)
def test_what_is_wrong_with_an_address_is_named(url: str) -> None:
    with pytest.raises(Invalid, match=BAD[url]):
        check_url(url, private=False)


def test_private_addresses_may_be_allowed_but_not_users_or_other_schemes() -> None:
    for url in ("ftp://127.0.0.1/", "http://ann@127.0.0.1/", "http://127.0.0.1/#x"):
        with pytest.raises(Invalid):
            check_url(url, private=True)
