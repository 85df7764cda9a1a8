"""Readers of Redis Streams with a consumer group, as processes that can be killed. They run the
code of docs/feeds.md."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.journeys.process import Process, Restarting

ROOT = Path(__file__).parents[2]
READER = """
import sys
sys.path.insert(0, sys.argv[3])
from tests.journeys.countdown import Countdown
countdown = Countdown(os.environ.get("DIE_AT", ""))
begin()
with open(sys.argv[2], "a", buffering=1) as handled:
    def handle(change, event):
        handled.write(f"{change} {event['recordId']}\\n")
        countdown.passes("handled")
    while True:
        read(sys.argv[1], handle)
"""


def block(language: str) -> str:
    """The last block in this language of the page about feeds."""
    text = (ROOT / "docs/feeds.md").read_text()
    return str(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[-1])


def key_of(environ: Mapping[str, str], dataset: str = "orders") -> str:
    return f"{environ['REDIS_PREFIX']}:records:demo:{dataset}"


def here(code: str, environ: Mapping[str, str], dataset: str = "orders") -> str:
    """Code of the documents with the stream of the test, and without its minute of waiting."""
    assert "seller-sync:records:amazon:orders" in code
    code = code.replace("seller-sync:records:amazon:orders", key_of(environ, dataset))
    return code.replace("60_000", "300")


def published(redis: Redis, key: str) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a stream: the id of the change, and the change."""
    found: Any = redis.xrange(key)
    return [(fields[b"change"].decode(), json.loads(fields[b"event"])) for _, fields in found]


@contextmanager
def reader(
    folder: Path, environ: Mapping[str, str], dataset: str = "orders"
) -> Iterator[Restarting]:
    """A process that reads with the group and notes what it has handled; a new name each time.
    With DIE_AT=handled:n it kills itself before it acknowledges the n-th change."""
    script, names = folder / f"reader-{dataset}.py", iter(range(1000))
    script.write_text(here(block("python"), environ, dataset) + READER)
    handled, log = folder / f"handled-{dataset}", folder / f"reader-{dataset}.log"

    @contextmanager
    def run() -> Iterator[Process]:
        command = [sys.executable, str(script), f"reader-{next(names)}", str(handled), str(ROOT)]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command, env={**os.environ, **environ}, stdout=output, stderr=output
            )
        process = Process("", popen, log)
        try:
            yield process
        finally:
            process.kill()

    with Restarting(run) as restarting:
        yield restarting


def handled(folder: Path, dataset: str = "orders") -> dict[str, str]:
    """The records that the readers have handled, by the ids of the changes."""
    lines = (folder / f"handled-{dataset}").read_text().splitlines()
    return {change: record for change, _, record in (line.partition(" ") for line in lines)}
