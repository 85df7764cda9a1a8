"""Runs benchmarks: prints tables, writes bench.json. `python -m tests.benchmarks [name …]`"""

import json
import platform
import sys
from pathlib import Path

import anyio
import structlog

from tests.benchmarks import (
    backfill,
    bulk,
    cancels,
    downloads,
    fairness,
    feeds,
    history,
    hostile,
    landing,
    landing_postgres,
    polls,
    starts,
    streams,
)

BENCHMARKS = {
    "streams": streams,
    "polls": polls,
    "landing": landing,
    "landing-postgres": landing_postgres,
    "starts": starts,
    "cancels": cancels,
    "fairness": fairness,
    "hostile": hostile,
    "history": history,
    "backfill": backfill,
    "bulk": bulk,
    "downloads": downloads,
    "feeds": feeds,
}


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    names = sys.argv[1:] or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"Unknown benchmark {', '.join(unknown)}. Choose from {', '.join(BENCHMARKS)}.")
    results = {}
    for name in names:
        rows = results[name] = await BENCHMARKS[name].run()
        print(f"\n{name}: {(BENCHMARKS[name].__doc__ or '').splitlines()[0]}")
        for what, figure in rows.items():
            print(f"  {what:<62} {figure:>12,.2f}")
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    Path("bench.json").write_text(json.dumps({**machine, "results": results}, indent=2) + "\n")


if __name__ == "__main__":  # a child process imports this file too
    anyio.run(main, backend_options={"use_uvloop": True})
