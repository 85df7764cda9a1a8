"""`backup` and `restore`: a copy while syncs run is consistent, and its syncs go on elsewhere."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import msgspec
import pytest
from click.testing import CliRunner

from service.__main__ import main
from service.backup import back_up, dump_command, load_command, restore
from service.errors import StartupError
from service.model import Sync
from tests.databases import DATABASES
from tests.journeys.process import ROOT
from tests.serving import KEY, SECRET, Serving, User, serve

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

USERS = 20
ORDERS, PAGE = 300, 10
SOURCE = {"DEMO_ORDERS": str(ORDERS), "DEMO_PAGE": str(PAGE), "MAX_SYNCS_PER_TENANT": "100"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of the newest schema, without rows."""
    DATABASES.prepare(tmp_path)
    return tmp_path / "sync.db"


async def command(*words: str, database: Path) -> str:
    """What a command of the service prints."""
    environ = {"DATABASE_URL": f"sqlite:///{database}", "AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY}
    done = await anyio.run_process(
        [sys.executable, "-m", "service", *words],
        cwd=ROOT,
        env={**os.environ, **environ},
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    return text


def refusal(source: Path, target: Path) -> str:
    with pytest.raises(StartupError) as caught:
        restore(source, target)
    return caught.value.detail


def inconsistencies(path: Path) -> tuple[list[str], int]:
    """What the counters of syncs say otherwise than the records of their connections, and how many
    syncs run."""
    wrong, live = [], 0
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        count = "SELECT COUNT(*) FROM records WHERE connection_id = ? AND dataset = ?"
        for (body,) in database.execute("SELECT body FROM sync_progress").fetchall():
            sync = msgspec.json.decode(body, type=Sync)
            live += sync.live
            for dataset in sync.read_datasets:
                key = (sync.connection_id, dataset.name)
                (stored,) = database.execute(count, key).fetchone()
                if stored != dataset.created:
                    wrong.append(f"{sync.id} {dataset.name}: {stored}, not {dataset.created}")
    return wrong, live


async def connected(service: Serving) -> list[User]:
    users = [service.user(f"user-{number}") for number in range(USERS)]
    for user in users:
        await user.connect()
    return users


async def test_a_backup_while_twenty_syncs_run_is_consistent_and_they_go_on_elsewhere(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    copy = tmp_path / "copy.db"
    async with serve(here, None, DEMO_PAUSE="2", **SOURCE) as service:
        users = await connected(service)
        syncs = [await user.start() for user in users]
        for user, sync_id in zip(users, syncs, strict=True):
            await user.until_processed(sync_id, "orders", 2 * PAGE)
        said = await command("backup", str(copy), database=here / "sync.db")
        assert str(copy) in said and f"not ended: {USERS}." in said
        for user, sync_id in zip(users, syncs, strict=True):
            assert (await user.status(sync_id))["status"] == "in_progress"
            await user.post(f"/api/sync/cancel/{sync_id}")
    assert inconsistencies(copy) == ([], USERS)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "here"]

    said = await command("restore", str(copy), database=there / "sync.db")
    assert "SECRETS_KEYS" in said and "continues" in said
    async with serve(there, None, **SOURCE) as service:
        for number, sync_id in enumerate(syncs):
            user = service.user(f"user-{number}")
            status = await user.until(sync_id)
            assert (status["status"], status["attempt"]) == ("complete", 1)
            orders = {record["id"] for record in await user.records("orders")}
            assert len(orders) == ORDERS
    assert inconsistencies(there / "sync.db") == ([], 0)


async def test_feeds_of_a_restored_database_begin_anew(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    async with serve(here, DEMO_ORDERS="1") as service:
        ann = service.user()
        await ann.connect()
        back_up(here / "sync.db", tmp_path / "copy.db")
        await ann.whole_sync()
        offset = (await ann.get("/api/changes?offset=now")).headers["stream-next-offset"]
    restore(tmp_path / "copy.db", there / "sync.db")
    async with serve(there, DEMO_ORDERS="1") as service:
        ann = service.user()
        await ann.whole_sync()
        assert (await ann.get(f"/api/changes?offset={offset}")).status_code == 410
        assert (await ann.get("/api/changes?offset=-1")).json()


# Bad input ----------------------------------------------------------------------------------------


def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    with pytest.raises(StartupError, match="exists"):
        back_up(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_backup_needs_a_database_and_a_folder(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="not a file"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    with pytest.raises(StartupError, match="cannot be written"):
        back_up(path, tmp_path / "nowhere" / "copy.db")
    assert not (tmp_path / "none.db").exists()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE t (x)")
    assert "not a database of this service" in refusal(tmp_path / "other.db", tmp_path / "to.db")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be one" * 100)
    assert "cannot be copied" in refusal(tmp_path / "text.db", tmp_path / "to.db")
    assert "not a file" in refusal(tmp_path / "none.db", tmp_path / "to.db")
    assert not (tmp_path / "to.db").exists()


def test_a_damaged_backup_is_refused(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "copy.db")
    content = bytearray((tmp_path / "copy.db").read_bytes())
    content[4096 * 3 : 4096 * 40] = os.urandom(4096 * 37)
    (tmp_path / "copy.db").write_bytes(content)
    text = refusal(tmp_path / "copy.db", tmp_path / "to.db")
    assert "damaged" in text or "malformed" in text


def test_a_backup_of_a_newer_version_is_refused(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer version" in refusal(path, tmp_path / "to.db")


def test_a_restore_overwrites_no_database_and_no_rest_of_one(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    back_up(path, copy)
    assert "Move it away" in refusal(copy, path)
    (tmp_path / "to.db-wal").write_bytes(b"commits that are nowhere else")
    assert "to.db-wal" in refusal(copy, tmp_path / "to.db")


async def test_a_restore_where_a_service_runs_is_refused(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "copy.db")
    async with serve(tmp_path):
        assert "in use" in refusal(tmp_path / "copy.db", path)


def test_for_postgresql_the_commands_are_named_without_the_password() -> None:
    url = "postgresql://ann:secret@db.example:5432/sync?sslmode=require"
    public = "'postgresql://ann@db.example:5432/sync?sslmode=require'"
    to = Path("to morrow.dump")
    assert dump_command(url, to) == f"pg_dump --format=custom --file='to morrow.dump' {public}"
    assert load_command(url, to) == (
        f"pg_restore --exit-on-error --no-owner --dbname={public} 'to morrow.dump'"
    )


@pytest.mark.parametrize(("words", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_the_commands_name_the_tool_of_postgresql(words: str, tool: str, tmp_path: Path) -> None:
    environ = {"DATABASE_URL": "postgresql://u:pw@127.0.0.1:1/x", "AUTH_SECRET": SECRET}
    command = [words, str(tmp_path / "sync.dump")]
    done = CliRunner().invoke(main, command, env={**environ, "SECRETS_KEYS": KEY})
    assert done.exit_code == 1
    assert f"{tool} --" in done.stderr and "pw" not in done.stderr
