"""Settings: their sources, and the errors for invalid ones."""

from pathlib import Path

import pytest

from service.errors import StartupError
from service.settings import is_loopback, read_settings
from tests.serving import KEY, SECRET

GOOD = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY}


def refusal_of(environ: dict[str, str]) -> str:
    with pytest.raises(StartupError) as caught:
        read_settings(environ)
    assert caught.value.detail
    assert SECRET not in caught.value.detail and KEY not in caught.value.detail
    return caught.value.detail


def test_unset_settings_have_their_defaults() -> None:
    settings = read_settings(GOOD)
    assert (settings.host, settings.port, settings.database_url) == (
        "127.0.0.1",
        8000,
        "sqlite:///data/sync.db",
    )
    assert (settings.auth_mode, settings.log_level, settings.log_format) == ("jwt", "info", "json")
    assert (settings.max_syncs_per_tenant, settings.max_running_syncs) == (3, 100)
    assert (settings.sync_timeout, settings.max_streams_per_user) == (86400, 200)


def test_an_empty_value_selects_the_default() -> None:
    assert read_settings({**GOOD, "PORT": "", "HOST": ""}).port == 8000


def test_any_setting_can_come_from_a_file(tmp_path: Path) -> None:
    files = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "PORT": "9", "AMAZON_CLIENT_SECRET": "x"}
    environ = {}
    for name, value in files.items():
        (tmp_path / name).write_text(f"{value}\n")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings(environ, ["amazon"])
    assert (settings.auth_secret, settings.secrets_keys, settings.port) == (SECRET, KEY, 9)
    assert settings.environ["AMAZON_CLIENT_SECRET"] == "x"


def test_files_of_other_variables_are_not_read(tmp_path: Path) -> None:
    read_settings({**GOOD, "SSL_CERT_FILE": "/nowhere", "_FILE": "/nowhere", "PORT_FILE": ""})


def test_a_setting_with_both_a_value_and_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    text = refusal_of({**GOOD, "AUTH_SECRET_FILE": str(path)})
    assert "AUTH_SECRET and AUTH_SECRET_FILE" in text


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nowhere", tmp_path, binary):
        text = refusal_of({"SECRETS_KEYS": KEY, "AUTH_SECRET_FILE": str(path)})
        assert "AUTH_SECRET_FILE" in text and str(path) in text


def test_an_empty_file_counts_as_a_missing_setting(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert "AUTH_SECRET" in refusal_of(
        {"SECRETS_KEYS": KEY, "AUTH_SECRET_FILE": str(tmp_path / "empty")}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "8000 8001"),
        ("MAX_SYNCS_PER_TENANT", "0"),
        ("MAX_SYNCS_PER_TENANT", "many"),
        ("MAX_RUNNING_SYNCS", "-5"),
        ("MAX_STREAMS_PER_USER", "0"),
        ("SYNC_TIMEOUT", "0"),
        ("SOURCE_PATIENCE", "-1"),
        ("SOURCE_PATIENCE", "nan"),
        ("SOURCE_PATIENCE", "1e30"),
        ("SYNC_TIMEOUT", "nan"),
        ("SYNC_TIMEOUT", "1h"),
        ("STALE_AFTER", "0"),
        ("STALE_AFTER", "48h"),
        ("STALE_AFTER", "nan"),
        ("STALE_AFTER", "1e30"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_PORT", "65536"),
        ("METRICS_TOKEN", "short"),
        ("METRICS_TOKEN", "a token that is nöt ASCII"),
        ("LOG_FORMAT", "xml"),
        ("AUTH_MODE", "none"),
        ("AUTH_MODE", "DEMO"),
        ("AUTH_SECRET", "short"),
        ("AUTH_JWKS", '{"keys": []}'),
        ("AUTH_JWKS", "ftp://issuer/jwks.json"),
        ("AUTH_JWKS", "https://"),
        ("AUTH_JWKS", "https:///jwks.json"),
        ("AUTH_JWKS", "https://["),
        ("AUTH_JWKS", "https://issuer:port/jwks.json"),
        ("AUTH_JWKS", "https://me:secret@issuer/jwks.json"),
        *(
            ("CORS_ORIGINS", origin)
            for origin in (
                *("https://app.example/", "https://app.example/x", "https://App.example"),
                *("https://app.example:443", "http://app.example:80", "app.example", "null"),
                *("https://*.example", "*, https://app.example", "https://a b", "ftp://a.example"),
                *("https://me@app.example", "https://", "https://[", "https://app.example?x"),
                *(
                    "https://äpp.example",
                    "https://a:b",
                    "HTTPS://app.example",
                    "https://a.example#",
                ),
            )
        ),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "10.0.0.1:80"),
        ("TRUSTED_PROXIES", "10.0.0.1 10.0.0.2"),
        ("TRUSTED_PROXIES", "[::1]"),
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "data/sync.db"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
    ],
)
def test_an_invalid_value_is_refused_by_name(name: str, value: str) -> None:
    assert name in refusal_of({**GOOD, name: value})


def test_missing_secrets_are_all_named() -> None:
    text = refusal_of({})
    assert "AUTH_SECRET" in text and "SECRETS_KEYS" in text and "AUTH_MODE=demo" in text
    assert "AUTH_SECRET" not in refusal_of({"AUTH_SECRET": SECRET})
    assert "SECRETS_KEYS" not in refusal_of({"SECRETS_KEYS": KEY})


def test_a_jwks_can_replace_the_secret() -> None:
    for where in ("keys.json", "/etc/keys.json", "https://issuer/jwks", "http://[::1]:8080/jwks"):
        assert read_settings({"AUTH_JWKS": where, "SECRETS_KEYS": KEY}).auth_jwks == where
    assert "AUTH_JWKS" in refusal_of({})
    assert "AUTH_SECRET" in refusal_of({**GOOD, "AUTH_JWKS": "keys.json", "AUTH_SECRET": "short"})


def test_the_length_of_a_secret_is_counted_in_bytes() -> None:
    assert read_settings({**GOOD, "AUTH_SECRET": "é" * 16}).auth_secret
    assert "AUTH_SECRET" in refusal_of({**GOOD, "AUTH_SECRET": "e" * 31})


def test_a_connector_that_does_not_exist_is_refused() -> None:
    known = ["amazon", "demo"]
    assert read_settings({**GOOD, "CONNECTORS": " demo,"}, known).wanted == ("demo",)
    with pytest.raises(StartupError, match=r"CONNECTORS names 'ebay'.*Available: amazon, demo\."):
        read_settings({**GOOD, "CONNECTORS": "amazon,ebay"}, known)


def test_origins_are_a_list_or_a_star() -> None:
    text = (
        " https://app.example ,http://localhost:5173,, http://[::1]:8080,https://xn--pp-via.example"
    )
    origins = read_settings({**GOOD, "CORS_ORIGINS": text}).origins
    assert origins == (
        "https://app.example",
        "http://localhost:5173",
        "http://[::1]:8080",
        "https://xn--pp-via.example",
    )
    assert read_settings({**GOOD, "CORS_ORIGINS": "*"}).origins == ("*",)
    assert read_settings(GOOD).origins == ()


def test_proxies_are_addresses_and_networks() -> None:
    settings = read_settings({**GOOD, "TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,,::1,fd00::/8 "})
    assert [str(network) for network in settings.proxies] == [
        "127.0.0.1/32",
        "10.0.0.0/8",
        "::1/128",
        "fd00::/8",
    ]
    assert read_settings(GOOD).proxies == ()


def test_demo_mode_needs_no_secrets() -> None:
    assert read_settings({"AUTH_MODE": "demo"}).demo


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.1", "example.com", "localhost.example.com", "*", "127.1.x"]
)
def test_demo_mode_refuses_a_public_address(host: str) -> None:
    text = refusal_of({"AUTH_MODE": "demo", "HOST": host})
    assert host in text and "HOST=127.0.0.1" in text
    assert read_settings({**GOOD, "HOST": host}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_demo_mode_accepts_loopback_addresses(host: str) -> None:
    assert is_loopback(host)
    assert read_settings({"AUTH_MODE": "demo", "HOST": host}).host == host


def test_the_repr_of_settings_has_no_secrets() -> None:
    settings = read_settings({**GOOD, "AMAZON_CLIENT_SECRET": "amazon's own"})
    for text in (
        repr(settings),
        str(settings),
        f"{settings}",
        repr([settings]),
        repr({"a": settings}),
    ):
        assert SECRET not in text and KEY not in text and "amazon's own" not in text
