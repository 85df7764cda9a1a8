"""Every fault that the sandbox knows: a sync ends in complete data, or says what is missing.

FAULT_SEEDS=20 runs more of them than the suite has time for."""

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import amazon_sandbox as amazon
from tests.journeys.test_amazon import far_side
from tests.serving import User, serve

pytestmark = pytest.mark.anyio

ORDERS = 150
SPEED = 3000.0
SEEDS = int(os.environ.get("FAULT_SEEDS", "1"))
ALONE: dict[str, Any] = {
    "error500": 0.15,
    "throttle": 0.2,
    "storm": {"every": 15, "length": 2},
    "expireTokens": 0.2,
    "duplicatePages": 0.3,
    "fatalReports": 0.3,
    "cancelledReports": 0.3,
    "headerOnlyReports": 0.3,
    "shortRows": 0.4,
    "truncatedDownloads": 0.4,
    "truncatedGzips": 0.4,
    "htmlDownloads": 0.3,
    "largestAnswer": 40_000,
    "missingRoles": ["Amazon Fulfillment"],
}
MIXED = {name: share / 2 for name, share in ALONE.items() if isinstance(share, float)}
FAULTS = {**{name: {name: value} for name, value in ALONE.items()}, "mixed": MIXED}
HONEST = {"partial", "failed", "unknown", "in_progress", "pending"}


async def landed(ann: User, status: dict[str, Any]) -> dict[str, set[str]]:
    """Their ids; of a preview of fees without the minute when it was made."""
    names = [each["name"] for each in status["datasets"] if each["name"] != "claims"]
    return {
        name: {re.sub(r"T\d\d:\d\d/", "/", each["id"]) for each in await ann.records(name)}
        for name in names
    }


@pytest.fixture(params=range(1, SEEDS + 1))
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_missing_under_complete(fault: str, seed: int, tmp_path: Path) -> None:
    async with (
        far_side(orders=ORDERS, seed=seed, speed=SPEED) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url, timeout=30) as door,
    ):
        calm, stormy = service.user("calm"), service.user("stormy")
        body = amazon.connection(seed, ORDERS)
        for user in (calm, stormy):
            await user.connect(**body, skipHistoricalSync=True)
        whole = await calm.until(await calm.start(), seconds=60)
        everything = await landed(calm, whole)
        assert (await door.post("/_sandbox/reset")).status_code == 200
        assert (await door.post("/_sandbox/faults", json=FAULTS[fault])).status_code == 200
        told = await stormy.until(await stormy.start(), seconds=120)
        found = await landed(stormy, told)
        assert told["status"] in ("complete", "failed", "paused"), told
        if told["status"] != "complete":
            assert told["error"]["message"]
        for dataset in told["datasets"]:
            name, status = dataset["name"], dataset["status"]
            if name == "claims":
                continue
            if status == "complete":
                missing = everything[name] - found[name]
                assert not missing, f"{name} is complete, but lacks {len(missing)} records"
            else:
                assert status in HONEST
                assert dataset["error"] or dataset["failed"] or told["status"] != "complete"
