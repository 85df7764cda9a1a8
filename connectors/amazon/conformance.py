"""The test case of the Amazon connector, with the local Selling Partner API on a loopback port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.amazon.connection import SellerSettings
from connectors.base import Connection
from connectors.conformance import UNREACHABLE, ConnectorCase, Environ, Stand

US = "ATVPDKIKX0DER"
SELLER = "Atzr|sandbox-1-120"


def connection(refresh_token: str, **changes: Any) -> Connection:
    settings = SellerSettings(refresh_token=refresh_token, **{"marketplace_ids": (US,), **changes})
    return Connection("conn_1", "amazon", settings)


@asynccontextmanager
async def source(stand: Stand, spoilt: bool) -> AsyncIterator[Environ]:
    sandbox: Any = stand.sandbox
    unlimited = {name: (1e5, 1e5) for name in sandbox.operations.NAMES}
    polled = {"getReport": (2.0, 1e5)}  # the pace of polls follows this rate
    settings = sandbox.Settings(orders=120, quotas=unlimited | polled)
    app = sandbox.create_app(settings, stand.clock)
    async with stand.serve(spoiling(app) if spoilt else app) as url:
        yield sandbox.environ(url)


def spoiling(app: ASGIApp) -> ASGIApp:
    """A gateway that corrupts the id of the first order."""
    spoilt = False

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        async def through(message: Message) -> None:
            nonlocal spoilt
            body = message.get("body", b"")
            if not spoilt and b'"orderId":"' in body:
                spoilt = True
                # The length was announced already, so it must not change.
                message = {**message, "body": body.replace(b'"orderId":"', b'"ordexId":"', 1)}
            await send(message)

        await app(scope, receive, through)

    return gateway


CASE = ConnectorCase(
    connection=connection(SELLER),
    revoked=connection("Atzr|somebody-else"),
    wrong=[
        ("region", connection(SELLER, region="XX")),
        ("region", connection(SELLER, region="")),
        ("marketplaceIds", connection(SELLER, region="EU")),
        ("marketplaceIds", connection(SELLER, marketplace_ids=("A1PA6795UKMFR9",))),
        # In the region, but not a marketplace of this seller.
        ("marketplaceIds", connection(SELLER, marketplace_ids=("A2Q3Y263D00KWC",))),
        # A valid region in which the seller has no marketplace.
        ("region", connection(SELLER, region="EU", marketplace_ids=())),
        ("environment", connection(SELLER, environment="test")),
        ("refreshToken", connection("")),
    ],
    source=source,
    down={"AMAZON_SP_API_URL": UNREACHABLE, "AMAZON_LWA_URL": UNREACHABLE + "/auth/o2/token"},
    repeating=["returns"],  # the same return with two dates
    undecided=connection(SELLER, marketplace_ids=()),
)
