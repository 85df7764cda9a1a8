"""The command line with a probe on its event loop, which writes a line of JSON a second to PROBE.

`lags` counts by milliseconds how late the loop was, sampled every 10 ms; a blocked loop counts for
every sample that it missed. `tasks` is the number of tasks."""

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

import service.__main__ as command_line

EVERY = 0.01
LINE = 1.0
#: Milliseconds; a longer delay counts as this one.
MOST = 60_000


async def watch(path: Path) -> None:
    lags: Counter[int] = Counter()
    last = written = monotonic()
    with path.open("a") as file:
        while True:
            await asyncio.sleep(EVERY)
            now = monotonic()
            late = now - last - EVERY
            while late > -EVERY:
                lags[min(MOST, max(0, round(late * 1000)))] += 1
                late -= EVERY
            last = now
            if now - written >= LINE:
                line = {"at": now, "tasks": len(asyncio.all_tasks()), "lags": lags}
                print(json.dumps(line), file=file, flush=True)
                written, lags = now, Counter()


async def probed(*args: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(watch, Path(os.environ["PROBE"]))
        await run_service(*args)
        group.cancel_scope.cancel()


if __name__ == "__main__":
    run_service = command_line.run_service
    command_line.run_service = probed  # type: ignore[assignment]
    command_line.main()
