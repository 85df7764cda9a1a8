"""Live syncs that move from SQLite to PostgreSQL: workers continue them, at the same attempt."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from tests.databases import DATABASES
from tests.journeys.process import ROOT, service, worker
from tests.serving import KEY, PATIENCE, SECRET, token

pytestmark = [pytest.mark.sqlite]

DEMO = {"DEMO_ORDERS": "200", "DEMO_PAGE": "10", "MAX_RUNNING_SYNCS": "1"}
RECORDS = "SELECT dataset, id, data, hash FROM records WHERE connection_id = '{}' ORDER BY 1, 2"


def start(url: str, user: str) -> tuple[str, str]:
    """Connect and start; returns the ids of the connection and of the sync."""
    headers = {"Authorization": f"Bearer {token(user)}"}
    with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE) as client:
        body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
        connected = client.post("/api/connections", json=body).json()
        return connected["id"], client.post("/api/sync/start", json={}).json()["syncId"]


def until(seconds: float, condition: Callable[[], Any]) -> None:
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "the condition was not met in time"
        sleep(0.05)


def bodies(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Syncs by the `sub` of their users."""
    decoded = [msgspec.json.decode(body) for (body,) in rows]
    return {body["user"].rpartition("/")[2]: body for body in decoded}


def test_interrupted_and_waiting_syncs_are_completed_by_a_worker_after_the_move(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    path, target = tmp_path / "sync.db", DATABASES.without_schema()
    query = "SELECT body FROM sync_progress ORDER BY id"

    def stored() -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as source:
            return source.execute(query).fetchall()

    with service(tmp_path, free_port(), DEMO_PAUSE="0.3", **DEMO) as before:
        undisturbed, _ = start(before.url, "ann")
        until(90, lambda: bodies(stored())["ann"]["status"] == "complete")
        interrupted, _ = start(before.url, "bob")
        waiting, _ = start(before.url, "eve")
        until(60, lambda: records(sqlite3.connect(path), interrupted))
        before.kill()
    old = bodies(stored())
    assert (old["bob"]["status"], old["eve"]["status"]) == ("in_progress", "pending")
    done = subprocess.run(
        [sys.executable, "-m", "service", "move", "--to", target],
        cwd=ROOT,
        env={
            **os.environ,
            **{"DATABASE_URL": f"sqlite:///{path}", "AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY},
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continue when a worker runs: 2" in done.stdout
    with (
        worker(tmp_path, DATABASE_URL=target, **DEMO) as after,
        psycopg.connect(target, autocommit=True) as database,
    ):
        until(
            120,
            lambda: (
                {sync["status"] for sync in bodies(database.execute(query).fetchall()).values()}
                == {"complete"}
            ),
        )
        new = bodies(database.execute(query).fetchall())
        expected = records(database, undisturbed)
        assert len(expected) == 210
        assert records(database, interrupted) == records(database, waiting) == expected
        assert "Traceback" not in after.log
    for user in ("bob", "eve"):
        assert new[user]["attempt"] == old[user]["attempt"] == 1
        counts = [
            [(of["name"], of["processed"], of["total"]) for of in sync["datasets"]]
            for sync in (new[user], new["ann"])
        ]
        assert counts[0] == counts[1]


def records(database: Any, connection: str) -> list[Any]:
    return list(database.execute(RECORDS.format(connection)).fetchall())
