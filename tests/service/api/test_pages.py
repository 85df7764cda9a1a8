"""The dashboard at /: whether its page is told to ask for a sign-in."""

from pathlib import Path

import pytest

from tests.serving import Serving, serve, token

pytestmark = pytest.mark.anyio

SIGNED_OUT = "<html data-signed-out "


@pytest.mark.parametrize(
    ("headers", "signed_out"),
    [
        ({}, True),
        ({"Cookie": f"session={token()}"}, False),
        ({"Authorization": f"Bearer {token()}"}, False),  # as a proxy may add it
    ],
    ids=["no credentials", "a cookie", "a token"],
)
async def test_a_page_without_credentials_is_told_to_ask_for_them(
    service: Serving, headers: dict[str, str], signed_out: bool
) -> None:
    async with service.anonymous(headers=headers) as client:
        page = await client.get("/")
    assert page.status_code == 200 and page.headers["cache-control"] == "no-cache"
    assert (SIGNED_OUT in page.text) is signed_out and "/web/app.js" in page.text


async def test_the_page_of_demo_mode_needs_no_credentials(tmp_path: Path) -> None:
    async with serve(tmp_path, None, AUTH_MODE="demo") as service, service.anonymous() as client:
        assert SIGNED_OUT not in (await client.get("/")).text
