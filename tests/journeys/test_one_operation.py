"""One operation of Amazon fails without end: one dataset is lost with a warning, no sync fails."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors import amazon_sandbox as amazon
from connectors.quota import REFUSED_FOR
from service.pipeline.patience import LONGEST_PAUSE
from tests.journeys.test_amazon import served
from tests.service.clocks import FastClock
from tests.service.pipeline.test_patience import duration_of
from tests.serving import Json, serve

pytestmark = [pytest.mark.anyio]

INVENTORY = "/fba/inventory/v1/summaries"
TRANSACTIONS = "/finances/2024-06-19/transactions"
REPORTS = "/reports/2021-06-30/reports"

SPEED = 100.0
PATIENCE = 600.0  # three seconds of real time: a busy machine pauses for one

#: The n-th answer of the operation.
Answer = Callable[[int], Response]


def hostile(app: ASGIApp, method: str, path: str, answer: Answer, calls: list[str]) -> ASGIApp:
    """The sandbox with other answers for one operation. No answer has a valid date: the clock of
    these tests runs faster than the clock of the server, which the connector would follow."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        async def undated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"date", b"unknown")]}
            await send(message)

        if scope["type"] == "http" and (scope["method"], scope["path"]) == (method, path):
            calls.append(str(Request(scope).url))
            await answer(len(calls))(scope, receive, undated)
        else:
            await app(scope, receive, undated)

    return dispatch


async def synced(folder: Path, method: str, path: str, answer: Answer) -> tuple[Json, list[str]]:
    """Sync to the end; the status, and the calls of that operation."""
    clock, calls = FastClock(SPEED), list[str]()
    sandbox = amazon.create_app(amazon.Settings(orders=60, speed=100.0), clock)
    async with (
        served(hostile(sandbox, method, path, answer, calls)) as url,
        serve(folder, clock, SOURCE_PATIENCE=str(PATIENCE), **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url),
    ):
        ann = service.user()
        await ann.connect(**amazon.connection(1, 60), skipHistoricalSync=True)
        return await ann.until(await ann.start()), calls


def outcomes(status: Json) -> dict[str, str]:
    return {item["name"]: item["status"] for item in status["datasets"]}


def error(status: int) -> Response:
    errors = [{"code": "InternalFailure", "message": "Not now."}]
    return JSONResponse({"errors": errors}, status)


async def test_an_operation_that_always_fails_costs_only_its_dataset(tmp_path: Path) -> None:
    done, calls = await synced(tmp_path, "GET", INVENTORY, lambda n: error(500))
    statuses = outcomes(done)
    assert (done["status"], done["attempt"]) == ("complete", 1)
    assert statuses.pop("inventory") == "failed"
    assert statuses.pop("claims") == "partial", "one rule needs the inventory"
    assert set(statuses.values()) == {"complete"}
    assert "getInventorySummaries: HTTP 500" in str(done["warnings"])
    assert "R21: Not completely read: inventory" in str(done["warnings"])
    assert len(calls) < 60, "the pauses grow"


async def test_reports_throttled_without_end_cost_no_other_dataset(tmp_path: Path) -> None:
    done, calls = await synced(tmp_path, "POST", REPORTS, lambda n: error(429))
    statuses = outcomes(done)
    assert (done["status"], done["attempt"]) == ("complete", 1)
    assert {statuses["inventory"], statuses["transactions"], statuses["shipments"]} == {"complete"}
    assert {statuses["ledger"], statuses["reimbursements"], statuses["returns"]} == {"failed"}
    assert duration_of(done) < 2 * REFUSED_FOR + timedelta(seconds=PATIENCE + LONGEST_PAUSE)
    assert len(calls) < 40


ENDLESS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "inventory": (
        INVENTORY,
        lambda token: {
            "payload": {"inventorySummaries": [{"sellerSku": "A"}]},
            "pagination": {"nextToken": token},
        },
    ),
    "transactions": (
        TRANSACTIONS,
        lambda token: {"payload": {"transactions": [], "nextToken": token}},
    ),
}


@pytest.mark.parametrize("dataset", ENDLESS)
async def test_pages_without_end_cost_only_their_dataset(tmp_path: Path, dataset: str) -> None:
    path, page = ENDLESS[dataset]
    done, calls = await synced(tmp_path, "GET", path, lambda n: JSONResponse(page(f"token-{n}")))
    statuses = outcomes(done)
    assert done["status"] == "complete"
    assert statuses[dataset] == ("partial" if dataset == "inventory" else "unknown")
    assert "keeps returning a next page" in str(done["warnings"])
    assert len(calls) <= 6
