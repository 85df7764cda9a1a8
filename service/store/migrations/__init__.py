"""The schema's migrations, run by alembic at start and by `python -m service migrate`."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from service.errors import StartupError

FOLDER = Path(__file__).parent


def newest() -> str:
    """The revision that this version of the service needs."""
    return ScriptDirectory(str(FOLDER)).get_current_head() or ""


def migrate(url: str) -> str:
    """Migrate a database to the newest schema and return its revision. Raises StartupError for a
    database that cannot be opened, or that a newer version of the service has migrated.

    `url` is `sqlite:///path`; the path may contain any character."""
    path = url.removeprefix("sqlite:///")
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    try:
        with engine.connect() as connection:
            migrated = inspect(connection).has_table("alembic_version")
            query = text("SELECT version_num FROM alembic_version")
            revision = connection.execute(query).scalar() if migrated else None
            _refuse_newer(revision)
            if revision != newest():
                config = Config()
                config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
                config.attributes["connection"] = connection
                # One transaction for all revisions: if one fails, nothing has changed.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                command.upgrade(config, "head")
                connection.exec_driver_sql("COMMIT")
    except SQLAlchemyError as error:
        raise StartupError(f"The database cannot be opened: {error.__cause__ or error}.") from error
    finally:
        engine.dispose()
    return newest()


def _refuse_newer(revision: str | None) -> None:
    if revision is None:
        return
    try:
        ScriptDirectory(str(FOLDER)).get_revision(revision)
    except CommandError as error:
        raise StartupError(
            f"The database has schema {revision}, of a newer version of the service; this "
            f"version supports {newest()}. Run the newer version, or use another database."
        ) from error
