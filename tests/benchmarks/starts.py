"""How long a start takes to be answered while 100 other syncs run, and a cancel to be obeyed."""

import tempfile
from pathlib import Path
from time import perf_counter

from tests.serving import serve

RUNNING = 100
STARTS = 50


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        slow = serve(
            Path(folder),
            MAX_RUNNING_SYNCS="500",
            DEMO_PAUSE="0.5",
            DEMO_PAGE="25",
            DEMO_ORDERS="100000",
        )
        async with slow as near:
            for number in range(RUNNING):
                user = near.user(f"busy-{number}")
                await user.connect()
                await user.start()
            starts, cancels = [], []
            for number in range(STARTS):
                user = near.user(f"new-{number}")
                await user.connect()
                begin = perf_counter()
                sync_id = await user.start()
                starts.append((perf_counter() - begin) * 1000)
                begin = perf_counter()
                assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
                cancels.append((perf_counter() - begin) * 1000)
    return {
        "ms to answer a start while 100 syncs run, median": sorted(starts)[STARTS // 2],
        "the same, the slowest of 50": max(starts),
        "ms to answer a cancel, the slowest of 50": max(cancels),
    }
