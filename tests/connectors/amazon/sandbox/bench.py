"""A sandbox without a network, a clock that jumps, and a client that reads it."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.amazon.sandbox import Settings, create_app
from connectors.amazon.sandbox.operations import NAMES

US = "ATVPDKIKX0DER"
ORDERS = "/orders/2026-01-01/orders"
INVENTORY = "/fba/inventory/v1/summaries"
TRANSACTIONS = "/finances/2024-06-19/transactions"
PARTICIPATIONS = "/sellers/v1/marketplaceParticipations"
WHOLE_INVENTORY = {"granularityType": "Marketplace", "granularityId": US, "marketplaceIds": US}

UNLIMITED = {name: (1e6, 1e6) for name in NAMES}


class JumpingClock:
    """Sleeping takes no time: the clock jumps."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Bench:
    """One sandbox of a small seller, without quotas unless the settings say so."""

    def __init__(
        self,
        settings: Settings | None = None,
        now: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    ) -> None:
        self.clock = JumpingClock(now)
        settings = settings or Settings(orders=120, quotas=UNLIMITED)
        transport = httpx.ASGITransport(create_app(settings, self.clock))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://sandbox")
        self.token = ""

    def ago(self, **span: float) -> str:
        """A date as the API reads it, so long before now."""
        return (self.clock.time - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def log_in(self, refresh_token: str = "Atzr|sandbox-1", **form: str) -> httpx.Response:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": "client",
            "client_secret": "secret",
        } | form
        response = await self.client.post("/auth/o2/token", data=form)
        self.token = response.json().get("access_token", "")
        return response

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> httpx.Response:
        if not self.token:
            await self.log_in()
        headers = {"x-amz-access-token": self.token}
        return await self.client.get(path, params=params, headers=headers)

    async def door(self, name: str, body: object = None) -> httpx.Response:
        return await self.client.post(f"/_sandbox/{name}", json=body)

    async def orders(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """The pages of searchOrders; by default of all orders."""
        window = {"createdAfter": self.ago(days=90)}
        if params.keys() & {"createdAfter", "lastUpdatedAfter"}:
            window = {}
        async for page in self._pages(ORDERS, "paginationToken", window | params):
            yield page

    async def inventory(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        async for page in self._pages(INVENTORY, "nextToken", WHOLE_INVENTORY | params):
            yield page

    async def transactions(self, **params: Any) -> AsyncIterator[list[dict[str, Any]]]:
        params = {"postedAfter": self.ago(days=90)} | params
        async for page in self._pages(TRANSACTIONS, "nextToken", params):
            yield page["payload"]["transactions"]

    async def _pages(
        self, path: str, parameter: str, params: dict[str, Any]
    ) -> AsyncIterator[dict[str, Any]]:
        token: str | None = ""
        while token is not None:
            more = {parameter: token} if token else {}
            response = await self.get(path, params | more)
            assert response.status_code == 200, response.text
            page = response.json()
            yield page
            token = page.get("pagination", page.get("payload", {})).get("nextToken")


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    [error] = response.json()["errors"]
    return response.status_code, error["code"], error["message"]
