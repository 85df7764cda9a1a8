"""Every setting with its default, read from the environment once."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from service.errors import StartupError
from service.plans import read_plans

SHORTEST_SECRET = 32
LONGEST_RETENTION = 36_500
LONGEST_TIMEOUT = 1_000_000_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """What the operator may set. A field's name in capitals is its variable in the environment."""

    #: Where to listen.
    host: str = "127.0.0.1"
    port: int = 8000
    #: `sqlite:///path` for one process.
    database_url: str = "sqlite:///data/sync.db"
    #: `jwt`, or `demo`: one fixed identity, on loopback only.
    auth_mode: str = "jwt"
    #: HS256 secret of the JWTs, at least 32 bytes.
    auth_secret: str = ""
    #: Path or URL of a JWKS: the public keys of RS256 and ES256 tokens.
    auth_jwks: str = ""
    #: What a token's `iss` must be, and what its `aud` must name; not looked at if unset.
    auth_issuer: str = ""
    auth_audience: str = ""
    #: The claim of a token that holds the tenant; dots lead into nested objects.
    auth_tenant_claim: str = "tenant"
    #: Fernet keys for credentials at rest, newest first, separated by commas.
    secrets_keys: str = ""
    #: Origins whose pages may call the API, separated by commas; or `*`.
    cors_origins: str = ""
    #: Addresses and networks of proxies whose X-Forwarded-… count, separated by commas.
    trusted_proxies: str = ""
    #: Live syncs of one tenant.
    max_syncs_per_tenant: int = 3
    #: Syncs run at once by this process.
    max_running_syncs: int = 100
    #: What each plan allows, as JSON by its name (see `service.plans`).
    plans: str = ""
    #: Requests that a user may make in a minute; 0: as many as he likes.
    max_requests_per_minute: int = 0
    #: Seconds that one attempt of a sync may take.
    sync_timeout: float = 86400.0
    #: Seconds without a new checkpoint, beyond the longest planned wait.
    stall_timeout: float = 1800.0
    #: Seconds for which a sync asks again for a dataset that its source cannot give now.
    source_patience: float = 600.0
    #: Days after which what has ended is deleted; never a connection's newest sync.
    retention_days: float = 30.0
    #: Days after which entries of the audit log are deleted.
    audit_retention_days: float = 365.0
    #: Of which records the history keeps the outcome: `failed`, or `all`.
    history_items: str = "failed"
    #: Streams of one user; beyond it the oldest is evicted.
    max_streams_per_user: int = 200
    log_level: str = "info"
    #: `json` or `console`.
    log_format: str = "json"
    #: The whole environment, with NAME_FILE resolved: a connector finds its own settings there.
    environ: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port})"  # never a secret

    @property
    def demo(self) -> bool:
        return self.auth_mode == "demo"

    @property
    def origins(self) -> tuple[str, ...]:
        return _listed(self.cors_origins)

    @property
    def proxies(self) -> tuple[Network, ...]:
        return _networks(self.trusted_proxies)

    @property
    def database_path(self) -> Path:
        """As it is written: no character of it means anything else."""
        return Path(self.database_url.removeprefix("sqlite:///"))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in text.split(","))))


def _networks(text: str) -> tuple[Network, ...]:
    """Raises ValueError for what is neither an address nor a network."""
    return tuple(ipaddress.ip_network(each) for each in _listed(text))


def read_settings(environ: Mapping[str, str], connectors: Sequence[str] = ()) -> Settings:
    """The settings that an environment describes, and those of the named connectors (NAME_…).

    Raises StartupError naming what to mend."""
    resolved = _resolve_files(environ, tuple(f"{name.upper()}_" for name in connectors))
    names = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"ENVIRON"}
    given = {name: value for name, value in resolved.items() if name in names and value != ""}
    try:
        settings = msgspec.convert({**given, "ENVIRON": resolved}, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise StartupError(f"A setting is not acceptable: {error}.") from error
    _check(settings)
    return settings


def _resolve_files(environ: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """NAME_FILE is the path of a file that holds NAME: how secrets are mounted."""
    resolved = dict(environ)
    known = {field.encode_name for field in msgspec.structs.fields(Settings)}
    for variable, path in environ.items():
        name = variable.removesuffix("_FILE")
        if name == variable or not (name in known or name.startswith(prefixes)) or not path:
            continue
        if environ.get(name):
            raise StartupError(f"Both {name} and {variable} are set. Set one of them.")
        try:
            resolved[name] = Path(path).read_text().strip()
        except OSError as error:
            raise StartupError(f"{variable}: {path} cannot be read ({error.strerror}).") from error
        except UnicodeDecodeError as error:
            raise StartupError(f"{variable}: {path} is not text.") from error
    return resolved


def _check(settings: Settings) -> None:
    checks = (_check_auth, _check_numbers, _check_origins, _check_proxies)
    problems = [problem for check in checks for problem in check(settings)]
    if not settings.database_url.startswith("sqlite:///"):
        problems.append("DATABASE_URL must be sqlite:///path (PostgreSQL is not supported yet).")
    elif settings.database_path.name in ("", ":memory:"):
        problems.append("DATABASE_URL must name a file: sqlite:///data/sync.db.")
    elif not _is_text(settings.database_url):
        problems.append("DATABASE_URL must name a path in UTF-8: SQLite opens no other.")
    if settings.history_items not in ("failed", "all"):
        problems.append("HISTORY_ITEMS must be failed or all.")
    try:
        read_plans(settings.plans)
    except StartupError as error:
        problems.append(error.detail)
    if settings.log_format not in ("json", "console"):
        problems.append("LOG_FORMAT must be json or console.")
    if settings.log_level.lower() not in ("debug", "info", "warning", "error"):
        problems.append("LOG_LEVEL must be debug, info, warning or error.")
    if problems:
        raise StartupError(" ".join(problems))


def _check_auth(settings: Settings) -> list[str]:
    if settings.demo:
        if not is_loopback(settings.host):
            return [
                f"AUTH_MODE=demo lets everybody in, so it serves loopback addresses only, "
                f"not {settings.host}. Set HOST=127.0.0.1, or AUTH_MODE=jwt."
            ]
        return []
    if settings.auth_mode != "jwt":
        return ["AUTH_MODE must be jwt or demo."]
    problems = _check_keys(settings)
    if not all(settings.auth_tenant_claim.split(".")):
        problems.append("AUTH_TENANT_CLAIM must name a claim, like tenant, org_id or org.id.")
    if not settings.secrets_keys:
        problems.append(
            "Set SECRETS_KEYS, the keys that encrypt credentials at rest. Make one with: python -c "
            "'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'."
        )
    return problems


def _check_keys(settings: Settings) -> list[str]:
    """Who may sign a token: a secret, a JWKS, or both."""
    problems = []
    secret, jwks = settings.auth_secret.encode(), settings.auth_jwks
    if not (secret or jwks) or 0 < len(secret) < SHORTEST_SECRET:
        problems.append(
            f"Set AUTH_SECRET (at least {SHORTEST_SECRET} bytes), the HS256 secret of your JWTs, "
            "or AUTH_JWKS, the path or URL of their issuer's public keys, "
            "or AUTH_MODE=demo to try the service on this machine."
        )
    if jwks.startswith("{"):
        problems.append("AUTH_JWKS must be the path or URL of a JWKS, not the JWKS itself.")
    elif "://" in jwks and not _is_web_address(jwks):
        problems.append("AUTH_JWKS must be a path, or an address like https://issuer/jwks.json.")
    return problems


def _check_origins(settings: Settings) -> list[str]:
    if settings.origins == ("*",):
        return []
    return [
        f"CORS_ORIGINS: {each} is no origin as browsers write them: scheme, host, and a port that "
        "is not the scheme's own; lower case, no path. Like https://app.example, or * alone."
        for each in settings.origins
        if not _is_origin(each)
    ]


def _check_proxies(settings: Settings) -> list[str]:
    try:
        _networks(settings.trusted_proxies)
        return []
    except ValueError as error:
        return [f"TRUSTED_PROXIES: {error}. List addresses and networks: 10.0.0.1, 10.1.0.0/16."]


def _is_origin(text: str) -> bool:
    if not _is_web_address(text) or not re.fullmatch(r"[a-z0-9.:/\[\]-]+", text):
        return False
    parts = urlsplit(text)
    own_port = {"http": 80, "https": 443}[parts.scheme]
    return text == f"{parts.scheme}://{parts.netloc}" and parts.port != own_port


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:  # a port that is none, or http://[
        return False


def _check_numbers(settings: Settings) -> list[str]:
    problems = [] if 0 <= settings.port <= 65535 else ["PORT must be between 0 and 65535."]
    positive = (
        "max_syncs_per_tenant",
        "max_running_syncs",
        "sync_timeout",
        "stall_timeout",
        "retention_days",
        "audit_retention_days",
        "max_streams_per_user",
    )
    problems += [
        f"{name.upper()} must be above 0."
        for name in positive
        if not getattr(settings, name) > 0  # nan is not above 0 either
    ]
    if settings.max_requests_per_minute < 0:
        problems.append("MAX_REQUESTS_PER_MINUTE must not be below 0.")
    if not 0 <= settings.source_patience <= LONGEST_TIMEOUT:
        problems.append(f"SOURCE_PATIENCE must be between 0 and {LONGEST_TIMEOUT:,} seconds.")
    if max(settings.sync_timeout, settings.stall_timeout) > LONGEST_TIMEOUT:
        problems.append(f"Timeouts must be at most {LONGEST_TIMEOUT:,} seconds.")
    if max(settings.retention_days, settings.audit_retention_days) > LONGEST_RETENTION:
        problems.append(f"Days of retention must be at most {LONGEST_RETENTION:,}.")
    return problems


def _is_text(path: str) -> bool:
    """Whether a path can be written in UTF-8; bytes that are none come as lone surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path


def is_loopback(host: str) -> bool:
    """Whether an address (no port) is this machine's own."""
    if host.strip("[]").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
