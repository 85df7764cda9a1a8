"""A sandbox without a network, a clock that jumps, and a client."""

import gzip
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.amazon_sandbox import Settings, create_app
from connectors.amazon_sandbox.operations import NAMES

US = "ATVPDKIKX0DER"
ORDERS = "/orders/2026-01-01/orders"
INVENTORY = "/fba/inventory/v1/summaries"
TRANSACTIONS = "/finances/2024-06-19/transactions"
PARTICIPATIONS = "/sellers/v1/marketplaceParticipations"
REPORTS = "/reports/2021-06-30/reports"
DOCUMENTS = "/reports/2021-06-30/documents"
LEDGER = "GET_LEDGER_DETAIL_VIEW_DATA"
REIMBURSEMENTS = "GET_FBA_REIMBURSEMENTS_DATA"
RETURNS = "GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA"
REPLACEMENTS = "GET_FBA_FULFILLMENT_CUSTOMER_SHIPMENT_REPLACEMENT_DATA"
STORAGE_FEES = "GET_FBA_STORAGE_FEE_CHARGES_DATA"
REMOVALS = "GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA"
REMOVAL_SHIPMENTS = "GET_FBA_FULFILLMENT_REMOVAL_SHIPMENT_DETAIL_DATA"
FEES = "GET_FBA_ESTIMATED_FBA_FEES_TXT_DATA"
STOCK = "GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA"
ORDERS_BY_DATE = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL"
ORDERS_BY_UPDATE = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL"
WHOLE_INVENTORY = {"granularityType": "Marketplace", "granularityId": US, "marketplaceIds": US}

UNLIMITED = {name: (1e6, 1e6) for name in NAMES}


class JumpingClock:
    """A clock whose sleep returns at once and advances the time."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Bench:
    """A sandbox and a client of it; by default with a small seller and without quotas."""

    def __init__(
        self,
        settings: Settings | None = None,
        now: datetime = datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    ) -> None:
        self.clock = JumpingClock(now)
        settings = settings or Settings(orders=120, quotas=UNLIMITED)
        transport = httpx.ASGITransport(create_app(settings, self.clock))
        self.marketplace = settings.marketplaces[0]
        self.client = httpx.AsyncClient(transport=transport, base_url="http://sandbox")
        self.token = ""

    def ago(self, **span: float) -> str:
        """The moment that long ago, as the API writes it."""
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

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.send("POST", path, body)

    async def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        if not self.token:
            await self.log_in()
        headers = {"x-amz-access-token": self.token}
        return await self.client.request(method, path, json=body, headers=headers)

    async def order_report(self, kind: str, days: float | None = 29, **more: Any) -> str:
        """Create a report of the last `days`. Returns its id."""
        window = {} if days is None else {"dataStartTime": self.ago(days=days)}
        body = {"reportType": kind, "marketplaceIds": [self.marketplace], **window, **more}
        response = await self.post(REPORTS, body)
        assert response.status_code == 202, response.text
        return str(response.json()["reportId"])

    async def report(self, report_id: str) -> dict[str, Any]:
        report: dict[str, Any] = (await self.get(f"{REPORTS}/{report_id}")).json()
        return report

    async def finish(self, report_id: str) -> dict[str, Any]:
        """Wait until the report has its final status."""
        while True:
            report = await self.report(report_id)
            if report["processingStatus"] not in ("IN_QUEUE", "IN_PROGRESS"):
                return report
            await self.clock.sleep(15)

    async def link(self, document_id: str) -> dict[str, Any]:
        link: dict[str, Any] = (await self.get(f"{DOCUMENTS}/{document_id}")).json()
        return link

    async def text(self, report_id: str) -> str:
        """The document of a report, decompressed and decoded as its headers say; empty for a report
        that was cancelled because it has no data."""
        report = await self.finish(report_id)
        if report["processingStatus"] == "CANCELLED":
            return ""
        link = await self.link(report["reportDocumentId"])
        response = await self.client.get(link["url"])
        assert response.status_code == 200, response.text
        content = response.content
        if link.get("compressionAlgorithm") == "GZIP":
            content = gzip.decompress(content)
        return content.decode(response.headers["content-type"].partition("charset=")[2])

    async def rows(self, kind: str, days: float | None = 29, **more: Any) -> list[dict[str, str]]:
        """Create a report and read its rows."""
        text = await self.text(await self.order_report(kind, days, **more))
        header, *rows = [line.split("\t") for line in text.split("\r\n")[:-1]]
        assert all(len(row) == len(header) for row in rows)
        return [dict(zip(header, row, strict=True)) for row in rows]

    async def truth(self, name: str = "1", **params: str) -> list[dict[str, Any]]:
        """The expected claims of a seller."""
        params = {"truth": "claims", **params}
        response = await self.client.get(f"/_sandbox/sellers/{name}", params=params)
        claims: list[dict[str, Any]] = response.json()["claims"]
        return claims

    async def control(self, name: str, body: object = None) -> httpx.Response:
        return await self.client.post(f"/_sandbox/{name}", json=body)

    async def orders(self, **params: Any) -> AsyncIterator[dict[str, Any]]:
        """The pages of searchOrders, by default of all orders."""
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


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    [error] = response.json()["errors"]
    return response.status_code, error["code"], error["message"]
