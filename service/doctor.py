"""Checks everything that the service needs, with the checks of its start, and names remedies."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from anyio import to_thread
from cryptography.fernet import MultiFernet

import connectors
from connectors.base import SystemClock
from service.backends import require_scale
from service.check import Check, Level, ok, problem, worst
from service.checks.files import check_files
from service.checks.keys import check_keys_of_cluster, check_keys_of_file
from service.checks.sources import check_findings
from service.credentials import read_keys
from service.edge.authenticator import Authenticator
from service.errors import StartupError
from service.settings import Settings, read_settings
from service.sources import open_sources
from service.store.engine import Unavailable


async def examine(environ: Mapping[str, str]) -> list[Check]:
    """Check the settings, and the database, servers and sources that they name. Checks that depend
    on a failed one are left out. Nothing is changed."""
    try:
        settings = read_settings(environ, connectors.names())
        keys = read_keys(settings.secrets_keys)
        if settings.postgres or settings.redis_url:
            require_scale()
        async with Authenticator(settings, SystemClock()).open():
            sources = await _examine_sources(settings)
    except StartupError as error:
        return [problem("settings", error.detail, "See docs/settings.md.")]
    checks = [ok("settings", "The settings are valid.")]
    if settings.postgres:
        return checks + await _examine_cluster(settings, keys) + sources
    checks += await to_thread.run_sync(check_files, settings.database_path)
    checks += await to_thread.run_sync(check_keys_of_file, settings.database_path, keys)
    return checks + (await _examine_redis(settings, None) if settings.redis_url else []) + sources


async def _examine_sources(settings: Settings) -> list[Check]:
    """Check the settings of the connectors. Raises StartupError for one that cannot be opened."""
    offered = connectors.offered(settings.wanted, settings.demo)
    async with open_sources(offered, connectors.find, settings.environ, SystemClock()) as sources:
        return check_findings(await sources.examine())


async def _examine_cluster(settings: Settings, keys: MultiFernet) -> list[Check]:
    from service.checks.postgres import check_server

    checks = await check_server(settings.database_url, settings.database_pool)
    database = None
    if worst(checks) is None:
        found, database = await _examine_use(settings, keys)
        checks += found
    if not settings.redis_url:
        text = "REDIS_URL is not set: events of other processes are up to 2 s late."
        return [*checks, ok("redis", text)]
    return checks + await _examine_redis(settings, database)


async def _examine_redis(settings: Settings, database: str | None) -> list[Check]:
    from service.checks.redis import check_redis

    return await check_redis(settings.redis_url, settings.redis_prefix, database)


async def _examine_use(settings: Settings, keys: MultiFernet) -> tuple[list[Check], str | None]:
    """Check the keys and the workers. Also returns the id of the database."""
    from service.checks.postgres import check_workers, database_id
    from service.store.postgres import PostgresEngine

    try:
        engine = await PostgresEngine.open(settings.database_url, pool=1)
        try:
            checks = await check_keys_of_cluster(engine, keys) + await check_workers(engine)
            return checks, await database_id(engine)
        finally:
            await engine.close()
    except Unavailable as error:
        return [problem("workers", str(error), "")], None


def healthy(checks: Sequence[Check]) -> bool:
    return all(check.level is not Level.PROBLEM for check in checks)


def as_text(checks: Sequence[Check]) -> str:
    """Format each check as one line, with its remedy below it."""
    lines = []
    for check in checks:
        lines.append(f"{check.level:8} {check.name:19} {check.text}")
        if check.remedy:
            lines.append(f"{'':8} {'':19} {check.remedy}")
    return "\n".join(lines)


def as_json(checks: Sequence[Check]) -> str:
    body: dict[str, Any] = {
        "healthy": healthy(checks),
        "checks": [
            {"name": check.name, "level": check.level, "text": check.text, "remedy": check.remedy}
            for check in checks
        ],
    }
    return msgspec.json.format(msgspec.json.encode(body)).decode()
