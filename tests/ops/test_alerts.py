"""The alerts fire when what they name happens, and only then. Each test plants the cause in the
real service, and gives what `/metrics` then shows to Prometheus's own tool."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from connectors.base import SourceError
from service.pipeline.reading import Reading
from service.store.engine import Unavailable
from service.store.operations import OperationsStore
from tests.databases import DATABASES, ON_POSTGRES
from tests.servers import program
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Json, Serving, read, serve

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "ops/alerts.yml"
RULES: list[Json] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
DASHBOARD: Json = json.loads((ROOT / "ops/dashboard.json").read_text())
LATER = ("seller_sync_webhook_lag_seconds",)
"""Metrics that appear when something waits."""


async def scrape(service: Serving) -> str:
    async with service.anonymous() as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return answer.text


def series(text: str) -> dict[str, float]:
    """The values of a scrape by their series, as Prometheus writes them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def firing(folder: Path, before: str, after: str) -> str | None:
    """The alert that fires half an hour after the first scrape turned into the second; None without
    one. More than one fails the test."""
    old, new = series(before), series(after)
    values = [
        {"series": name, "values": f"{old.get(name, 0):.6f}+0x5 {value:.6f}+0x40"}
        for name, value in new.items()
    ]
    names: list[str | None] = [None, *(rule["alert"] for rule in RULES)]
    for alert in names:
        fires = [{"labels": f'{{alertname="{alert}"}}', "value": 1}] if alert else []
        checks = [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "35m",
                "exp_samples": fires,
            }
        ]
        case = {"interval": "1m", "input_series": values, "promql_expr_test": checks}
        test = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}
        path = folder / "case.yml"
        path.write_text(yaml.safe_dump(test))
        command = [program("promtool"), "test", "rules", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return alert
    raise AssertionError(done.stdout + done.stderr)


def test_the_rules_are_valid() -> None:
    subprocess.run([program("promtool"), "check", "rules", str(ALERTS)], check=True)


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_the_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"panel_{n}", "expr": text} for n, text in enumerate(expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    subprocess.run([program("promtool"), "check", "rules", str(path)], check=True)


async def test_every_metric_of_the_alerts_and_the_dashboard_exists(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        text = await scrape(service)
    known = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) | set(LATER)
    known |= {f"{name}_bucket" for name in known}
    if ON_POSTGRES:
        known |= {"seller_sync_disk_free_bytes", "seller_sync_disk_size_bytes"}
    for expression in (*(rule["expr"] for rule in RULES), *expressions()):
        used = set(re.findall(r"(?:seller_sync|process)_\w+", expression))
        assert used and used <= known, expression


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    chapter = page.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", chapter, re.MULTILINE) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        entry = chapter.partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
        for part in ("Symptom", "Causes", "What to do"):
            assert f"**{part}**" in entry, (rule["alert"], part)
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"


# Each alert ---------------------------------------------------------------------------------------


async def test_no_alert_fires_while_syncs_run_and_complete(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        before = await scrape(service)
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        assert firing(tmp_path, before, await scrape(service)) is None


async def test_a_sync_without_pages_is_announced(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    async with serve(tmp_path, clock, DEMO_PAUSE="1000000") as service:
        before = await scrape(service)
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        operator = service.user("olga", role="operator")
        with anyio.fail_after(PATIENCE):
            while True:
                (sync,) = read(await operator.get("/api/operations"))["syncs"]
                if sync["waitingUntil"]:
                    break
                await anyio.sleep(0.05)
        assert firing(tmp_path, before, await scrape(service)) is None, "the wait is planned"
        clock.jump(timedelta(seconds=1_000_000, minutes=17))
        after = await scrape(service)
        await ann.post(f"/api/sync/cancel/{sync_id}")
    assert firing(tmp_path, before, after) == "SyncStuck"


async def test_syncs_that_fail_are_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_: Reading) -> None:
        raise SourceError("The source is closed.")

    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        ann = service.user()
        await ann.connect()
        before = await scrape(service)
        for _ in range(3):
            await ann.whole_sync()
        monkeypatch.setattr(Reading, "read_all", refused)
        assert (await ann.whole_sync())["status"] == "failed"
        assert firing(tmp_path, before, await scrape(service)) == "SyncFailureRate"
        monkeypatch.undo()
        for _ in range(2):
            await ann.whole_sync()
        assert firing(tmp_path, before, await scrape(service)) is None, "one of six"


async def test_a_backlog_is_announced(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="1000000", MAX_RUNNING_SYNCS="1") as service:
        before = await scrape(service)
        ann, bob = service.user(), service.user("bob")
        for user in (ann, bob):
            await user.connect()
        syncs = [(ann, await ann.start()), (bob, await bob.start())]
        with anyio.fail_after(PATIENCE):
            while series(await scrape(service))["seller_sync_waiting{}"] != 1:
                await anyio.sleep(0.05)
        _copy_waiting(tmp_path, 100)
        assert firing(tmp_path, before, await scrape(service)) == "SyncBacklog"
        for user, sync_id in syncs:
            await user.post(f"/api/sync/cancel/{sync_id}")


def _copy_waiting(folder: Path, count: int) -> None:
    """Copy the sync that waits, for so many other users."""
    with DATABASES.opened(folder) as database:
        cursor = database.execute("SELECT * FROM sync_progress WHERE status = 'pending'")
        names = [column[0] for column in cursor.description]
        row = dict(zip(names, cursor.fetchone(), strict=True))
        mark = "%s" if ON_POSTGRES else "?"
        columns, marks = ", ".join(names), ", ".join([mark] * len(names))
        for number in range(count):
            other = row | {"id": f"sync_{number:032}", "user_id": f"other/{number}"}
            database.execute(
                f"INSERT INTO sync_progress ({columns}) VALUES ({marks})", tuple(other.values())
            )


async def test_a_schedule_without_complete_syncs_is_announced(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    async with serve(tmp_path, clock, DEMO_ORDERS="1") as service:
        before = await scrape(service)
        ann = service.user()
        connection = await ann.connect()
        path = f"/api/connections/{connection['id']}/schedule"
        answer = await ann.http.put(path, json={"cron": "0 2 1 * *"})
        assert answer.status_code == 200, answer.text
        clock.jump(timedelta(days=70))
        assert firing(tmp_path, before, await scrape(service)) == "SyncScheduleOverdue"


@pytest.mark.skipif(not ON_POSTGRES, reason="on SQLite, feeds are never late")
async def test_feeds_that_are_late_are_announced(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    async with serve(tmp_path, clock, DEMO_ORDERS="1") as service:
        before = await scrape(service)
        ann = service.user()
        await ann.connect()
        with DATABASES.opened(tmp_path) as other:
            other.execute("BEGIN")
            other.execute("SELECT pg_current_xact_id()")  # a transaction that does not end
            await ann.whole_sync()
            clock.jump(timedelta(minutes=5))
            after = await scrape(service)
            other.execute("ROLLBACK")
    assert firing(tmp_path, before, after) == "SyncOutboxLag"


@pytest.mark.sqlite
async def test_a_disk_that_is_nearly_full_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        before = await scrape(service)
        disk = shutil._ntuple_diskusage(1000, 950, 50)
        monkeypatch.setattr("service.api.figures.shutil.disk_usage", lambda _: disk)
        assert firing(tmp_path, before, await scrape(service)) == "SyncDiskNearlyFull"


async def test_a_database_that_is_away_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: OperationsStore) -> None:
        raise Unavailable("away")

    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        before = await scrape(service)
        monkeypatch.setattr(OperationsStore, "counts", away)
        assert firing(tmp_path, before, await scrape(service)) == "SyncDatabaseAway"
