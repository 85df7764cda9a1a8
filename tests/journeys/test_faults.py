"""Every fault of the sandbox: a sync stores complete data, or says what is missing.

One service meets them all. A sync without faults has taught it the rates of its source.
FAULT_SEEDS=20 tries twenty sellers for each fault."""

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import amazon_sandbox as amazon
from tests.journeys.test_amazon import local_sandbox
from tests.serving import PATIENCE, Json, User, read, serve

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
Stored = dict[str, set[str]]
NOT_COMPLETE = {"partial", "failed", "unknown", "in_progress", "pending"}


async def stored_ids(ann: User, status: Json) -> Stored:
    """The ids of the stored records; of a fee preview, without the minute when it was made."""
    names = [item["name"] for item in status["datasets"] if item["name"] != "claims"]
    return {
        name: {re.sub(r"T\d\d:\d\d/", "/", record["id"]) for record in await ann.records(name)}
        for name in names
    }


def _says_that_it_is_empty(done: Json) -> bool:
    """Whether a warning says that there is no data: by a report of a header alone, or one that
    Amazon cancelled. Neither can be known to be wrong."""
    return any(text in str(done["warnings"]) for text in ("has no rows", "there is no data"))


@pytest.fixture(params=range(1, SEEDS + 1))
def seed(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


async def test_a_complete_dataset_has_every_record(seed: int, tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=ORDERS, seed=seed, speed=SPEED) as url,
        serve(tmp_path, None, **amazon.environ(url)) as service,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as control,
    ):
        _, everything = await _synced(service.user("unharmed"), seed)
        for fault, settings in FAULTS.items():
            assert (await control.post("/_sandbox/reset")).status_code == 200
            assert (await control.post("/_sandbox/faults", json=settings)).status_code == 200
            _assert_honest(fault, *await _synced(service.user(fault), seed), everything)


async def _synced(user: User, seed: int) -> tuple[Json, Stored]:
    """The end of a user's sync, and what it has stored."""
    await user.connect(**amazon.connection(seed, ORDERS), skipHistoricalSync=True)
    started = await user.post("/api/sync/start", {}, headers={"Prefer": "wait=60"})
    done = await user.until(read(started)["syncId"])
    return done, await stored_ids(user, done)


def _assert_honest(fault: str, done: Json, stored: Stored, everything: Stored) -> None:
    assert done["status"] in ("complete", "failed", "paused"), (fault, done)
    if done["status"] != "complete":
        assert done["error"]["message"], fault
    for dataset in done["datasets"]:
        name, status = dataset["name"], dataset["status"]
        if name == "claims":
            continue
        if status == "complete":
            missing = everything[name] - stored[name]
            if not stored[name] and _says_that_it_is_empty(done):
                continue
            assert not missing, f"{fault}: {name} is complete, but lacks {len(missing)} records"
        else:
            assert status in NOT_COMPLETE, (fault, dataset)
            assert dataset["error"] or dataset["failed"] or done["status"] != "complete", fault
