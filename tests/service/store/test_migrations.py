"""Databases of older schemas: each row gets its user and settings, and paused syncs resume."""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from service.app import rotate_credentials
from service.credentials import decrypt, read_keys
from service.errors import StartupError
from service.store.migrations import FOLDER, migrate, newest
from service.users import user_id
from tests.service.api.answers import TINY, problem
from tests.serving import KEY, Json, User, read, serve
from tests.serving import settings as serving_settings

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

AT = "2026-11-20T12:00:00.000000Z"
DATASETS = ("orders", "inventory", "claims")
ROOT = Path(__file__).parents[3]
PAUSED = "sync_00000000000000000000000000000001"


def old_database(path: Path, revision: str = "0003") -> sqlite3.Connection:
    """An empty database of an older schema."""
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return sqlite3.connect(path, isolation_level=None)


def insert(database: sqlite3.Connection, table: str, **row: Any) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def connection(
    database: sqlite3.Connection,
    id: str,
    sub: str,
    tenant: str,
    token: str = "good",
    region: str = "NA",
) -> None:
    insert(
        database,
        "connections",
        **{"id": id, "user_id": sub, "tenant_id": tenant, "connector": "demo", "region": region},
        **{"marketplace_ids": '["DEMO"]', "environment": "production", "name": f"Shop of {id}"},
        **{"credentials": read_keys(KEY).encrypt(token.encode()).decode(), "created_at": AT},
    )


def sync(
    database: sqlite3.Connection,
    id: str,
    sub: str,
    tenant: str,
    of: str,
    status: str = "complete",
    warnings: Sequence[str] = (),
) -> None:
    """A sync as schema 0003 stored it: the `sub` alone is the user, and warnings are texts."""
    ended = None if status in ("pending", "in_progress", "paused") else AT
    span = {"since": "2026-08-20T12:00:00Z", "until": "2026-11-20T12:00:00Z"}
    datasets = [{"name": n, "label": n, "checkpoint": {"window": span}} for n in DATASETS]
    body: Json = {
        **{"id": id, "user": sub, "tenant": tenant, "connector": "demo", "connection_id": of},
        **{"started_at": AT, "updated_at": AT, "completed_at": ended, "status": status},
        **{"stage": "fetching", "percent": 30, "message": "…", "version": 4, "datasets": datasets},
        "warnings": warnings,
    }
    insert(
        database,
        "sync_progress",
        **{"id": id, "user_id": sub, "tenant_id": tenant, "connection_id": of, "status": status},
        **{"connector": "demo", "stage": "fetching", "progress": 30, "message": "…", "version": 4},
        **{"started_at": AT, "completed_at": ended, "updated_at": AT},
        body=msgspec.json.encode(body).decode(),
    )


def claim(database: sqlite3.Connection, id: str, sub: str, of: str) -> None:
    body = {
        **{"id": id, "rule": "R1", "title": "Lost", "status": "claimable", "units": 1},
        **{"amount": "10.50", "currency": "USD", "opens": "2026-11-01", "closes": "2027-01-01"},
        **{"confidence": "high", "valuation": "your cost", "evidence": {}},
    }
    insert(
        database,
        "claims",
        **{"id": id, "user_id": sub, "connection_id": of, "rule": "R1", "currency": "USD"},
        **{"hundredths": 1050, "opens": "2026-11-01", "closes": "2027-01-01", "reimbursed": 0},
        **{"sync_id": "s", "updated_at": AT, "body": msgspec.json.encode(body).decode()},
    )


def audit(database: sqlite3.Connection, id: str, sub: str, tenant: str, **of: str) -> None:
    insert(
        database,
        "audit_logs",
        **{"id": id, "at": AT, "action": "started", "user_id": sub, "tenant_id": tenant},
        **{"actor": sub, "details": "{}", **of},
    )


def key(database: sqlite3.Connection, sub: str, name: str, of: str) -> None:
    row = {"user_id": sub, "key": name, "request": "r", "sync_id": of, "at": AT}
    insert(database, "idempotency_keys", **row)


def cost(database: sqlite3.Connection, sub: str, sku: str) -> None:
    insert(database, "costs", user_id=sub, sku=sku, amount="1", currency="EUR")


def shared_sub(path: Path) -> None:
    """Create a database of one `sub` in two tenants, which share all rows of the `sub`."""
    with old_database(path) as database:
        connection(database, "conn_a", "ann", "acme")
        connection(database, "conn_b", "ann", "other")
        sync(database, "sync_00000000000000000000000000000001", "ann", "acme", "conn_a")
        sync(database, "sync_00000000000000000000000000000002", "ann", "other", "conn_b")
        sync(
            database, "sync_00000000000000000000000000000003", "ann", "other", "conn_a"
        )  # started by one tenant with the other's account
        sync(database, "sync_00000000000000000000000000000004", "ann", "other", "conn_b", "paused")
        insert(database, "sync_counts", user_id="ann", total=4)
        for number, (tenant, of) in enumerate([("acme", "a"), ("other", "b"), ("other", "a")], 1):
            of_this = {"sync_id": f"sync_{number:032}", "connection_id": f"conn_{of}"}
            audit(database, f"{number}", "ann", tenant, **of_this)
        key(database, "ann", "monday", "sync_00000000000000000000000000000001")
        key(database, "ann", "tuesday", "sync_00000000000000000000000000000002")
        key(database, "ann", "long ago", "sync_gone")
        claim(database, "claim_a", "ann", "conn_a")
        claim(database, "claim_b", "ann", "conn_b")
        cost(database, "ann", "MUG")
        connection(database, "conn_c", "bob", "acme")
        cost(database, "bob", "CUP")
        insert(database, "consents", state="x", user_id="ann", begun_at=AT, body="{}")
    database.close()


def before_settings(path: Path) -> None:
    """Create a database of schema 0007, with columns for Amazon's settings and a paused sync."""
    with old_database(path, "0007") as database:
        connection(database, "conn_a", "acme/ann", "acme")
        connection(database, "conn_b", "acme/ann", "acme", token="other", region="EU")
        connection(database, "conn_c", "acme/ann", "acme", token="gone")
        sync(database, PAUSED, "acme/ann", "acme", "conn_a", "paused")
        insert(database, "sync_counts", user_id="acme/ann", total=1)
        insert(database, "consents", state="x", user_id="acme/ann", begun_at=AT, body="{}")
        database.execute("UPDATE connections SET account_id = 'shop' WHERE id = 'conn_a'")
        forgotten = (
            "UPDATE connections SET credentials = NULL, forgotten_at = ? WHERE id = 'conn_c'"
        )
        database.execute(forgotten, (AT,))
    database.close()


async def ids(user: User, path: str, of: str, name: str) -> set[str]:
    return {row[name] for row in read(await user.get(path))[of]}


async def listed(user: User) -> dict[str, set[str]]:
    return {
        "connections": await ids(user, "/api/connections", "connections", "id"),
        "syncs": await ids(user, "/api/sync/history", "syncs", "syncId"),
        "claims": await ids(user, "/api/recoveries", "recoveries", "id"),
        "audit": await ids(user, "/api/audit", "entries", "syncId"),
        "costs": await ids(user, "/api/costs", "costs", "sku"),
    }


async def test_each_tenant_of_a_shared_sub_gets_its_own_rows(tmp_path: Path) -> None:
    shared_sub(tmp_path / "sync.db")
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        acme, other = (service.user("ann", tenant=tenant) for tenant in ("acme", "other"))
        assert await listed(acme) == {
            "connections": {"conn_a"},
            "syncs": {
                "sync_00000000000000000000000000000001",
                "sync_00000000000000000000000000000003",
            },
            "claims": {"claim_a"},
            "audit": {
                "sync_00000000000000000000000000000001",
                "sync_00000000000000000000000000000003",
            },
            "costs": set(),
        }
        assert await listed(other) == {
            "connections": {"conn_b"},
            "syncs": {
                "sync_00000000000000000000000000000002",
                "sync_00000000000000000000000000000004",
            },
            "claims": {"claim_b"},
            "audit": {"sync_00000000000000000000000000000002"},
            "costs": set(),
        }
        for user in (acme, other):
            assert read(await user.get("/api/sync/history"))["total"] == 2
        nobody = service.user("ann")
        assert not any((await listed(nobody)).values())
        bob = service.user("bob", tenant="acme")
        assert (await listed(bob))["costs"] == {"CUP"}


async def test_a_paused_sync_resumes_in_its_own_tenant(tmp_path: Path) -> None:
    shared_sub(tmp_path / "sync.db")
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        acme, other = (service.user("ann", tenant=tenant) for tenant in ("acme", "other"))
        assert (await other.status("sync_00000000000000000000000000000004"))["status"] == "paused"
        problem(
            await acme.post("/api/sync/resume/sync_00000000000000000000000000000004"),
            404,
            "not_found",
        )
        assert (await acme.whole_sync())["status"] == "complete", "no sync is live in this tenant"
        assert (
            await other.post("/api/sync/resume/sync_00000000000000000000000000000004")
        ).status_code == 202
        assert (await other.until("sync_00000000000000000000000000000004"))["status"] == "complete"
        entries = read(
            await other.get(
                "/api/audit", params={"syncId": "sync_00000000000000000000000000000004"}
            )
        )["entries"]
        assert {entry["actor"] for entry in entries} == {"ann", "service"}


async def test_settings_of_an_older_schema_are_shown_and_a_paused_sync_resumes(
    tmp_path: Path,
) -> None:
    before_settings(tmp_path / "sync.db")
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        ann = service.user("ann", tenant="acme")
        first, second = read(await ann.get("/api/connections"))["connections"]
        shown = [first[name] for name in ("id", "region", "marketplaceIds", "environment")]
        assert shown == ["conn_a", "NA", ["DEMO"], "production"]
        assert (first["accountId"], second["region"]) == ("shop", "EU")
        assert (await ann.status(PAUSED))["status"] == "paused"
        assert (await ann.post(f"/api/sync/resume/{PAUSED}")).status_code == 202
        assert (await ann.until(PAUSED))["status"] == "complete"


async def test_accounts_of_an_older_schema_cannot_be_connected_twice(tmp_path: Path) -> None:
    before_settings(tmp_path / "sync.db")
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        ann = service.user("ann", tenant="acme")
        for token, holder in (("other", "conn_b"), ("new@shop", "conn_a")):
            body = {"connector": "demo", "refreshToken": token, "skipHistoricalSync": True}
            answer = await ann.post("/api/connections", body)
            assert problem(answer, 409, "already_connected")["connectionId"] == holder
        await ann.connect(refreshToken="new@shop", environment="sandbox")
        answer = await ann.post("/api/connections/conn_b/reconnect", {"refreshToken": "newer"})
        assert (answer.status_code, answer.json()["region"]) == (200, "EU")


async def test_credentials_of_an_older_schema_are_rotated_into_the_new_form(tmp_path: Path) -> None:
    path = tmp_path / "sync.db"
    before_settings(path)
    newer = Fernet.generate_key().decode()
    assert await rotate_credentials(serving_settings(tmp_path, SECRETS_KEYS=f"{newer},{KEY}")) == 2
    sql = "SELECT credentials FROM connections ORDER BY id"
    stored = [value for (value,) in rows(path, sql)]
    opened = [decrypt(read_keys(newer), value) for value in stored if value]
    assert opened == [{"refreshToken": "good"}, {"refreshToken": "other"}]
    assert stored[2] is None and not any(":" in value for value in stored if value)
    assert rows(path, "SELECT * FROM consents") == []


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as database:
        result = database.execute(sql).fetchall()
    database.close()
    return result


def test_keys_counts_and_costs_are_assigned_to_the_user_that_they_belong_to(tmp_path: Path) -> None:
    path = tmp_path / "sync.db"
    shared_sub(path)
    assert migrate(f"sqlite:///{path}") == newest()
    keys = rows(path, "SELECT user_id, key FROM idempotency_keys ORDER BY key")
    assert keys == [("acme/ann", "monday"), ("other/ann", "tuesday")]
    counts = rows(path, "SELECT user_id, total FROM sync_counts ORDER BY user_id")
    assert counts == [("acme/ann", 2), ("other/ann", 2)]
    costs = rows(path, "SELECT user_id, sku FROM costs ORDER BY sku")
    assert costs == [("acme/bob", "CUP"), ("/ann", "MUG")], "unassigned, and not lost"
    assert rows(path, "SELECT * FROM consents") == []
    for user, tenant, body in rows(path, "SELECT user_id, tenant_id, body FROM sync_progress"):
        whole = msgspec.json.decode(body)
        assert (whole["user"], whole["tenant"]) == (user, tenant)
        assert set(whole) > {"datasets", "version", "connection_id"}


names = st.text(st.sampled_from("a/%2F"), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(pairs=st.sets(st.tuples(names, names), min_size=1, max_size=6))
def test_names_that_look_like_ids_of_other_users_do_not_mix_users(
    tmp_path_factory: pytest.TempPathFactory, pairs: set[tuple[str, str]]
) -> None:
    """A `sub` may look like another user's new id, also during the migration."""
    path = tmp_path_factory.mktemp("old") / "sync.db"
    subs: set[str] = set()
    with old_database(path) as database:
        for number, (tenant, sub) in enumerate(sorted(pairs)):
            connection(database, f"conn_{number}", sub, tenant)
            status = "complete" if sub in subs else "paused"
            sync(database, f"sync_{number:032}", sub, tenant, f"conn_{number}", status)
            key(database, sub, f"{number}", f"sync_{number:032}")
            if sub not in subs:
                cost(database, sub, "MUG")
            subs.add(sub)
    database.close()
    migrate(f"sqlite:///{path}")
    expected = [user_id(*pair) for pair in sorted(pairs)]
    for sql in (
        "SELECT user_id FROM connections ORDER BY id",
        "SELECT user_id FROM sync_progress ORDER BY id",
        "SELECT user_id FROM idempotency_keys ORDER BY sync_id",
    ):
        assert [owner for (owner,) in rows(path, sql)] == expected
    alone = {sub: {t for t, s in pairs if s == sub} for sub in subs}
    owners = {user_id(min(t), sub) if len(t) == 1 else f"/{sub}" for sub, t in alone.items()}
    assert {owner for (owner,) in rows(path, "SELECT user_id FROM costs")} == owners


def test_each_file_is_named_by_its_revision_and_follows_the_one_before() -> None:
    scripts = ScriptDirectory(str(FOLDER))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    files = sorted(path.name for path in (FOLDER / "versions").glob("[0-9]*.py"))
    assert [name.split("_")[0] for name in files] == revisions
    assert newest() == scripts.get_current_head() == revisions[-1]
    assert [script.down_revision for script in scripts.walk_revisions()][::-1] == [
        None,
        *revisions[:-1],
    ]


def test_a_start_without_migrations_does_not_import_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sync.db'}"
    migrate(url)
    script = f"""
import sys
from service.store.migrations import migrate
migrate({url!r})
print("alembic" in sys.modules)
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "False\n"


def test_a_second_migration_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sync.db'}"
    assert migrate(url) == migrate(url) == newest()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sync.db'}"
    migrate(url)
    with sqlite3.connect(tmp_path / "sync.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StartupError, match="newer version"):
        migrate(url)


async def test_a_connection_of_before_has_no_days_until_its_next_sync(tmp_path: Path) -> None:
    with old_database(tmp_path / "sync.db", "0008") as database:
        sync_of_before = {"of": "conn_a", "sub": "acme/ann", "tenant": "acme"}
        row = {"id": "conn_a", "user_id": "acme/ann", "tenant_id": "acme", "connector": "demo"}
        credentials = read_keys(KEY).encrypt(b'{"refreshToken":"good"}').decode()
        insert(database, "connections", **row, name="Shop", credentials=credentials, created_at=AT)
        sync(database, PAUSED, status="complete", **sync_of_before)
        insert(database, "sync_counts", user_id="acme/ann", total=1)
    database.close()
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        ann = service.user("ann", tenant="acme")
        status = read(await ann.get("/api/connections/conn_a/sync-status"))
        assert status["completeness"] is None
        assert {tuple(dataset["days"]) for dataset in status["datasets"]} == {()}
        assert read(await ann.get(f"/api/sync/status/{PAUSED}"))["completeness"] is None


async def test_warnings_of_before_are_shown_as_objects_and_counted(tmp_path: Path) -> None:
    ids = [f"sync_{number:032}" for number in (1, 2)]
    with old_database(tmp_path / "sync.db", "0017") as database:
        of = {"of": "conn_a", "sub": "acme/ann", "tenant": "acme"}
        sync(database, ids[0], warnings=['An "old" text.', "Another."], **of)
        sync(database, ids[1], **of)
        insert(database, "sync_counts", user_id="acme/ann", total=2)
    database.close()
    async with serve(tmp_path, RETENTION_DAYS="36500", **TINY) as service:
        ann = service.user("ann", tenant="acme")
        page = read(await ann.get("/api/sync/history", params={"warnings": "true"}))
        assert [(row["syncId"], row["warningsCount"]) for row in page["syncs"]] == [(ids[0], 2)]
        first, second = [read(await ann.get(f"/api/sync/status/{id}")) for id in ids]
        assert first["warnings"][0] == {
            "dataset": None,
            "code": "source",
            "message": 'An "old" text.',
            "count": 1,
        }
        assert second["warnings"] == []


async def test_connections_of_before_show_since_when_they_are_connected(tmp_path: Path) -> None:
    """When the source refused the credentials of a lost one is unknown."""
    with old_database(tmp_path / "sync.db", "0018") as database:
        for id, lost in (("conn_a", None), ("conn_b", "Withdrawn.")):
            row = {"id": id, "user_id": "acme/ann", "tenant_id": "acme", "connector": "demo"}
            token = b'{"refreshToken":"%b"}' % id.encode()
            credentials = read_keys(KEY).encrypt(token).decode()
            row |= {"name": "Shop", "credentials": credentials, "created_at": AT}
            public = {"region": "NA", "marketplaceIds": ["DEMO"], "environment": "production"}
            row["settings"] = msgspec.json.encode(public).decode()
            insert(database, "connections", **row, lost=lost)
    database.close()
    async with serve(tmp_path, **TINY) as service:
        ann = service.user("ann", tenant="acme")
        first, second = read(await ann.get("/api/connections"))["connections"]
        assert (first["status"], first["statusSince"]) == ("connected", "2026-11-20T12:00:00.000Z")
        assert (second["status"], second["statusSince"]) == ("lost", None)
        assert second["statusReason"] == "Withdrawn."
        assert {one["name"] for one in (first, second)} == {"Shop"}
        again = read(
            await ann.post("/api/connections/conn_b/reconnect", {"refreshToken": "another"})
        )
        assert again["statusSince"] > "2026-11-20T12:00:00.000Z"
