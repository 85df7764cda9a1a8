"""How long a cancel takes to be obeyed by syncs that wait: for an answer, for better times, for a
quota. Fifty of each run at once."""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint

from connectors import amazon_sandbox as amazon
from tests.benchmarks.starts import free_port
from tests.journeys.process import sandbox
from tests.serving import Serving, User, serve

RUNNING = 50
WAITS = {
    "for an answer that does not come": {"slow": 30},
    "before a failed call is tried again": {"error500": 1.0},
    "for a quota": {"quotas": {name: [0.001, 1] for name in ("searchOrders", "createReport")}},
}


async def run() -> dict[str, float]:
    found: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox(Path(folder), free_port(), 300, 1) as far,
    ):
        environ: dict[str, Any] = amazon.environ(far.url)
        async with (
            httpx.AsyncClient(base_url=far.url) as door,
            serve(Path(folder), **environ) as near,
        ):
            users = [near.user(f"user-{number}") for number in range(RUNNING)]
            for seed, user in enumerate(users, 1):
                await user.connect(**amazon.connection(seed, 300))
            for what, faults in WAITS.items():
                (await door.post("/_sandbox/faults", json=faults)).raise_for_status()
                spent = await _cancel_all(near, users)
                found[f"ms until it has ended, waiting {what}: 99 of 100"] = spent
    return found


async def _cancel_all(near: Serving, users: list[User]) -> float:
    syncs = [(user, await user.start()) for user in users]
    await anyio.sleep(3)  # until all of them wait
    spent = []
    for user, sync_id in syncs:
        assert (await user.status(sync_id))["status"] == "in_progress"
        begin = perf_counter()
        assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
        while near.parts.registry.runs(sync_id):
            await checkpoint()
        spent.append((perf_counter() - begin) * 1000)
    return sorted(spent)[round(len(spent) * 0.99) - 1]
