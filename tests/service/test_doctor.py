"""`python -m service doctor`: what is wrong, what to do about it, and an exit code."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from click.testing import CliRunner, Result

from service import doctor as reports
from service.__main__ import main
from service.check import ok, problem
from service.checks import files
from service.store.migrations import migrate
from tests.databases import DATABASES
from tests.servers import free_port, redis
from tests.serving import KEY, SECRET, serve

Json = dict[str, Any]


def doctor(*options: str, **environ: str) -> Result:
    values = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, **environ}
    result = CliRunner().invoke(main, ["doctor", *options], env=values)
    assert "Traceback" not in result.output
    return result


def report(**environ: str) -> dict[str, Json]:
    """The checks by name. The exit code says whether one is a problem."""
    result = doctor("--json", **environ)
    body = json.loads(result.output)
    checks = {check["name"]: check for check in body["checks"]}
    healthy = all(check["level"] != "problem" for check in checks.values())
    assert body["healthy"] is healthy
    assert result.exit_code == (0 if healthy else 1)
    return checks


def levels(checks: dict[str, Json]) -> dict[str, str]:
    return {name: check["level"] for name, check in checks.items()}


# SQLite -------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_new_folder_is_healthy_and_stays_untouched(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    checks = report(DATABASE_URL=f"sqlite:///{folder}/sync.db")
    assert levels(checks) == dict.fromkeys(("settings", "data", "disk", "schema"), "ok")
    assert "creates" in checks["schema"]["text"] and not folder.exists()


@pytest.mark.sqlite
@pytest.mark.anyio
async def test_a_running_service_is_healthy(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        await service.user().connect()
        url = f"sqlite:///{tmp_path}/sync.db"
        checks = await anyio.to_thread.run_sync(lambda: report(DATABASE_URL=url))
    assert set(levels(checks).values()) == {"ok"}


@pytest.mark.sqlite
def test_a_database_of_another_version_or_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sync.db"
    environ = {"DATABASE_URL": f"sqlite:///{path}"}
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    assert report(**environ)["schema"]["level"] == "ok"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in report(**environ)["schema"]["text"]
    path.write_bytes(b"no database, but long enough to be read as one" * 100)
    assert "cannot be read as a database" in report(**environ)["schema"]["text"]


@pytest.mark.sqlite
def test_a_full_disk_and_a_file_for_a_folder_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    checks = report(DATABASE_URL=f"sqlite:///{tmp_path}/file/sync.db")
    assert checks["data"]["level"] == "problem" and "not a folder" in checks["data"]["text"]
    url = f"sqlite:///{tmp_path}/sync.db"
    monkeypatch.setattr(files, "LITTLE", 2**60)
    assert report(DATABASE_URL=url)["disk"]["level"] == "warning"
    monkeypatch.setattr(files, "TOO_LITTLE", 2**60)
    assert report(DATABASE_URL=url)["disk"]["level"] == "problem"


def test_settings_that_are_not_valid_are_named_alone() -> None:
    checks = report(DATABASE_URL="mysql://host/sync", PORT="99999")
    assert list(checks) == ["settings"]
    assert "DATABASE_URL" in checks["settings"]["text"] and "PORT" in checks["settings"]["text"]


# A cluster ----------------------------------------------------------------------------------------


@pytest.fixture
def database() -> Iterator[str]:
    with DATABASES.one() as url:
        yield url


def test_a_cluster_without_workers_is_told_to_start_one(database: str, tmp_path: Path) -> None:
    with redis() as server:
        checks = report(DATABASE_URL=database, DATABASE_POOL="2", REDIS_URL=server.url)
        text = doctor(DATABASE_URL=database, DATABASE_POOL="2", REDIS_URL=server.url).output
    assert levels(checks) == {
        **dict.fromkeys(("settings", "database", "encoding", "writable", "clock"), "ok"),
        **dict.fromkeys(("connections", "schema", "procrastinate", "jobs"), "ok"),
        **dict.fromkeys(("redis", "redis_memory", "redis_prefix"), "ok"),
        "workers": "warning",
    }
    assert "python -m service work" in text
    assert all(line.split()[0] in ("ok", "warning", "Start") for line in text.splitlines())


def test_stuck_syncs_are_named(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = 'sync_progress' AND is_nullable = 'NO'"
            " AND column_default IS NULL"
        ).fetchall()
        values = {name: 1 if kind == "bigint" else "x" for name, kind in columns}
        values |= {"id": "stuck", "status": "in_progress"}
        names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        connection.execute("SET session_replication_role = replica")  # no foreign keys
        connection.execute(f"INSERT INTO sync_progress ({names}) VALUES ({marks})", values)
    checks = report(DATABASE_URL=database, DATABASE_POOL="2")
    assert checks["jobs"]["level"] == "warning" and checks["jobs"]["text"].startswith("1 live")


def test_what_depends_on_something_broken_is_left_out() -> None:
    port = free_port()
    checks = report(
        DATABASE_URL=f"postgresql://127.0.0.1:{port}/sync", REDIS_URL=f"redis://127.0.0.1:{port}"
    )
    assert levels(checks) == {"settings": "ok", "database": "problem", "redis": "problem"}
    assert "nothing listens there" in checks["database"]["text"]


def test_the_text_has_each_remedy_below_its_check() -> None:
    checks = [ok("disk", "Fine."), problem("database", "Gone.", "Start it.")]
    assert reports.as_text(checks).splitlines() == [
        "ok       disk          Fine.",
        "problem  database      Gone.",
        "                       Start it.",
    ]
