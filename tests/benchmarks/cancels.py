"""How long it takes to cancel syncs that wait for a response, a retry or a quota: fifty of each."""

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint

from connectors import amazon_sandbox as amazon
from tests.journeys.process import free_port, sandbox
from tests.serving import Serving, User, serve

RUNNING = 50
WAITS = {
    "for a response": {"slow": 30},
    "for a retry": {"error500": 1.0},
    "for a quota": {"quotas": {name: [0.001, 1] for name in ("searchOrders", "createReport")}},
}


async def run() -> dict[str, float]:
    results: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox(Path(folder), free_port(), 300, 1) as source,
    ):
        environ: dict[str, Any] = amazon.environ(source.url)
        async with (
            httpx.AsyncClient(base_url=source.url) as control,
            serve(Path(folder), **environ) as service,
        ):
            users = [service.user(f"user-{number}") for number in range(RUNNING)]
            for seed, user in enumerate(users, 1):
                await user.connect(**amazon.connection(seed, 300))
            for what, faults in WAITS.items():
                (await control.post("/_sandbox/faults", json=faults)).raise_for_status()
                spent = await _cancel_all(service, users)
                results[f"ms until a sync that waits {what} has ended: 99 of 100"] = spent
    return results


async def _cancel_all(service: Serving, users: list[User]) -> float:
    syncs = [(user, await user.start()) for user in users]
    await anyio.sleep(3)  # until all of them wait
    spent = []
    for user, sync_id in syncs:
        assert (await user.status(sync_id))["status"] == "in_progress"
        begin = perf_counter()
        assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
        while service.parts.registry.runs(sync_id):
            await checkpoint()
        spent.append((perf_counter() - begin) * 1000)
    return sorted(spent)[round(len(spent) * 0.99) - 1]
