"""The database file: folder names, permissions, deleted files, and the lock."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from service.__main__ import demo_settings, main
from service.app import migrate_database
from service.errors import StartupError
from service.store.place import lock_database
from tests.documents import ROOT
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.serving import KEY, PATIENCE, SECRET, Serving, User, read, serve, settings

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

NAMES = (
    "a#b",
    "a%20b",
    "100%",
    "%(here)s",
    "what?",
    "a?mode=ro&x=1",
    "two words",
    "Übung ß",
    'it\'s "quoted"',
    "file:x",
    "semi;colon,comma:colon",
    "back\\slash",
)


@pytest.mark.parametrize("name", NAMES)
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        assert (await ann.whole_sync())["status"] == "complete"
        assert {path.name for path in folder.iterdir()} == {
            *("sync.db", "sync.db-wal", "sync.db-shm", "sync.db.lock")
        }
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert migrate_database(settings(folder))
    async with serve(folder) as service:
        assert len(await service.user().records("orders")) == 250


@pytest.mark.parametrize("name", NAMES)
def test_migrate_and_demo_use_the_same_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    chosen = demo_settings("127.0.0.1", folder, "http://127.0.0.1:1")
    assert chosen.database_path == folder / "sync.db"
    environ = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "DATABASE_URL": chosen.database_url}
    done = CliRunner().invoke(main, ["migrate"], env=environ, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert str(folder / "sync.db") in done.stdout
    assert (folder / "sync.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with serve(tmp_path / "data") as service:
            await service.user().connect()
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    finally:
        os.umask(before)
    assert modes.pop("data") == 0o700
    assert len(modes) == 4 and set(modes.values()) == {0o600}, modes


async def test_readable_files_are_made_private_at_the_start(tmp_path: Path) -> None:
    migrate_database(settings(tmp_path))
    for name in ("sync.db", "sync.db.lock"):
        (tmp_path / name).chmod(0o644)
    async with serve(tmp_path) as service:
        await service.user().connect()
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def connect_user(service: Serving) -> User:
    ann = service.user()
    await ann.connect()
    assert (await ann.get("/readyz")).status_code == 200
    return ann


FILES = ("sync.db", "sync.db.lock", "sync.db-wal")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["deleted", "replaced"])
async def test_a_missing_file_stops_writes_until_it_is_restored(
    tmp_path: Path, name: str, how: str
) -> None:
    with capture_logs() as logs:
        async with serve(tmp_path) as service:
            ann = await connect_user(service)
            (tmp_path / name).rename(tmp_path / "elsewhere")
            if how == "replaced":
                (tmp_path / name).write_bytes((tmp_path / "elsewhere").read_bytes())
            for _ in range(3):
                body = problem(await ann.get("/readyz"), 503, "not_ready")
                assert name in body["detail"]
                problem(await ann.post("/api/sync/start", {}), 503, "store_unavailable")
            lines = [line for line in logs if line["event"] == "database_gone"]
            assert len(lines) == 1 and name in lines[0]["reason"], logs
            assert not [line for line in logs if line["event"] == "database_away"]
            (tmp_path / "elsewhere").replace(tmp_path / name)
            assert (await ann.get("/readyz")).status_code == 200
            assert (await ann.whole_sync())["status"] == "complete"


async def test_a_missing_file_is_logged_without_a_request(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serve(tmp_path, FastClock()):
            (tmp_path / "sync.db.lock").unlink()
            with anyio.fail_after(PATIENCE):
                while not [line for line in logs if line["event"] == "database_gone"]:
                    await anyio.sleep(0.05)


async def test_a_running_sync_waits_for_the_file_and_loses_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path, None, DEMO_PAUSE="0.05", DEMO_PAGE="10") as service:
        ann = await connect_user(service)
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 30)
        (tmp_path / "sync.db").rename(tmp_path / "elsewhere")
        await anyio.sleep(0.5)
        (tmp_path / "elsewhere").rename(tmp_path / "sync.db")
        done = await ann.until(sync_id)
        assert (done["status"], done["datasets"][0]["created"]) == ("complete", 250)


def other_process(folder: Path) -> str:
    """The error of a second process on the same database."""
    environ = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "PORT": "0"}
    environ["DATABASE_URL"] = f"sqlite:///{folder / 'sync.db'}"
    done = subprocess.run(
        [sys.executable, "-m", "service", "migrate"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    return done.stderr


LOCKING = """
import sys
from pathlib import Path
from service.store.place import lock_database
with lock_database(Path(sys.argv[1])):
    print("locked")
"""


def other_lock(folder: Path) -> str:
    """The error of a second process that does no more than lock the database."""
    command = [sys.executable, "-c", LOCKING, str(folder / "sync.db")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.mark.parametrize("name", ["sync.db", "sync.db.lock"])
async def test_no_second_process_starts_while_a_file_is_missing(tmp_path: Path, name: str) -> None:
    async with serve(tmp_path) as service:
        ann = await connect_user(service)
        (tmp_path / name).unlink()
        error = await anyio.to_thread.run_sync(other_process, tmp_path)
        assert "in use by" in error and "Traceback" not in error
        assert (await ann.get("/readyz")).status_code == 503


async def test_another_name_of_the_same_file_is_locked_too(tmp_path: Path) -> None:
    async with serve(tmp_path / "one") as service:
        await connect_user(service)
        for folder in ("linked", "hard"):
            (tmp_path / folder).mkdir()
        (tmp_path / "linked" / "sync.db").symlink_to(tmp_path / "one" / "sync.db")
        (tmp_path / "hard" / "sync.db").hardlink_to(tmp_path / "one" / "sync.db")
        for folder in ("linked", "hard"):
            error = await anyio.to_thread.run_sync(other_lock, tmp_path / folder)
            assert "in use by" in error


def test_another_database_in_the_same_folder_is_not_locked(tmp_path: Path) -> None:
    with lock_database(tmp_path / "one.db"), lock_database(tmp_path / "two.db"):
        pass


@pytest.mark.parametrize("path", ["sqlite:///{}/folder", "sqlite:///{}/file/sync.db"])
def test_an_unusable_path_is_refused_with_a_reason(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    url = path.format(tmp_path)
    with pytest.raises(StartupError, match="cannot be"):
        migrate_database(settings(tmp_path, DATABASE_URL=url))


def test_a_path_that_is_not_utf_8_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="UTF-8"):
        settings(tmp_path, DATABASE_URL="sqlite:///" + os.fsdecode(b"/tmp/\xff/sync.db"))


async def test_reads_continue_while_the_file_is_missing(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = await connect_user(service)
        (tmp_path / "sync.db").unlink()
        assert read(await ann.get("/api/connections"))["connections"]
