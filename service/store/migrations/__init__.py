"""The schema's migrations, run by alembic at start and by `python -m service migrate`."""

import re
import sqlite3
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from service.check import Check, Level, ok, problem
from service.errors import StartupError
from service.store.postgres_session import LIBPQ, MIGRATION

FOLDER = Path(__file__).parent
MOVING = "moving"
"""The start of the revision of a database with an unfinished move from SQLite."""
BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}


def newest() -> str:
    """The revision that this version of the service needs."""
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    """All revisions, by the names of their files: a start that migrates nothing does not wait until
    alembic has been imported and has read them."""
    return frozenset(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def migrate(url: str) -> str:
    """Migrate a database to the newest schema and return its revision. Raises StartupError for a
    database that cannot be opened, or that a newer version of the service has migrated.

    `url` is `sqlite:///path`, in which the path may contain any character, or `postgresql://…`."""
    engine = _sqlite(url) if url.startswith("sqlite") else _postgres(url)
    try:
        with engine.connect() as connection:
            _lock(connection)
            migrated = inspect(connection).has_table("alembic_version")
            query = text("SELECT version_num FROM alembic_version")
            revision = connection.execute(query).scalar() if migrated else None
            _refuse_newer(revision)
            if revision != newest():
                _upgrade(connection)
            _restore_engine(connection)
    except SQLAlchemyError as error:
        raise StartupError(_explain(error)) from error
    finally:
        engine.dispose()
    return newest()


def _upgrade(connection: Connection) -> None:
    """Run the missing revisions in one transaction: if one fails, nothing has changed."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    connection.exec_driver_sql(BEGIN[connection.dialect.name])
    command.upgrade(config, "head")
    connection.exec_driver_sql("COMMIT")


def _explain(error: SQLAlchemyError) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        return f"The database cannot be opened: {cause}."
    from service.store.postgres_errors import explain

    return explain(cause).sentence


def _restore_engine(connection: Connection) -> None:
    """Create the tables of procrastinate if none exists: a restored backup may lack them."""
    if connection.dialect.name != "postgresql":
        return
    if not inspect(connection).has_table("procrastinate_jobs"):
        from procrastinate.schema import SchemaManager

        connection.connection.driver_connection.execute(SchemaManager.get_schema())  # type: ignore[union-attr]


def _sqlite(url: str) -> Engine:
    path = url.removeprefix("sqlite:///")
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )


def _postgres(url: str) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args=LIBPQ,
    )
    event.listen(engine, "before_cursor_execute", _translate, retval=True)
    return engine


def _lock(connection: Connection) -> None:
    """Of two processes that migrate at once, one waits. The lock ends with the connection."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(MIGRATION)
        connection.exec_driver_sql("SELECT pg_advisory_lock(hashtextextended('migrations', 0))")


def _translate(
    connection: Connection,
    cursor: object,
    statement: str,
    parameters: object,
    context: object,
    many: bool,
) -> tuple[str, object]:
    """Replace the types of SQLite by those of PostgreSQL. Text is ordered by its bytes, as in
    SQLite: a collation of the database would order ids differently."""
    if statement.lstrip().startswith(("CREATE TABLE", "CREATE TEMPORARY TABLE owners", "ALTER")):
        statement = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', statement)
        statement = re.sub(r"\bINTEGER\b", "BIGINT", statement)
    return statement, parameters


def describe(revision: str | None) -> Check:
    """Compare the revision of a database with the one that this version of the service needs."""
    if revision == newest():
        return ok("schema", f"The database has schema {revision}.")
    if revision is not None and revision.startswith(MOVING):
        text = "A move from SQLite into this database has not finished."
        remedy = "Run python -m service move again, or use another database."
        return problem("schema", text, remedy)
    if revision is not None and revision not in _revisions():
        text = (
            f"The database has schema {revision}, of a newer version of the service; this version "
            f"supports {newest()}."
        )
        return problem("schema", text, "Run the newer version, or use another database.")
    have = f"schema {revision}" if revision else "no schema"
    text = f"The database has {have}; this version of the service needs {newest()}."
    return problem("schema", text, "Migrate it: python -m service migrate.", passing=True)


def _refuse_newer(revision: str | None) -> None:
    found = describe(revision)
    if found.level is Level.PROBLEM and not found.passing:
        raise StartupError(found.sentence)
