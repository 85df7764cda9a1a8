"""Wrong addresses of PostgreSQL and servers that cannot be used: each is named, with a remedy."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from time import time

import psycopg
import pytest
import time_machine
from click.testing import CliRunner
from structlog.testing import capture_logs

from service import backends
from service.__main__ import main
from service.backends import open_database
from service.checks import postgres
from service.store import postgres_session
from service.store.engine import Statement, Unavailable
from service.store.migrations import newest
from service.store.postgres import PostgresEngine
from tests.servers import PostgresServer, free_port, pgbouncer
from tests.serving import KEY, SECRET, settings

pytestmark = [pytest.mark.anyio]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits for nothing that may pass by itself."""
    monkeypatch.setattr(backends, "PATIENCE", 0.0)
    monkeypatch.setattr(postgres, "ANSWER", 5.0)


def refused(command: str, url: str, **environ: str) -> str:
    """The sentence with which the command exits with 1."""
    environ = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "PORT": "0", **environ}
    result = CliRunner().invoke(main, [command], env={**environ, "DATABASE_URL": url})
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    (line,) = (line for line in result.output.splitlines() if line.startswith("error: "))
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://host/sync", "must be sqlite:///path or postgresql://"),
        ("postgresql+asyncpg://host/sync", "must be sqlite:///path or postgresql://"),
        ("postgresql://host", "must name a database"),
        ("postgresql://host:port/sync", "must be postgresql://user:password@host:5432/database"),
        ("postgresql://host:70000/sync", "must be postgresql://user:password@host:5432/database"),
        ("postgresql://[::1/sync", "must be postgresql://user:password@host:5432/database"),
        ("postgresql://ann:a#b@host/sync", "as %2F, %3F, %23"),
        ("postgresql://one,two/sync", "with one host"),
        ("postgresql://host/sync?pool_size=5", "unknown option pool_size"),
        ("postgresql://host/sync?sslmode=sometimes", "is not valid"),
    ],
)
def test_an_address_that_is_not_valid_is_named(url: str, words: str) -> None:
    assert words in refused("serve", url)


@pytest.mark.parametrize("size", ["0", "-1", "501", "many", "1.5"])
def test_a_pool_out_of_range_is_named(size: str) -> None:
    assert "DATABASE_POOL" in refused("serve", "postgresql://host/sync", DATABASE_POOL=size)


@pytest.mark.parametrize("command", ["serve", "work", "migrate"])
def test_every_command_names_what_it_cannot_use(command: str, server: PostgresServer) -> None:
    assert "no such database" in refused(command, server.url("nowhere"))
    wrong = f"postgresql://ann:wrong@127.0.0.1:{server.port}/postgres"
    assert "refuses the user or the password" in refused(command, wrong)
    unknown = f"postgresql://bob@127.0.0.1:{server.port}/postgres"
    assert "refuses the user" in refused(command, unknown)
    port = free_port()
    text = refused(command, f"postgresql://127.0.0.1:{port}/sync")
    assert f"127.0.0.1:{port} is unreachable: nothing listens there" in text
    assert "is unknown" in refused(command, "postgresql://nowhere.invalid/sync")


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound.getsockname()[1]


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_server_that_never_answers_is_not_waited_for(command: str) -> None:
    with silent() as port:
        text = refused(command, f"postgresql://127.0.0.1:{port}/sync")
    assert "does not answer in time" in text


def test_a_server_of_another_kind_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:

        def answer() -> None:
            with suppress(OSError), bound.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        port = bound.getsockname()[1]
        text = refused("serve", f"postgresql://127.0.0.1:{port}/sync?sslmode=disable")
        thread.join()
    assert f"127.0.0.1:{port}" in text


def test_a_pooler_in_transaction_mode_is_refused_by_name(
    server: PostgresServer, database: str
) -> None:
    with pgbouncer(server, "transaction") as address:
        for command in ("serve", "migrate"):
            text = refused(command, f"{address}/{database}")
            assert "a pooler in transaction mode" in text
            assert "to PostgreSQL itself or to a pooler in session mode" in text


async def test_a_pooler_in_session_mode_is_used(server: PostgresServer, database: str) -> None:
    with pgbouncer(server, "session") as address:
        assert all(
            check.level == "ok" for check in await postgres.check_server(f"{address}/{database}", 2)
        )
        engine = await PostgresEngine.open(f"{address}/{database}", 2)
        await engine.ping()
        await engine.close()


def test_a_read_only_database_is_named(server: PostgresServer, database: str) -> None:
    server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    text = refused("serve", server.url(database))
    assert "The database is read-only" in text and "primary server" in text


def test_an_old_server_is_named(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "OLDEST", 99)
    assert "too old. Install PostgreSQL 99 or newer" in refused("serve", server.url(database))


def test_an_encoding_that_loses_text_is_named(
    server: PostgresServer, create: Callable[..., str]
) -> None:
    name = create("TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    assert "encoding SQL_ASCII" in refused("migrate", server.url(name))


def test_a_schema_of_another_version_is_named(server: PostgresServer, database: str) -> None:
    server.run("UPDATE alembic_version SET version_num = '0001'", database=database)
    text = refused("serve", server.url(database))
    assert f"has schema 0001; this version of the service needs {newest()}" in text
    assert "python -m service migrate" in text
    server.run("UPDATE alembic_version SET version_num = '9999'", database=database)
    for command in ("serve", "migrate"):
        assert "schema 9999, of a newer version" in refused(command, server.url(database))
    server.run("DROP TABLE alembic_version", database=database)
    assert "has no schema" in refused("serve", server.url(database))


def test_missing_tables_of_the_engine_are_named_and_created_by_migrate(
    server: PostgresServer, database: str
) -> None:
    server.run(
        "DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs,"
        " procrastinate_workers CASCADE",
        "DO $$ DECLARE name text; BEGIN FOR name IN SELECT oid::regprocedure FROM pg_proc"
        " WHERE proname LIKE 'procrastinate%' LOOP EXECUTE 'DROP FUNCTION ' || name || ' CASCADE';"
        " END LOOP; END $$",
        "DROP TYPE procrastinate_job_status, procrastinate_job_event_type,"
        " procrastinate_job_to_defer_v1 CASCADE",
        database=database,
    )
    text = refused("serve", server.url(database))
    assert "procrastinate" in text and "python -m service migrate" in text
    done = CliRunner().invoke(main, ["migrate"], env=environ(server.url(database)))
    assert done.exit_code == 0, done.output
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("SELECT * FROM procrastinate_jobs")


def environ(url: str) -> dict[str, str]:
    return {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "DATABASE_URL": url}


def test_an_engine_of_another_version_is_named(server: PostgresServer, database: str) -> None:
    server.run(
        "ALTER FUNCTION procrastinate_fetch_job_v2 RENAME TO procrastinate_fetch_job_v1",
        database=database,
    )
    text = refused("serve", server.url(database))
    assert "procrastinate_fetch_job_v2 is missing" in text
    assert f"installed package {version('procrastinate')}" in text


def test_too_few_connections_are_named(server: PostgresServer, database: str) -> None:
    ann = f"postgresql://ann:right@127.0.0.1:{server.port}/{database}"
    with ExitStack() as stack:
        with pytest.raises(psycopg.OperationalError):
            for _ in range(30):
                stack.enter_context(psycopg.connect(ann))
        text = refused("serve", ann)
    assert "no free connection" in text and "max_connections" in text and "DATABASE_POOL" in text


async def test_a_clock_that_is_wrong_is_logged_at_the_start_and_while_running(
    server: PostgresServer, database: str, tmp_path: Path
) -> None:
    chosen = settings(tmp_path, DATABASE_URL=server.url(database), DATABASE_POOL="2")
    with capture_logs() as logs:
        async with open_database(chosen) as engine:
            await engine.ping()
            assert not [entry for entry in logs if "clock" in entry["event"]]
            with time_machine.travel(30 + time(), tick=True):
                await engine.ping()
                await engine.ping()
                checks = await postgres.check_server(chosen.database_url, 2)
    (entry,) = [entry for entry in logs if entry["event"] == "clock_apart"]
    assert "30 s ahead of the database's clock" in entry["reason"]
    assert "NTP" in entry["reason"]
    (clock,) = (check for check in checks if check.name == "clock")
    assert clock.level == "warning" and "30 s ahead" in clock.text


# While running ------------------------------------------------------------------------------------


async def test_an_engine_names_why_the_database_is_away_and_recovers(
    server: PostgresServer, database: str
) -> None:
    url = f"postgresql://ann:right@127.0.0.1:{server.port}/{database}"
    engine = await PostgresEngine.open(url, 1)
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ann'"
    try:
        await engine.ping()
        server.run("ALTER ROLE ann PASSWORD 'other'", kill)
        with pytest.raises(Unavailable):
            await engine.ping()  # the connection that was ended
        with pytest.raises(Unavailable, match="refuses the user or the password"):
            await engine.ping()
        server.run("ALTER ROLE ann PASSWORD 'right'")
        await engine.ping()
        server.run("ALTER ROLE ann SET default_transaction_read_only = on", kill)
        with pytest.raises(Unavailable):
            await engine.ping()
        with pytest.raises(Unavailable, match="read-only"):
            await engine.ping()
        update = Statement("UPDATE chores SET at = '' RETURNING name", [{}])
        with pytest.raises(Unavailable, match="primary server"):
            await engine.write(update, [])
    finally:
        server.run("ALTER ROLE ann RESET ALL")
        await engine.close()


async def test_a_lock_and_a_slow_statement_are_not_waited_for_without_a_bound(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        postgres_session, "SESSION", "SET lock_timeout = 100; SET statement_timeout = 300"
    )
    engine = await PostgresEngine.open(server.url(database), 1)
    try:
        with psycopg.connect(server.url(database)) as other:
            other.execute("LOCK TABLE chores")
            update = Statement("UPDATE chores SET at = '' RETURNING name", [{}])
            with pytest.raises(Unavailable, match="Another process holds a lock"):
                await engine.write(update, [])
        with pytest.raises(Unavailable, match="A statement took too long"):
            await engine.read("SELECT pg_sleep(60)", {})
        await engine.ping()
    finally:
        await engine.close()


def test_a_start_says_at_once_what_waiting_does_not_heal(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "PATIENCE", 3600.0)
    assert "no such database" in refused("serve", server.url("nowhere"))


def test_the_statements_of_the_documents_run(server: PostgresServer, database: str) -> None:
    text = (Path(__file__).parents[3] / "docs/scaling.md").read_text(encoding="utf-8")
    section = text.split("## Look into the engine\n")[1].split("\n## ")[0]
    statements = [one for one in section.split(";") if one.strip()]
    assert len(statements) == 3
    with psycopg.connect(server.url(database)) as connection:
        for statement in statements:
            connection.execute(statement)
