"""Generates the payloads in fixtures/: `make fixtures`. The same code generates the same bytes."""

import gzip
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec

from connectors.amazon_sandbox import Settings, create_app
from tests.serving import serve

FIXTURES = Path(__file__).parents[1] / "fixtures"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ORDERS = 60
PAGE = 3
US = "ATVPDKIKX0DER"
LEDGER = "GET_LEDGER_DETAIL_VIEW_DATA"
REPORTS = "/reports/2021-06-30"

Payloads = Mapping[str, bytes]
"""The bytes of each file, by its name."""


class StoppedClock:
    """A clock that only moves while somebody sleeps."""

    def __init__(self) -> None:
        self._now = NOW

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


async def amazon() -> Payloads:
    """Answers of the local Selling Partner API."""
    clock = StoppedClock()
    transport = httpx.ASGITransport(create_app(Settings(orders=ORDERS), clock))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        form = {"grant_type": "refresh_token", "refresh_token": f"Atzr|sandbox-1-{ORDERS}"}
        form |= {"client_id": "client", "client_secret": "secret"}
        token = (await client.post("/auth/o2/token", data=form)).json()["access_token"]
        client.headers["x-amz-access-token"] = token
        report = await _report(client, clock)
        return {
            "participations.json": await _json(client, "/sellers/v1/marketplaceParticipations"),
            "orders.json": await _json(
                client,
                "/orders/2026-01-01/orders",
                createdAfter=_ago(days=90),
                marketplaceIds=US,
                maxResultsPerPage=PAGE,
            ),
            "inventory.json": await _json(
                client,
                "/fba/inventory/v1/summaries",
                granularityType="Marketplace",
                granularityId=US,
                marketplaceIds=US,
            ),
            "transactions.json": await _json(
                client, "/finances/2024-06-19/transactions", postedAfter=_ago(days=4)
            ),
            "report.json": _pretty(report),
            "ledger.tsv": await _document(client, report["reportDocumentId"]),
        }


async def demo() -> Payloads:
    """Records of the demo source."""
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder), DEMO_ORDERS=str(PAGE)) as service:
            ann = service.user()
            await ann.connect()
            await ann.whole_sync()
            return {
                f"{name}.json": _pretty([record["data"] for record in await ann.records(name)])
                for name in ("orders", "inventory")
            }


async def _report(client: httpx.AsyncClient, clock: StoppedClock) -> dict[str, Any]:
    """A report of the ledger, when it is done."""
    body = {"reportType": LEDGER, "marketplaceIds": [US], "dataStartTime": _ago(days=60)}
    answer = await client.post(f"{REPORTS}/reports", json=body)
    assert answer.status_code == 202, answer.text
    while True:
        path = f"{REPORTS}/reports/{answer.json()['reportId']}"
        report: dict[str, Any] = (await client.get(path)).json()
        if report["processingStatus"] == "DONE":
            return report
        await clock.sleep(15)


async def _document(client: httpx.AsyncClient, document_id: str) -> bytes:
    """The content of a document. Its address is signed: a request with a token is denied."""
    place = (await client.get(f"{REPORTS}/documents/{document_id}")).json()
    request = client.build_request("GET", place["url"])
    del request.headers["x-amz-access-token"]
    answer = await client.send(request)
    assert answer.status_code == 200, answer.text
    compressed = place.get("compressionAlgorithm") == "GZIP"
    return gzip.decompress(answer.content) if compressed else answer.content


async def _json(client: httpx.AsyncClient, path: str, **params: Any) -> bytes:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return _pretty(answer.json())


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def _ago(**span: float) -> str:
    return (NOW - timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main() -> None:
    for folder, payloads in (("amazon", await amazon()), ("demo", await demo())):
        for name, content in payloads.items():
            (FIXTURES / folder / name).write_bytes(content)
            print(f"fixtures/{folder}/{name}: {len(content):,} bytes")


if __name__ == "__main__":
    anyio.run(main)
