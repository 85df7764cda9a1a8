"""One log, in one shape; what is secret is not in it."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.logs import configure_logs


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    others = {
        name: logging.getLogger(name).level
        for name in ("httpx", "httpcore", "alembic", "aiosqlite", "databases")
    }
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in others.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def fail() -> None:
    credentials = {"refresh_token": "Atzr|" + "secret"}
    raise RuntimeError(f"out of order with {len(credentials)}")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("whose", ["ours", "a library's"])
def test_a_trace_shows_no_local_variables(
    form: str, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", form)
    try:
        fail()
    except RuntimeError:
        if whose == "ours":
            structlog.get_logger().exception("failed", sync_id="sync_1")
        else:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logged = capsys.readouterr().err
    assert "RuntimeError" in logged and "out of order with 1" in logged
    assert "Atzr|secret" not in logged


def test_our_lines_and_those_of_libraries_are_json_of_one_shape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    structlog.get_logger().info("sync_started", sync_id="sync_1\n{}")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP %s", "request\n")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["sync_id"], ours["level"]) == ("sync_started", "sync_1\n{}", "info")
    assert (theirs["event"], theirs["level"]) == ("Invalid HTTP request\n", "warning")
    assert ours["timestamp"].endswith("Z") and theirs["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("WARNING", "json")
    structlog.get_logger().info("quiet")
    logging.getLogger("httpx").info("GET https://example.com/?secret=1")
    assert capsys.readouterr().err == ""


def test_addresses_that_a_client_asked_for_are_not_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    logging.getLogger("httpx").info("GET https://example.com/?secret=1")
    assert "secret" not in capsys.readouterr().err
