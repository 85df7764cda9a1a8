"""All settings with their defaults, read once from the environment."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit

import msgspec

from service.errors import StartupError
from service.plans import read_plans

MIN_SECRET_BYTES = 32
MIN_TOKEN = 16
MAX_RETENTION_DAYS = 36_500
POSTGRES = ("postgresql://", "postgres://")
REDIS = ("redis://", "rediss://")
POSTGRES_OPTIONS = {"host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"}
"""Options of the address that every driver in use understands."""
MAX_POOL = 500
MAX_STREAM_LENGTH = 1_000_000_000
MAX_TIMEOUT = 1_000_000_000
_NUMBERS = {"int": "a whole number", "float": "a number"}
MAX_WAITS, LONGEST_WAIT = 20, 86_400

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """The operator's settings. Each is the environment variable with its name in capitals."""

    #: Address to listen on.
    host: str = "127.0.0.1"
    #: Port to listen on; 0: any free port.
    port: int = 8000
    #: `sqlite:///path`: the database, used by one process at a time; or `postgresql://…`, used by
    #: any number of processes.
    database_url: str = "sqlite:///data/sync.db"
    #: Connections of this process to PostgreSQL.
    database_pool: int = 10
    #: `redis://…`: brings events to other processes at once, with PostgreSQL; and is where changed
    #: records are published.
    redis_url: str = ""
    #: First part of the names of keys in Redis.
    redis_prefix: str = "seller-sync"
    #: 1: changed records are published to streams of Redis.
    publish_records: int = 0
    #: Changes that each of these streams keeps, about.
    stream_length: int = 100_000
    #: `all`, or `web`: no syncs run in this process; only with PostgreSQL.
    role: str = "all"
    #: `jwt`, or `demo`: one fixed identity, on loopback only.
    auth_mode: str = "jwt"
    #: HS256 secret of the JWTs, at least 32 bytes.
    auth_secret: str = ""
    #: Path or URL of a JWKS: the public keys of RS256 and ES256 tokens.
    auth_jwks: str = ""
    #: Required `iss` of tokens; not checked if empty.
    auth_issuer: str = ""
    #: Required entry in the `aud` of tokens; not checked if empty.
    auth_audience: str = ""
    #: The claim of a token that names the tenant; a dotted path names a nested claim.
    auth_tenant_claim: str = "tenant"
    #: Fernet keys that encrypt credentials, newest first, comma-separated.
    secrets_keys: str = ""
    #: Names of the connectors to offer, comma-separated; empty: all, the demo only in demo mode.
    connectors: str = ""
    #: Origins whose pages may call the API, comma-separated; or `*`.
    cors_origins: str = ""
    #: Addresses and networks of proxies whose X-Forwarded headers are trusted, comma-separated.
    trusted_proxies: str = ""
    #: Maximum live syncs per tenant.
    max_syncs_per_tenant: int = 3
    #: Maximum syncs that this process runs at once.
    max_running_syncs: int = 100
    #: Limits of each plan, as JSON by the plan's name (see `service.plans`).
    plans: str = ""
    #: Maximum requests per user and minute; 0: no limit.
    max_requests_per_minute: int = 0
    #: Maximum seconds of one attempt of a sync.
    sync_timeout: float = 86400.0
    #: Maximum seconds without a new checkpoint, in addition to the longest planned wait.
    stall_timeout: float = 1800.0
    #: Seconds for which a sync retries a dataset that its source cannot provide.
    source_patience: float = 600.0
    #: Days after which ended syncs are deleted, except the newest of each connection.
    retention_days: float = 30.0
    #: Days after which entries of the audit log are deleted.
    audit_retention_days: float = 365.0
    #: Days for which the feeds of changes and events are kept.
    changes_days: float = 7.0
    #: Seconds without a complete sync after which a connection without a schedule is stale.
    stale_after: float = 172800.0
    #: 1: webhooks may also go to http and to addresses that are not public.
    webhooks_private: int = 0
    #: Seconds between the attempts to deliver to a webhook, comma-separated.
    webhooks_schedule: str = "5,300,1800,7200,18000,36000,50400,72000,86400"
    #: Records whose outcome is stored in the history: `failed`, or `all`.
    history_items: str = "failed"
    #: Maximum streams per user; a further one evicts the oldest.
    max_streams_per_user: int = 200
    #: Signs the notifications of sources, at least 32 bytes; without it, none are received.
    notifications_secret: str = ""
    #: Bearer token of `GET /metrics`; without it, only this machine may read them.
    metrics_token: str = ""
    #: Port of `/metrics`, `/healthz` and `/readyz` of a worker (`work`); 0: none.
    metrics_port: int = 0
    #: `debug`, `info`, `warning` or `error`.
    log_level: str = "info"
    #: `json` or `console`.
    log_format: str = "json"
    #: The whole environment with NAME_FILE resolved: connectors read their own settings from it.
    environ: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port})"  # no secrets

    @property
    def demo(self) -> bool:
        return self.auth_mode == "demo"

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the connectors to offer; none: the default ones."""
        return _split(self.connectors)

    @property
    def origins(self) -> tuple[str, ...]:
        return _split(self.cors_origins)

    @property
    def proxies(self) -> tuple[Network, ...]:
        return _networks(self.trusted_proxies)

    @property
    def webhook_waits(self) -> tuple[float, ...]:
        """The seconds between the attempts of a delivery. Raises ValueError for other text."""
        return tuple(float(item) for item in self.webhooks_schedule.split(","))

    @property
    def postgres(self) -> bool:
        """Whether the database is PostgreSQL, which other processes may also use."""
        return self.database_url.startswith(POSTGRES)

    @property
    def database_path(self) -> Path:
        """The path as written: no character is escaped."""
        return Path(self.database_url.removeprefix("sqlite:///"))


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (item.strip() for item in text.split(","))))


def _networks(text: str) -> tuple[Network, ...]:
    """Raises ValueError for text that is neither an address nor a network."""
    return tuple(ipaddress.ip_network(item) for item in _split(text))


def read_settings(environ: Mapping[str, str], connectors: Sequence[str] = ()) -> Settings:
    """The settings in an environment, including variables of the named connectors (NAME_…).

    Raises StartupError, which names each problem."""
    resolved = _resolve_files(environ, tuple(f"{name.upper()}_" for name in connectors))
    names = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"ENVIRON"}
    values = {name: value for name, value in resolved.items() if name in names and value != ""}
    try:
        settings = msgspec.convert({**values, "ENVIRON": resolved}, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise StartupError(_wrong_type(str(error), values)) from error
    _check(settings, connectors)
    return settings


def _wrong_type(reason: str, values: Mapping[str, str]) -> str:
    """The message for a value of the wrong type: `PORT must be a whole number, not "abc".`"""
    found = re.fullmatch(r"Expected `(\w+)`, got `str` - at `\$\.(\w+)`", reason)
    if not found or found[1] not in _NUMBERS:
        return f"A setting is not valid: {reason}. Correct it."
    return f"{found[2]} must be {_NUMBERS[found[1]]}, not {values[found[2]][:50]!r}."


def _resolve_files(environ: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Read each NAME from the file that NAME_FILE names: secrets are mounted as files."""
    resolved = dict(environ)
    names = {field.encode_name for field in msgspec.structs.fields(Settings)}
    for variable, path in environ.items():
        name = variable.removesuffix("_FILE")
        if name == variable or not (name in names or name.startswith(prefixes)) or not path:
            continue
        if environ.get(name):
            raise StartupError(f"Both {name} and {variable} are set. Set only one of them.")
        try:
            resolved[name] = Path(path).read_text().strip()
        except OSError as error:
            reason = f"{variable}: {path} cannot be read ({error.strerror})."
            raise StartupError(f"{reason} Check the path and its permissions.") from error
        except UnicodeDecodeError as error:
            raise StartupError(f"{variable}: {path} is not text. Store UTF-8 text.") from error
    return resolved


def _check(settings: Settings, connectors: Sequence[str]) -> None:
    checks = (
        *(_check_auth, _check_numbers, _check_origins, _check_proxies, _check_backends),
        _check_webhooks,
    )
    problems = [problem for check in checks for problem in check(settings)]
    if connectors and (unknown := sorted(set(settings.wanted) - set(connectors))):
        problems.append(
            f"CONNECTORS names {unknown[0]!r}, which does not exist. "
            f"Available: {', '.join(connectors)}."
        )
    if settings.history_items not in ("failed", "all"):
        problems.append("HISTORY_ITEMS must be failed or all.")
    try:
        read_plans(settings.plans)
    except StartupError as error:
        problems.append(error.detail)
    if 0 < len(settings.notifications_secret.encode()) < MIN_SECRET_BYTES:
        problems.append(f"NOTIFICATIONS_SECRET must have at least {MIN_SECRET_BYTES} bytes.")
    if 0 < len(settings.metrics_token) < MIN_TOKEN or not settings.metrics_token.isascii():
        problems.append(f"METRICS_TOKEN must have at least {MIN_TOKEN} ASCII characters.")
    if settings.log_format not in ("json", "console"):
        problems.append("LOG_FORMAT must be json or console.")
    if settings.log_level.lower() not in ("debug", "info", "warning", "error"):
        problems.append("LOG_LEVEL must be debug, info, warning or error.")
    if problems:
        raise StartupError(" ".join(problems))


def _check_backends(settings: Settings) -> list[str]:
    if settings.postgres:
        problems = _check_postgres(settings.database_url)
    else:
        problems = _check_sqlite(settings)
    if settings.redis_url and not _is_redis_url(settings.redis_url):
        problems.append("REDIS_URL must be redis://host:port/number, or rediss:// with TLS.")
    if not re.fullmatch(r"[\w.:-]+", settings.redis_prefix):
        problems.append("REDIS_PREFIX may hold letters, digits and -_.: only.")
    if settings.redis_url and not settings.postgres and not settings.publish_records:
        problems.append(
            "REDIS_URL needs PostgreSQL, or PUBLISH_RECORDS=1: SQLite serves one process, whose "
            "events do not need Redis."
        )
    if settings.publish_records not in (0, 1):
        problems.append("PUBLISH_RECORDS must be 0 or 1.")
    if settings.publish_records and not settings.redis_url:
        problems.append(
            "PUBLISH_RECORDS=1 needs REDIS_URL, the server to publish changed records to. Set it, "
            "or unset PUBLISH_RECORDS."
        )
    if not 1 <= settings.stream_length <= MAX_STREAM_LENGTH:
        problems.append(f"STREAM_LENGTH must be between 1 and {MAX_STREAM_LENGTH:,}.")
    if settings.role not in ("all", "web"):
        problems.append("ROLE must be all or web.")
    if settings.role == "web" and not settings.postgres:
        problems.append("ROLE=web needs PostgreSQL: nothing else would run the syncs.")
    return problems


def _check_postgres(address: str) -> list[str]:
    example = "postgresql://user:password@host:5432/database"
    try:
        url = urlsplit(address)
        options = {name for name, _ in parse_qsl(url.query, keep_blank_values=True)}
        if url.port == 0 or url.fragment or "," in url.netloc:
            raise ValueError
    except ValueError:
        return [
            f"DATABASE_URL must be {example}, with one host. Write /, ?, #, @ and : of a user or "
            "password as %2F, %3F, %23, %40 and %3A."
        ]
    if not url.path.strip("/"):
        return [f"DATABASE_URL must name a database: {example}."]
    if unknown := sorted(options - POSTGRES_OPTIONS):
        names = ", ".join(sorted(POSTGRES_OPTIONS))
        return [f"DATABASE_URL has the unknown option {unknown[0]}. Options are {names}."]
    return []


def _is_redis_url(address: str) -> bool:
    try:
        url = urlsplit(address)
        return (
            address.startswith(REDIS)
            and bool(url.hostname)
            and url.port != 0
            and re.fullmatch(r"/?\d*", url.path) is not None
        )
    except ValueError:
        return False


def _check_sqlite(settings: Settings) -> list[str]:
    if not settings.database_url.startswith("sqlite:///"):
        return ["DATABASE_URL must be sqlite:///path or postgresql://user@host:port/database."]
    if settings.database_path.name in ("", ":memory:"):
        return ["DATABASE_URL must name a file: sqlite:///data/sync.db."]
    if not _is_text(settings.database_url):
        return ["DATABASE_URL must be valid UTF-8: SQLite cannot open other paths."]
    return []


def _check_auth(settings: Settings) -> list[str]:
    if settings.demo:
        if not is_loopback(settings.host):
            return [
                f"AUTH_MODE=demo has no authentication, so HOST must be a loopback address, not "
                f"{settings.host}. Set HOST=127.0.0.1, or AUTH_MODE=jwt."
            ]
        return []
    if settings.auth_mode != "jwt":
        return ["AUTH_MODE must be jwt or demo."]
    problems = _check_keys(settings)
    if not all(settings.auth_tenant_claim.split(".")):
        problems.append("AUTH_TENANT_CLAIM must name a claim, like tenant, org_id or org.id.")
    if not settings.secrets_keys:
        problems.append(
            "Set SECRETS_KEYS, the keys that encrypt credentials. Create one with: python -c "
            "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
        )
    return problems


def _check_keys(settings: Settings) -> list[str]:
    """Tokens are verified with a secret, a JWKS, or both."""
    problems = []
    secret, jwks = settings.auth_secret.encode(), settings.auth_jwks
    if 0 < len(secret) < MIN_SECRET_BYTES:
        problems.append(
            f"AUTH_SECRET has {len(secret)} bytes; it needs at least {MIN_SECRET_BYTES}. "
            "Create one with: python -c 'import secrets; print(secrets.token_hex())'."
        )
    elif not (secret or jwks):
        problems.append(
            f"Set AUTH_SECRET (at least {MIN_SECRET_BYTES} bytes), the HS256 secret of your JWTs, "
            "or AUTH_JWKS, the path or URL of their issuer's public keys, "
            "or AUTH_MODE=demo to try the service on this machine."
        )
    if jwks.startswith("{"):
        problems.append("AUTH_JWKS must be the path or URL of a JWKS, not the JWKS itself.")
    elif "://" in jwks and not _is_http_url(jwks):
        problems.append("AUTH_JWKS must be a path, or a URL like https://issuer/jwks.json.")
    return problems


def _check_origins(settings: Settings) -> list[str]:
    if settings.origins == ("*",):
        return []
    return [
        f"CORS_ORIGINS: {origin} is not an origin as browsers send it. Write the scheme, the host "
        "and a port other than the default, in lower case and without a path, like "
        "https://app.example; or only *."
        for origin in settings.origins
        if not _is_origin(origin)
    ]


def _check_proxies(settings: Settings) -> list[str]:
    try:
        _networks(settings.trusted_proxies)
        return []
    except ValueError as error:
        return [f"TRUSTED_PROXIES: {error}. List addresses and networks: 10.0.0.1, 10.1.0.0/16."]


def _check_webhooks(settings: Settings) -> list[str]:
    try:
        waits = settings.webhook_waits
        valid = len(waits) <= MAX_WAITS and all(0 < wait <= LONGEST_WAIT for wait in waits)
    except ValueError:
        valid = False
    problems = []
    if settings.webhooks_private not in (0, 1):
        problems.append("WEBHOOKS_PRIVATE must be 0 or 1.")
    if valid:
        return problems
    return [
        *problems,
        f"WEBHOOKS_SCHEDULE must list at most {MAX_WAITS} numbers of seconds, each above 0 and at "
        f"most {LONGEST_WAIT:,}, like 5,300,1800.",
    ]


def _is_origin(text: str) -> bool:
    if not _is_http_url(text) or not re.fullmatch(r"[a-z0-9.:/\[\]-]+", text):
        return False
    parts = urlsplit(text)
    default_port = {"http": 80, "https": 443}[parts.scheme]
    return text == f"{parts.scheme}://{parts.netloc}" and parts.port != default_port


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:  # an invalid port, or http://[
        return False


def _check_numbers(settings: Settings) -> list[str]:
    problems = [
        f"{name} must be between 0 and 65535."
        for name, port in (("PORT", settings.port), ("METRICS_PORT", settings.metrics_port))
        if not 0 <= port <= 65535
    ]
    positive = (
        "max_syncs_per_tenant",
        "max_running_syncs",
        "sync_timeout",
        "stall_timeout",
        "retention_days",
        "audit_retention_days",
        "stale_after",
        "max_streams_per_user",
    )
    problems += [
        f"{name.upper()} must be above 0."
        for name in positive
        if not getattr(settings, name) > 0  # nan is not above 0 either
    ]
    if not 1 <= settings.database_pool <= MAX_POOL:
        problems.append(f"DATABASE_POOL must be between 1 and {MAX_POOL}.")
    if settings.max_requests_per_minute < 0:
        problems.append("MAX_REQUESTS_PER_MINUTE must not be below 0.")
    if not 0 <= settings.source_patience <= MAX_TIMEOUT:
        problems.append(f"SOURCE_PATIENCE must be between 0 and {MAX_TIMEOUT:,} seconds.")
    if max(settings.sync_timeout, settings.stall_timeout) > MAX_TIMEOUT:
        problems.append(f"SYNC_TIMEOUT and STALL_TIMEOUT must be at most {MAX_TIMEOUT:,} seconds.")
    if settings.stale_after > MAX_RETENTION_DAYS * 86_400:
        problems.append(f"STALE_AFTER must be at most {MAX_RETENTION_DAYS:,} days, in seconds.")
    if max(settings.retention_days, settings.audit_retention_days) > MAX_RETENTION_DAYS:
        names = "RETENTION_DAYS and AUDIT_RETENTION_DAYS"
        problems.append(f"{names} must be at most {MAX_RETENTION_DAYS:,}.")
    return problems


def _is_text(path: str) -> bool:
    """Whether a path is valid UTF-8. Python represents other bytes as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path


def is_loopback(host: str) -> bool:
    """Whether a host (without port) is a loopback address."""
    if host.strip("[]").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
