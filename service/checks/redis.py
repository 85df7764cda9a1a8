"""Checks whether the service can use a Redis server, and explains the errors of one."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.check import Check, ok, problem, warning

OLDEST = "6.2"
"""The oldest version: the first whose SET also returns the old value."""
TIMEOUT = 5.0
"""Seconds within which the server must accept a connection, and answer a call."""
EVICTING = ("allkeys-lru", "allkeys-lfu", "allkeys-random")
"""Policies that remove keys without an expiry, such as the stream of events."""

_CLUSTER = ("it is a Redis Cluster", "Set REDIS_URL to a single server.")
_ANSWERS: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (exceptions.AskError, *_CLUSTER, False),  # and MOVED
    (exceptions.ClusterError, *_CLUSTER, False),
    (
        exceptions.AuthenticationError,
        "it refuses the user or password, or requires one",
        "Correct REDIS_URL: redis://user:password@host:port/number, or without a user "
        "redis://:password@host:port/number.",
        False,
    ),
    (
        exceptions.NoPermissionError,
        "its user may not use a command or a key",
        "Allow +xadd +xread +xrevrange +set +get +info +ping, with PUBLISH_RECORDS also +eval, and "
        "the keys that begin with REDIS_PREFIX.",
        False,
    ),
    (
        exceptions.OutOfMemoryError,
        "it has no memory left",
        "Raise its maxmemory, or remove other data.",
        True,
    ),
    (
        exceptions.ReadOnlyError,
        "it is a replica",
        "Set REDIS_URL to the primary server.",
        True,
    ),
    (exceptions.BusyLoadingError, "it loads its data", "Wait until it is ready.", True),
)


def connect(url: str, timeout: float = TIMEOUT) -> Redis:
    """A client that does not retry, and whose calls take `timeout` seconds at most. Raises
    ValueError for an address that is not valid."""
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=timeout,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )


def owner_key(prefix: str) -> str:
    """The key that holds the id of the database whose processes use the prefix."""
    return f"{prefix}:database"


def explain(error: BaseException, url: str = "") -> Check:
    """Describe an error of Redis, with its remedy."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    parts = urlsplit(url)
    server = f"Redis at {parts.hostname}:{parts.port or 6379}" if url else "Redis"
    for kind, text, remedy, passing in _ANSWERS:
        if isinstance(error, kind):
            return problem("redis", f"{server} cannot be used: {text}.", remedy, passing)
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        remedy = "Check the server, the network and firewalls."
        return problem("redis", f"{server} does not answer in time.", remedy, True)
    text = f"{server} cannot be used: {reason}."
    return problem("redis", text, "Start it, or correct REDIS_URL.", True)


def foreign(prefix: str) -> Check:
    """The warning that two clusters use one prefix."""
    return warning(
        "redis_prefix",
        f"Processes of another database also use the prefix {prefix}. Their events are ignored.",
        "Set another REDIS_PREFIX for one of the two.",
    )


async def check_redis(url: str, prefix: str, database: str | None) -> list[Check]:
    """Check a server without changing it. `database` is the id of this service's database, if
    known."""
    try:
        client = connect(url)
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        return [problem("redis", f"REDIS_URL is not valid: {reason}.", "Correct it.")]
    try:
        with anyio.fail_after(2 * TIMEOUT):
            info: Any = await client.info()
            owner: Any = await client.get(owner_key(prefix))
    except (exceptions.RedisError, OSError, TimeoutError) as error:
        return [explain(error, url)]
    except TypeError as error:  # an unknown option
        return [problem("redis", f"REDIS_URL is not valid: {error}.", "Correct it.")]
    finally:
        with anyio.move_on_after(1, shield=True):
            await client.aclose()
    return [*_check_info(info), _check_owner(prefix, owner, database)]


def _check_info(info: Mapping[str, Any]) -> list[Check]:
    version = str(info.get("redis_version", "0"))
    if _numbers(version) < _numbers(OLDEST):
        text = f"Redis {version} is too old."
        return [problem("redis", text, f"Install Redis {OLDEST} or newer.")]
    if info.get("cluster_enabled"):
        return [explain(exceptions.ClusterError())]
    if info.get("role") == "slave":
        return [explain(exceptions.ReadOnlyError())]
    return [ok("redis", f"Redis {version} answers."), _check_memory(info)]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _check_memory(info: Mapping[str, Any]) -> Check:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = str(info.get("maxmemory_policy", ""))
    if limit and policy in EVICTING:
        return warning(
            "redis_memory",
            f"Redis may evict the stream of events (maxmemory-policy {policy}).",
            "Set maxmemory-policy noeviction or volatile-lru, or use a Redis of its own.",
        )
    if limit and used > limit:
        return warning("redis_memory", *_full())
    return ok(
        "redis_memory", f"Redis uses {used / 2**20:.0f} MiB; maxmemory is {limit or 'unset'}."
    )


def _full() -> tuple[str, str]:
    found = explain(exceptions.OutOfMemoryError())
    return found.text, found.remedy


def _check_owner(prefix: str, owner: bytes | None, database: str | None) -> Check:
    if owner is None:
        return ok("redis_prefix", f"No process uses the prefix {prefix} now.")
    if database is None:
        return ok("redis_prefix", f"The prefix {prefix} is in use.")
    if owner.decode(errors="replace") != database:
        return foreign(prefix)
    return ok("redis_prefix", f"The prefix {prefix} belongs to this database.")
