"""The payloads in fixtures/ are what the sources answer, and the service reads them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors import amazon_sandbox
from tests.connectors.serving import serving
from tests.payloads import FIXTURES, Payloads, amazon, demo
from tests.serving import serve

pytestmark = pytest.mark.anyio

REPORT = "/reports/2021-06-30"
FOLDERS = {"amazon": amazon, "demo": demo}


def payload(name: str) -> Any:
    return msgspec.json.decode((FIXTURES / name).read_bytes())


@pytest.mark.parametrize("folder", FOLDERS)
async def test_the_files_are_what_the_sources_answer_today(folder: str) -> None:
    """If a change of the source is intended, run `make fixtures`."""
    payloads: Payloads = await FOLDERS[folder]()
    files = {path.name for path in (FIXTURES / folder).iterdir()} - {"README.md"}
    assert files == set(payloads)
    for name, content in payloads.items():
        assert (FIXTURES / folder / name).read_bytes() == content, name


@pytest.fixture
async def source() -> AsyncIterator[str]:
    """A Selling Partner API that answers with the files."""

    def file(name: str) -> Any:
        async def answer(request: Request) -> Response:
            return Response((FIXTURES / "amazon" / name).read_bytes(), media_type="text/plain")

        return answer

    async def token(request: Request) -> Response:
        return JSONResponse({"access_token": "Atza|1", "token_type": "bearer", "expires_in": 3600})

    async def last_page(request: Request) -> Response:
        return JSONResponse({**payload("amazon/orders.json"), "pagination": {}})

    async def reports(request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse({"reports": []})
        return JSONResponse({"reportId": payload("amazon/report.json")["reportId"]}, 202)

    async def document(request: Request) -> Response:
        document_id = request.path_params["document_id"]
        url = str(request.url_for("ledger"))
        return JSONResponse({"reportDocumentId": document_id, "url": url})

    routes = [
        Route("/auth/o2/token", token, methods=["POST"]),
        Route("/sellers/v1/marketplaceParticipations", file("participations.json")),
        Route("/orders/2026-01-01/orders", last_page),
        Route("/fba/inventory/v1/summaries", file("inventory.json")),
        Route("/finances/2024-06-19/transactions", file("transactions.json")),
        Route(f"{REPORT}/reports", reports, methods=["GET", "POST"]),
        Route(f"{REPORT}/reports/{{report_id}}", file("report.json")),
        Route(f"{REPORT}/documents/{{document_id}}", document),
        Route("/ledger", file("ledger.tsv"), name="ledger"),
    ]
    async with serving(Starlette(routes=routes)) as url:
        yield url


async def test_the_service_stores_the_payloads_as_they_are(source: str, tmp_path: Path) -> None:
    async with serve(tmp_path, None, **amazon_sandbox.environ(source)) as service:
        ann = service.user()
        await ann.connect(**amazon_sandbox.connection(1, 20), skipHistoricalSync=True)
        yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        names = ["orders", "inventory", "transactions", "ledger"]
        done = await ann.whole_sync(datasets=names, since=yesterday)
        assert done["status"] == "complete", done
        orders = [record["data"] for record in await ann.records("orders")]
        stock = [record["data"] for record in await ann.records("inventory")]
        transactions = [record["data"] for record in await ann.records("transactions")]
        ledger = await ann.records("ledger")
    key = "sellerSku"
    in_file = payload("amazon/inventory.json")["payload"]["inventorySummaries"]
    assert sorted(stock, key=lambda item: item[key]) == sorted(in_file, key=lambda item: item[key])
    assert {order["orderId"] for order in orders} == {
        order["orderId"] for order in payload("amazon/orders.json")["orders"]
    }
    assert len(transactions) == len(payload("amazon/transactions.json")["payload"]["transactions"])
    rows = (FIXTURES / "amazon" / "ledger.tsv").read_text(encoding="utf-8").splitlines()
    assert len(ledger) == len(rows) - 1
