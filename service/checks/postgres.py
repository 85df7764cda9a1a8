"""Checks whether the service can use a PostgreSQL server. They take one connection, and a second
one only behind a pooler."""

import re
from datetime import UTC, datetime
from typing import Any

import anyio
import msgspec

from service.check import Check, ok, problem, warning
from service.store.engine import Engine
from service.store.migrations import describe
from service.store.postgres_clock import check_clock
from service.store.postgres_errors import REMEDIES, explain
from service.store.postgres_session import CONNECT_TIMEOUT

OLDEST = 15
"""The oldest major version: the first in which a view and a unique index treat NULLs as needed."""
ANSWER = 15.0
"""Seconds that all checks may take."""

_FACTS = """
SELECT CAST(current_setting('server_version_num') AS INTEGER) / 10000 AS major,
       current_setting('server_version') AS version,
       pg_backend_pid() AS pid,
       (SELECT pg_encoding_to_char(encoding) FROM pg_database
         WHERE datname = current_database()) AS encoding,
       pg_is_in_recovery() AS standby,
       current_setting('transaction_read_only') = 'on' AS read_only,
       CAST(current_setting('max_connections') AS INTEGER)
         - CAST(current_setting('superuser_reserved_connections') AS INTEGER)
         - (SELECT CAST(SUM(numbackends) AS INTEGER) FROM pg_stat_database) AS free,
       clock_timestamp() AS now,
       to_regclass('alembic_version') IS NOT NULL AS migrated
"""
_ENGINE = r"""
SELECT proname AS name FROM pg_proc WHERE proname LIKE 'procrastinate\_%' UNION
SELECT relname FROM pg_class WHERE relname LIKE 'procrastinate\_%' AND relkind IN ('r', 'c') UNION
SELECT typname FROM pg_type WHERE typname LIKE 'procrastinate\_%' AND typtype = 'e'
"""
_IDENTITY = """
SELECT system_identifier || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())
    AS id FROM pg_control_system()
"""
# Checks -------------------------------------------------------------------------------------------


class Facts(msgspec.Struct, frozen=True):
    """The facts that a server reports about itself."""

    major: int
    version: str
    pid: int
    encoding: str
    standby: bool
    read_only: bool
    free: int
    now: datetime
    migrated: bool
    #: Seconds by which this machine's clock is ahead of the server's.
    ahead: float
    #: Whether connections share sessions of the server.
    pooled: bool
    #: The schema's revision.
    revision: str | None
    #: Names of the engine's tables, types and functions.
    engine: frozenset[str]


async def check_server(url: str, pool: int, *, migrated: bool = True) -> list[Check]:
    """Check a server and its database. A server that cannot be used gives one problem.

    Without `migrated`, the schema is not checked: `migrate` is about to create it."""
    import asyncpg  # type: ignore[import-untyped]

    try:
        with anyio.fail_after(ANSWER):
            facts = await _ask(asyncpg, url)
    except ValueError as error:
        reason = " ".join(str(error).split())
        return [problem("database", f"DATABASE_URL is not valid: {reason}.", "Correct it.")]
    except _faults() as error:
        return [explain(error, url)]
    checks = [*_check_facts(facts), check_clock(facts.ahead), _check_connections(facts, pool)]
    if migrated:
        checks.append(describe(facts.revision))
        if facts.revision is not None:
            checks.append(_check_engine(facts.engine))
    return checks


def _faults() -> tuple[type[Exception], ...]:
    """The errors that an address, a server or a network can cause."""
    import asyncpg

    server = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return (OSError, TimeoutError, *server)


async def _ask(asyncpg: Any, url: str) -> Facts:
    # No cache: a pooler in transaction mode loses prepared statements.
    options = {"timeout": CONNECT_TIMEOUT, "statement_cache_size": 0}
    connection = await asyncpg.connect(url, **options)
    try:
        before = datetime.now(UTC)
        row = await connection.fetchrow(_FACTS)
        # The server has read its clock between the two readings here.
        ahead = ((before + (datetime.now(UTC) - before) / 2) - row["now"]).total_seconds()
        revision = None
        if row["migrated"]:
            revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        engine = frozenset(found["name"] for found in await connection.fetch(_ENGINE))
        # A pooler invents the process id that it announces.
        pooled = connection.get_server_pid() != row["pid"] and await _shares_sessions(
            connection, lambda: asyncpg.connect(url, **options)
        )
        return Facts(**dict(row), ahead=ahead, pooled=pooled, revision=revision, engine=engine)
    finally:
        connection.terminate()


async def _shares_sessions(first: Any, connect: Any) -> bool:
    """Whether a second connection gets the session of the first one, or the first one loses it. A
    pooler lends a session for one transaction: the most or the least recently used one."""
    pid = "SELECT pg_backend_pid()"
    own = await first.fetchval(pid)
    if await first.fetchval(pid) != own:
        return True
    second = await connect()
    try:
        await second.execute("BEGIN")
        if await second.fetchval(pid) == own:
            return True
        return bool(await first.fetchval(pid) != own)
    finally:
        second.terminate()


def _check_facts(facts: Facts) -> list[Check]:
    checks = [ok("database", f"PostgreSQL {facts.version} answers.")]
    if facts.major < OLDEST:
        text = f"PostgreSQL {facts.version} is too old."
        checks[0] = problem("database", text, f"Install PostgreSQL {OLDEST} or newer.")
    if facts.pooled:
        text = "DATABASE_URL points to a pooler in transaction mode, which loses locks and limits."
        remedy = "Let it point to PostgreSQL itself or to a pooler in session mode."
        checks.append(problem("pooler", text, remedy))
    if facts.encoding != "UTF8":
        text = f"The database has the encoding {facts.encoding}, which cannot store every text."
        remedy = "Create one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        checks.append(problem("encoding", text, remedy))
    else:
        checks.append(ok("encoding", "The database stores UTF-8."))
    if facts.standby or facts.read_only:
        what = "a standby" if facts.standby else "read-only"
        checks.append(
            problem("writable", f"The database is {what}.", REMEDIES["25006"], passing=True)
        )
    else:
        checks.append(ok("writable", "The database can be written."))
    return checks


def _check_connections(facts: Facts, pool: int) -> Check:
    needed = pool + 3  # the engine's pool of two, and its listener
    if facts.free >= needed:
        return ok("connections", f"PostgreSQL has {facts.free} free connections.")
    text = f"PostgreSQL has {facts.free} free connections; one process uses up to {needed}."
    return warning("connections", text, REMEDIES["53300"])


def _check_engine(found: frozenset[str]) -> Check:
    """Compare the engine's schema with that of the installed package. It has no version number, but
    changed functions get new names."""
    from importlib.metadata import version

    from procrastinate.schema import SchemaManager

    pattern = r"CREATE (?:TABLE|TYPE|FUNCTION) (procrastinate_\w+)"
    lacking = sorted(set(re.findall(pattern, SchemaManager.get_schema())) - found)
    if not found:
        text = "The tables of procrastinate, which runs the syncs, are missing."
        return problem("procrastinate", text, "Create them: python -m service migrate.")
    if lacking:
        names = ", ".join(lacking[:3]) + (" …" if len(lacking) > 3 else "")
        return problem(
            "procrastinate",
            f"The schema of procrastinate does not match the installed package "
            f"{version('procrastinate')}: {names} is missing.",
            "Install the package that the database was made for, or apply the migrations that "
            "`procrastinate schema --migrations-path` names.",
        )
    return ok("procrastinate", f"Its schema fits the package {version('procrastinate')}.")


async def check_workers(engine: Engine) -> list[Check]:
    """Check the workers of a database of the newest schema, and the syncs that wait for them.
    Raises Unavailable."""
    (row,) = await engine.read(_WORKERS, {})
    return _describe_workers(row["alive"], row["waiting"], row["stuck"])


_WORKERS = """
SELECT (SELECT COUNT(*) FROM procrastinate_workers
         WHERE last_heartbeat > now() - interval '8 s') AS alive,
       (SELECT COUNT(*) FROM procrastinate_jobs WHERE status = 'todo') AS waiting,
       (SELECT COUNT(*) FROM sync_progress AS live
         WHERE live.status IN ('pending', 'in_progress') AND NOT EXISTS (
               SELECT 1 FROM procrastinate_jobs AS jobs LEFT JOIN procrastinate_workers AS workers
                   ON workers.id = jobs.worker_id
                WHERE jobs.lock = live.id AND (jobs.status = 'todo' OR jobs.status = 'doing'
                  AND workers.last_heartbeat > now() - interval '8 s'))) AS stuck
"""


def _describe_workers(alive: int, waiting: int, stuck: int) -> list[Check]:
    checks = [ok("workers", f"{alive} workers are alive; {waiting} syncs wait for one.")]
    if not alive:
        text = f"No worker is alive; {waiting} syncs wait for one."
        checks = [warning("workers", text, "Start one: python -m service work.")]
    if stuck:
        text = f"{stuck} live syncs have neither a waiting job nor a living worker."
        remedy = "A running process repairs this within seconds; start one, and check again."
        return [*checks, warning("jobs", text, remedy)]
    return [*checks, ok("jobs", "Every live sync has a job.")]


async def database_id(engine: Engine) -> str:
    """The identity of a database. A standby keeps it after a failover; a copy that was restored
    from a dump has another one. Raises Unavailable."""
    (row,) = await engine.read(_IDENTITY, {})
    return str(row["id"])
