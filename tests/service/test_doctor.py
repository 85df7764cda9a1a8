"""`python -m service doctor`: what is wrong, what to do about it, and an exit code."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from connectors import amazon_sandbox
from connectors.amazon import examination
from connectors.base import SystemClock
from service import doctor as reports
from service.__main__ import main
from service.check import ok, problem
from service.checks import files
from service.store.migrations import migrate
from tests.databases import DATABASES
from tests.journeys.test_amazon import local_sandbox
from tests.servers import free_port, redis
from tests.service.clocks import FastClock
from tests.serving import KEY, SECRET, serve

Json = dict[str, Any]


def doctor(*options: str, **environ: str) -> Result:
    values = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "CONNECTORS": "demo", **environ}
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


@pytest.mark.sqlite
def test_a_relative_path_is_examined_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    migrate("sqlite:///data/sync.db")
    names = ("settings", "data", "disk", "schema", "keys")
    assert levels(report()) == dict.fromkeys(names, "ok"), "the default of DATABASE_URL"


# Settings -----------------------------------------------------------------------------------------


def test_settings_that_are_not_valid_are_named_alone() -> None:
    checks = report(DATABASE_URL="mysql://host/sync", PORT="99999")
    assert list(checks) == ["settings"]
    assert "DATABASE_URL" in checks["settings"]["text"] and "PORT" in checks["settings"]["text"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "abc", "whole number"),
        ("AUTH_SECRET", "short", "at least 32"),
        ("AUTH_JWKS", "/nowhere/keys.json", "is not usable"),
        ("SECRETS_KEYS", "", "Create one"),
        ("SECRETS_KEYS", "no key", "malformed"),
        ("DATABASE_URL", "postgresql://host:port/name", "DATABASE_URL"),
        ("REDIS_URL", "http://127.0.0.1", "redis://"),
        ("ROLE", "web", "PostgreSQL"),
        ("TRUSTED_PROXIES", "the proxy", "address"),
        ("PLANS", "{", "JSON"),
        ("CORS_ORIGINS", "shop.example", "origin"),
        ("CONNECTORS", "ebay", "amazon, demo"),
        ("METRICS_TOKEN", "secret", "16"),
        ("WEBHOOKS_SCHEDULE", "soon", "numbers"),
        ("NOTIFICATIONS_SECRET", "short", "32 bytes"),
        ("AMAZON_SP_API_URL", "sandbox", "https://example.com"),
        ("AMAZON_CLAIM_WINDOWS", '{"US":{"R99":[1,2]}}', "R99"),
    ],
)
def test_each_setting_that_is_not_valid_is_named_with_what_it_must_be(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/sync.db", "CONNECTORS": "amazon,demo"}
    check = report(**{**environ, name: value})["settings"]
    assert check["level"] == "problem"
    assert name in check["text"] and words in check["text"], check
    assert check["remedy"] == "See docs/settings.md."


# Keys and sources ---------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_lost_key_is_named_with_the_number_of_connections(tmp_path: Path) -> None:
    async def keys(value: str) -> Json:
        environ = DATABASES.environ(tmp_path) | {"SECRETS_KEYS": value}
        return (await anyio.to_thread.run_sync(lambda: report(**environ)))["keys"]

    async with serve(tmp_path) as service:
        await service.user().connect()
    other = Fernet.generate_key().decode()
    assert (await keys(KEY))["level"] == "ok"
    lost = await keys(other)
    assert (lost["level"], "1 of 1" in lost["text"]) == ("problem", True)
    assert "connect again" in lost["remedy"]
    assert (await keys(f"{other},{KEY}"))["level"] == "ok"


def of_amazon(folder: Path, **environ: str) -> dict[str, Json]:
    checks = report(DATABASE_URL=f"sqlite:///{folder}/sync.db", CONNECTORS="amazon", **environ)
    return {name: check for name, check in checks.items() if name.startswith("amazon")}


@pytest.fixture
def amazon_api() -> Iterator[dict[str, str]]:
    """The environment of a service whose Amazon is a local one."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(local_sandbox(orders=1)) as url,
    ):
        yield amazon_sandbox.environ(url)


def test_credentials_that_amazon_accepts_are_healthy(
    tmp_path: Path, amazon_api: dict[str, str]
) -> None:
    checks = of_amazon(tmp_path, **amazon_api)
    names = ("amazon credentials", "amazon source clock", "amazon consent")
    assert levels(checks) == dict.fromkeys(names, "ok")
    assert "/api/connections/amazon/callback" in checks["amazon consent"]["text"]


def test_credentials_that_amazon_refuses_are_a_problem(
    tmp_path: Path, amazon_api: dict[str, str]
) -> None:
    wrong = {"AMAZON_CLIENT_SECRET": "wrong-one"}
    check = of_amazon(tmp_path, **amazon_api | wrong)["amazon credentials"]
    assert check["level"] == "problem" and "AMAZON_CLIENT_SECRET" in check["text"]
    assert "Seller Central" in check["remedy"]


def test_credentials_and_an_application_id_that_are_not_set_are_named(tmp_path: Path) -> None:
    checks = of_amazon(tmp_path, AMAZON_CLIENT_ID="only")
    assert levels(checks) == {"amazon credentials": "warning", "amazon consent": "warning"}
    assert "AMAZON_CLIENT_SECRET" in checks["amazon credentials"]["text"]
    assert "AMAZON_APP_ID" in checks["amazon consent"]["text"]


def test_a_login_that_does_not_respond_is_named(
    tmp_path: Path, amazon_api: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "PATIENCE", 1.0)
    nowhere = f"http://127.0.0.1:{free_port()}/auth/o2/token"
    check = of_amazon(tmp_path, **amazon_api | {"AMAZON_LWA_URL": nowhere})["amazon credentials"]
    assert check["level"] == "problem" and nowhere in check["text"]
    assert "AMAZON_LWA_URL" in check["remedy"]


@pytest.mark.parametrize(("days", "words"), [(0.01, "864 s ahead of"), (-3, "259,200 s behind")])
def test_a_clock_that_differs_from_amazons_is_named(
    tmp_path: Path,
    amazon_api: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    words: str,
) -> None:
    wrong = SystemClock().now() + timedelta(days=days)
    monkeypatch.setattr(reports, "SystemClock", lambda: FastClock(1.0, wrong))
    check = of_amazon(tmp_path, **amazon_api)["amazon source clock"]
    assert check["level"] == "warning" and "NTP" in check["remedy"]
    seconds, side = words.split(" s ")
    shown = re.search(r"([\d,]+) s (behind|ahead of)", check["text"])
    assert shown and shown[2] == side
    assert abs(int(shown[1].replace(",", "")) - int(seconds.replace(",", ""))) < 120


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
        **dict.fromkeys(("settings", "database", "encoding", "writable", "clock", "keys"), "ok"),
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
        "ok       disk                Fine.",
        "problem  database            Gone.",
        "                             Start it.",
    ]
