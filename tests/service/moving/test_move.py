"""The move from SQLite to PostgreSQL: every row arrives, kills do not matter, and what cannot be
moved is named."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.__main__ import main
from service.errors import StartupError
from service.moving import move as moving
from service.moving.tables import CopiedTable, tables_of
from service.store.migrations import describe, migrate, newest
from service.store.place import lock_database
from tests.databases import DATABASES
from tests.journeys.process import ROOT
from tests.service.store.test_migrations import old_database
from tests.serving import KEY, PATIENCE, SECRET

pytestmark = [pytest.mark.sqlite]

Rows = dict[str, list[tuple[Any, ...]]]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBER = st.integers(-(2**63), 2**63 - 1)
AT = "2026-11-20T12:00:00.000000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of the newest schema, without rows."""
    DATABASES.prepare(tmp_path)
    return tmp_path / "sync.db"


@pytest.fixture
def target() -> str:
    return DATABASES.without_schema()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BATCH_ROWS", 10)


def move(path: Path, url: str) -> list[str]:
    said: list[str] = []
    moving.move(path, url, said.append)
    return said


def refusal(path: Path, url: str) -> str:
    with pytest.raises(StartupError) as caught:
        move(path, url)
    return caught.value.detail


def tables(path: Path) -> list[CopiedTable]:
    with sqlite3.connect(path) as source:
        names = {n for (n,) in source.execute("SELECT name FROM sqlite_master")}
        return tables_of(source, names, print)


def rows_of_sqlite(path: Path) -> Rows:
    with sqlite3.connect(path) as source:
        return {t.name: source.execute(t.select()).fetchall() for t in tables(path)}


def rows_of_postgres(path: Path, url: str) -> Rows:
    with psycopg.connect(url) as target:
        return {t.name: target.execute(t.select().encode()).fetchall() for t in tables(path)}


def record(path: Path, *ids: str | bytes, data: Any = "{}") -> None:
    """Store records; an id of bytes is stored as text with these bytes."""
    with sqlite3.connect(path) as source:
        source.executemany(
            "INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at,"
            " data) VALUES ('conn_1', 'orders', CAST(? AS TEXT), 's', 's', 'h', ?, ?)",
            [(id, AT, data) for id in ids],
        )


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def clear(path: Path, url: str) -> None:
    with sqlite3.connect(path) as source, psycopg.connect(url) as target:
        for table in tables(path):
            source.execute(f"DELETE FROM {table.name}")
            target.execute(f"TRUNCATE {table.name} CASCADE".encode())


# Content ------------------------------------------------------------------------------------------


@st.composite
def databases(draw: st.DrawFn, of: list[CopiedTable]) -> Rows:
    """Rows for each table, with unique keys. Foreign keys name rows that exist."""
    drawn: Rows = {}
    for table in of:
        cells = [TEXT if kind == "text" else NUMBER for kind in table.types]
        rows = draw(st.lists(st.tuples(*cells), max_size=4, unique_by=table.key_of))
        if table.name in ("claim_aliases", "claim_evidence"):
            claims = [row[0] for row in drawn["claims"]]
            place = table.columns.index("claim_id")
            rows = [
                (*row[:place], claim, *row[place + 1 :])
                for row, claim in zip(rows, claims, strict=False)
            ]
        drawn[table.name] = rows
    return drawn


@given(data=st.data())
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_row_of_every_table_arrives_as_it_was(
    path: Path, target: str, data: st.DataObject
) -> None:
    of = tables(path)
    with sqlite3.connect(path) as source:
        for name, rows in data.draw(databases(of)).items():
            marks = ", ".join("?" * len(next(t for t in of if t.name == name).columns))
            source.executemany(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", rows)
    for _ in range(2):
        move(path, target)
        assert rows_of_postgres(path, target) == rows_of_sqlite(path)
    clear(path, target)


def test_the_order_of_keys_is_the_same_in_both_databases(path: Path, target: str) -> None:
    """A move continues after the largest key in the target, by the order of the source."""
    record(path, "~", "_", "-", "a", "B", "ä", "z\u0301", "\U0001f600", "\uffff", "", " ", "a b")
    move(path, target)
    assert rows_of_postgres(path, target) == rows_of_sqlite(path)


def test_the_source_is_unchanged_with_what_a_killed_service_left_in_its_log(
    path: Path, target: str
) -> None:
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    record(path, *map(str, range(35)))
    files = [path, path.with_name("sync.db-wal")]
    before = [file.read_bytes() for file in files]
    assert before[1]
    said = move(path, target)
    assert [file.read_bytes() for file in files] == before
    assert "  records: 35 of 35 rows" in said
    assert "  records: 35 rows in both, with the same content" in said
    assert "There is nothing to do" in move(path, target)[-1]
    writer.close()


def test_new_rows_get_numbers_above_those_that_were_moved(path: Path, target: str) -> None:
    migrate(target)
    with sqlite3.connect(path) as source:
        source.execute("CREATE TABLE numbered (seq INTEGER PRIMARY KEY, word TEXT NOT NULL)")
        source.executemany("INSERT INTO numbered VALUES (?, 'old')", [(3,), (41,)])
    identity = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    execute(target, f"CREATE TABLE numbered (seq {identity}, word TEXT NOT NULL)")
    move(path, target)
    execute(target, "INSERT INTO numbered (word) VALUES ('new')")
    assert execute(target, "SELECT seq FROM numbered ORDER BY seq") == [(3,), (41,), (42,)]


def test_a_table_that_the_service_does_not_have_is_named_and_left_out(
    path: Path, target: str
) -> None:
    with sqlite3.connect(path) as source:
        source.execute("CREATE TABLE notes (note VARCHAR(9))")
    assert "notes is not a table of the service, and is not copied." in move(path, target)


# Kills --------------------------------------------------------------------------------------------


def command(path: Path, url: str, module: str = "service", **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", module, "move", "--to", url],
        cwd=ROOT,
        env={
            **os.environ,
            **{"DATABASE_URL": f"sqlite:///{path}", "AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY},
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout + done.stderr


def revision(target: str) -> str:
    return str(execute(target, "SELECT version_num FROM alembic_version")[0][0])


def test_a_move_that_is_killed_at_any_point_continues(path: Path, target: str) -> None:
    record(path, *(f"{number:03}" for number in range(55)))
    stored = []
    for point in ("inside:1", "inside:3", "after:2", "compare", "finish"):
        code, _ = command(path, target, "tests.service.moving.dying", DIE_AT=point)
        assert code == -signal.SIGKILL, point
        stored.append(execute(target, "SELECT COUNT(*) FROM records")[0][0])
        assert "has not finished" in describe(revision(target)).sentence
        with pytest.raises(StartupError, match="has not finished"):
            migrate(target)
    # The chores are the first batch of the first move.
    assert stored == [0, 10, 30, 55, 55]
    code, said = command(path, target)
    assert code == 0, said
    assert "An earlier move was interrupted. This one continues." in said
    assert rows_of_postgres(path, target) == rows_of_sqlite(path)
    assert revision(target) == newest()


def test_a_source_that_changed_since_an_interruption_is_refused(path: Path, target: str) -> None:
    record(path, *(f"{number:03}" for number in range(25)))
    command(path, target, "tests.service.moving.dying", DIE_AT="after:2")
    record(path, "another")
    assert "the source has changed since its move began" in refusal(path, target)


# Refusals -----------------------------------------------------------------------------------------


def test_rows_that_postgres_cannot_store_are_named_and_nothing_is_copied(
    path: Path, target: str
) -> None:
    record(path, "good", "a\\u0000b")
    record(path, b"nul\0", b"broken\xff")
    record(path, "data", data="{\0}")
    record(path, "blob", data=b"{}")
    said = refusal(path, target)
    assert "4 rows" in said
    key = "records (connection_id='conn_1', dataset='orders', id="
    assert f"{key}'nul\\x00'): id contains U+0000" in said
    assert f"{key}'broken\\udcff'): id is not valid UTF-8" in said
    assert f"{key}'data'): data contains U+0000" in said
    assert f"{key}'blob'): Expected `str`, got `bytes`" in said
    assert execute(target, "SELECT COUNT(*) FROM records, chores") == [(0,)]


def test_a_row_that_an_index_of_the_target_refuses_is_named(path: Path, target: str) -> None:
    unlike = "".join(f"{number:x}" for number in range(9000))  # compressing it does not help
    record(path, "a", unlike, "z")
    assert "The target refuses records (connection_id='conn_1', dataset='orders'" in refusal(
        path, target
    )


def test_a_target_with_rows_is_refused(path: Path, target: str) -> None:
    migrate(target)
    execute(target, "INSERT INTO costs VALUES ('acme/ann', 'MUG', '1', 'EUR')")
    assert "is not empty: costs has rows" in refusal(path, target)


def test_a_target_that_a_service_has_used_since_the_move_is_refused(
    path: Path, target: str
) -> None:
    record(path, "1")
    move(path, target)
    execute(target, "UPDATE records SET data = '[]'")
    assert "the service has written since" in refusal(path, target)
    assert execute(target, "SELECT data FROM records") == [("[]",)]


def test_a_target_with_tables_of_another_application_is_refused(path: Path, target: str) -> None:
    execute(target, "CREATE TABLE orders (id INT)")
    assert "has tables of another application" in refusal(path, target)


def test_a_target_of_another_schema_is_refused(path: Path, target: str) -> None:
    migrate(target)
    execute(target, "UPDATE alembic_version SET version_num = '0012'")
    assert f"has schema 0012; the source has {newest()}. Migrate the target" in refusal(
        path, target
    )


def test_a_target_that_does_not_store_unicode_is_refused(path: Path) -> None:
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    said = refusal(path, DATABASES.without_schema(options))
    assert "stores text as LATIN1. Create one with ENCODING 'UTF8'." in said


def test_a_target_on_which_a_service_runs_is_refused(path: Path, target: str) -> None:
    migrate(target)
    with psycopg.connect(target, application_name="seller-sync"):
        assert "A service is running on the target" in refusal(path, target)
    assert revision(target) == newest()


def test_a_second_move_into_the_target_is_refused(
    path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "LOCK_TIMEOUT", "50ms")
    with psycopg.connect(target) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('move', 0))")
        assert "Another move into the target is running" in refusal(path, target)


def test_a_target_that_does_not_answer_is_named(path: Path) -> None:
    said = refusal(path, "postgresql://someone:secret@127.0.0.1:1/sync")
    assert said.startswith("The target cannot be used: ") and "port 1" in said
    assert "secret" not in said


def test_a_source_in_use_is_refused(path: Path, target: str) -> None:
    with lock_database(path):
        assert f"is in use by process {os.getpid()}" in refusal(path, target)


def test_a_source_that_is_missing_is_refused_and_not_created(tmp_path: Path, target: str) -> None:
    missing = tmp_path / "folder" / "sync.db"
    assert f"{missing} is not a file" in refusal(missing, target)
    assert not missing.parent.exists()


def test_a_source_of_an_older_schema_is_refused(tmp_path: Path, target: str) -> None:
    old_database(tmp_path / "sync.db").close()
    said = refusal(tmp_path / "sync.db", target)
    assert f"has schema 0003; this version of the service moves {newest()}. Migrate it" in said


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "not a database of this service"), (b"x" * 99, "cannot be read")]
)
def test_another_file_is_refused(tmp_path: Path, target: str, content: bytes, problem: str) -> None:
    path = tmp_path / "sync.db"
    path.write_bytes(content)
    assert problem in refusal(path, target)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("source", "to", "problem"),
    [
        ("sqlite:///sync.db", "sqlite:///other.db", "--to must be postgresql://"),
        ("postgresql://u@h/d", "postgresql://u@h/e", "DATABASE_URL must be the SQLite database"),
    ],
)
def test_an_address_of_another_kind_of_database_is_refused(
    source: str, to: str, problem: str
) -> None:
    environ = {"DATABASE_URL": source, "AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY}
    done = CliRunner().invoke(main, ["move", "--to", to], env=environ)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert done.output.startswith(f"error: {problem}")
