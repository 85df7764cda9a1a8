"""compose.yaml and .env.example agree with each other, with the settings and with the image."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]

from service.__main__ import main
from service.settings import Settings, read_settings
from tests.serving import KEY, SECRET

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"] == "seller-sync"}
REQUIRED = {"AUTH_SECRET", "SECRETS_KEYS", "POSTGRES_PASSWORD"}
#: What compose.yaml itself sets, so that .env does not.
FIXED = {"HOST", "PORT", "DATABASE_URL", "REDIS_URL", "ROLE", "AUTH_MODE", "TRUSTED_PROXIES"}
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[?-])?([^}]*)\}")


def example() -> dict[str, tuple[str, str, bool]]:
    """By setting: its value, the comment above it, and whether it is set or commented out."""
    found: dict[str, tuple[str, str, bool]] = {}
    above = ""
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"(#?)([A-Z_]+)=(.*)", line):
            found[match[2]] = (match[3], above, not match[1])
        above = line
    return found


def filled() -> dict[str, str]:
    """An .env with the three secrets."""
    return {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "POSTGRES_PASSWORD": "a1b2"}


def environment(name: str, env: dict[str, str]) -> dict[str, str]:
    """The environment of a service with this .env, as Docker Compose builds it."""

    def value(match: re.Match[str]) -> str:
        if match[1] in env:
            return env[match[1]]
        assert match[2] == ":-", f"{match[1]} is missing: {match[3]}"
        return match[3]

    given = {
        name: VARIABLE.sub(value, text) for name, text in SERVICES[name]["environment"].items()
    }
    return {**env, **given} if "env_file" in SERVICES[name] else given


# Services -----------------------------------------------------------------------------------------


def test_two_web_processes_two_workers_a_migration_and_their_servers() -> None:
    commands = {name: one["command"] for name, one in OURS.items()}
    assert commands == {
        "migrate": ["migrate"],
        "web-1": ["serve"],
        "web-2": ["serve"],
        "worker": ["work"],
    }
    assert OURS["worker"]["deploy"]["replicas"] == 2
    assert set(SERVICES) - set(OURS) == {"nginx", "postgres", "redis"}


def test_every_command_exists_and_follows_the_entry_point_of_the_image() -> None:
    assert 'ENTRYPOINT ["python", "-m", "service"]' in (ROOT / "Dockerfile").read_text()
    assert {one["command"][0] for one in OURS.values()} <= set(main.commands)


def test_the_image_has_the_drivers_of_both_servers() -> None:
    assert "-r requirements.lock" in (ROOT / "Dockerfile").read_text()
    locked = (ROOT / "requirements.lock").read_text()
    for package in ("procrastinate==", "asyncpg==", "psycopg-binary==", "redis[hiredis]=="):
        assert f"\n{package}" in locked


def test_images_are_pinned_to_a_major_version() -> None:
    for name in set(SERVICES) - set(OURS):
        assert re.fullmatch(r"[a-z]+:\d+", SERVICES[name]["image"]), SERVICES[name]["image"]


def test_only_nginx_is_reachable_and_from_this_machine_alone_unless_told_otherwise() -> None:
    ports = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert ports == {"nginx": ["${LISTEN:-127.0.0.1:8000}:80"]}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_a_bounded_log(name: str) -> None:
    one = SERVICES[name]
    assert one["deploy"]["resources"]["limits"]["memory"]
    assert one["logging"]["options"]["max-size"]
    assert one["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_that_listens_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name in ("migrate", "worker"):  # the check of the image asks for an answer by HTTP
        assert check == {"disable": True}
    else:
        assert "test" in check or "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_nginx_finds_the_web_processes_where_they_listen() -> None:
    conf = (ROOT / "ops" / "nginx.conf").read_text()
    [(host, port)] = re.findall(r"http://([\w-]+):(\d+);", conf)
    for name in ("web-1", "web-2"):
        assert host in OURS[name]["networks"]["default"]["aliases"]
        assert OURS[name]["environment"]["PORT"] == port
    assert SERVICES["nginx"]["ports"][0].endswith(":80") and "listen 80;" in conf
    assert "./ops/nginx.conf:/etc/nginx/nginx.conf:ro" in SERVICES["nginx"]["volumes"]


def test_nginx_keeps_its_defaults_for_buffers_time_outs_and_the_next_process() -> None:
    conf = (ROOT / "ops" / "nginx.conf").read_text()
    assert not re.search(
        r"^\s*proxy_(\w*buffer|\w+_timeout|next_upstream|cache)", conf, re.MULTILINE
    )


# Settings -----------------------------------------------------------------------------------------


def test_each_variable_of_compose_is_in_the_example_and_a_secret_has_no_default() -> None:
    used = {match[1]: match[2] for match in VARIABLE.finditer(TEXT)}
    assert set(used) <= set(example())
    assert {name for name, how in used.items() if how == ":?"} == REQUIRED
    assert TEXT.count("$") == len(VARIABLE.findall(TEXT)), "every variable says what if it is unset"


def test_the_example_has_every_setting_that_compose_does_not_set() -> None:
    settings = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"ENVIRON"}
    amazon = (ROOT / "connectors" / "amazon" / "settings.py").read_text()
    connector = set(re.findall(r'environ\.get\("(AMAZON_[A-Z_]+)"', amazon))
    assert set(example()) - {"POSTGRES_PASSWORD", "LISTEN"} == (settings - FIXED) | connector


def test_the_example_holds_no_secret_and_asks_for_exactly_the_required_ones() -> None:
    assert {name for name, (_, _, given) in example().items() if given} == REQUIRED
    assert all(not example()[name][0] for name in (*REQUIRED, "AMAZON_CLIENT_SECRET"))


def test_the_example_explains_each_setting_and_shows_its_default() -> None:
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(Settings)}
    for name, (value, comment, _) in example().items():
        assert re.fullmatch(r"# [A-Zdjwo`].*\.", comment), f"{name}: {comment}"
        if name in defaults and defaults[name] != "":
            shown = f"{defaults[name]:g}" if isinstance(defaults[name], float) else defaults[name]
            assert value == str(shown), name


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_compose_refuses_an_env_without_a_secret(missing: str) -> None:
    env = {name: value for name, value in filled().items() if name != missing}
    with pytest.raises(AssertionError, match=rf"Set {missing} in \.env"):
        environment("web-1", env)


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_every_process_are_valid(name: str) -> None:
    settings = read_settings(environment(name, filled()), ("amazon", "demo"))
    assert settings.postgres and settings.redis_url
    assert settings.role == ("web" if name.startswith("web") else "all")
    assert not settings.demo
    server = environment("postgres", filled())
    user, password = server["POSTGRES_USER"], server["POSTGRES_PASSWORD"]
    database = f"postgresql://{user}:{password}@postgres:5432/{server['POSTGRES_DB']}"
    assert settings.database_url == database


def test_all_processes_together_have_fewer_connections_than_postgresql_allows() -> None:
    pool = next(f.default for f in msgspec.structs.fields(Settings) if f.name == "database_pool")
    engine = 2
    processes = len(OURS) - 1 + 1  # without migrate, with the second worker
    assert processes * (int(pool) + engine + 1) < 100
