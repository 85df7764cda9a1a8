"""Bad text in Amazon's responses, through the whole service: each costs one record."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.amazon_sandbox import environ
from tests.hostile.api import Case, Exchange, hostile_api
from tests.hostile.honest import RECORDS, US
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio


async def _bad_cell(exchange: Exchange) -> None:
    """A report of returns whose second row has U+0000 in a column of its id."""
    await exchange.reply(200, exchange.honest.replace(b"LPN1", b"LPN\x001"))


async def _bad_orders(exchange: Exchange) -> None:
    """U+0000 in the first id, an unpaired surrogate in the second title, and bytes that are not
    UTF-8 in the third."""
    titles = iter([b'"A thing"', b'"A \\ud800 thing"', b'"A \xff thing"'])
    start, *rest = exchange.honest.split(b'"A thing"')
    body = start + b"".join(next(titles) + part for part in rest)
    await exchange.reply(200, body.replace(b'0000000"', b'000\\u0000"', 1))


async def _bad_names(exchange: Exchange) -> None:
    """U+0000 in the second id, an unpaired surrogate in the third name, a pair in the first."""
    body = exchange.honest.replace(b'"FBA00001"', b'"FBA\\u00001"')
    body = body.replace(b'"Shipment 0"', b'"\\ud83d\\ude00"')
    await exchange.reply(200, body.replace(b'"Shipment 2"', b'"\\\\ud83d\\ude00"'))


CASES = {
    "shipments": Case("getShipments", "bad text in names", _bad_names),
    "cell": Case("download", "U+0000 in a cell", _bad_cell),
    "json": Case("searchOrders", "bad text in JSON", _bad_orders),
}


@pytest.mark.parametrize(
    ("seller", "dataset", "bad"),
    [("cell", "returns", 1), ("json", "orders", 3), ("shipments", "shipments", 2)],
)
async def test_bad_text_in_a_response_costs_only_its_records(
    tmp_path: Path, seller: str, dataset: str, bad: int
) -> None:
    async with hostile_api(CASES) as api, serve(tmp_path, None, **environ(api.address)) as service:
        ann = service.user()
        await ann.connect(**_connection(seller))
        yesterday = datetime.now(UTC) - timedelta(days=1)  # recent orders come only from the search
        sync_id = await ann.start(datasets=[dataset], since=yesterday.isoformat())
        done = await ann.until(sync_id)
        assert done["status"] == "complete", done
        [progress] = [d for d in done["datasets"] if d["name"] == dataset]
        assert (progress["created"], progress["failed"]) == (RECORDS - bad, bad)
        assert len(await ann.records(dataset)) == RECORDS - bad
        reasons = await _reasons(ann, done)
        assert len(reasons) == bad
        assert any("U+0000" in why for why in reasons)


async def _reasons(user: User, sync: Json) -> list[str]:
    path = f"/api/sync/history/{sync['syncId']}/items"
    answer = await user.get(path, params={"status": "failed"})
    return [item["error"] for item in read(answer)["items"]]


def _connection(seller: str) -> dict[str, Any]:
    return {
        "connector": "amazon",
        "region": "NA",
        "environment": "production",
        "marketplaceIds": [US],
        "refreshToken": f"Atzr|{seller}",
    }
