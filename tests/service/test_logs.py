"""The log: all lines have one form, and none contains a secret."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from procrastinate.exceptions import ConnectorException
from psycopg import OperationalError

from service.logs import configure_logs


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
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
    raise RuntimeError(f"failed with {len(credentials)}")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("logger", ["service", "library"])
def test_a_traceback_shows_no_local_variables(
    form: str, logger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", form)
    try:
        fail()
    except RuntimeError:
        if logger == "service":
            structlog.get_logger().exception("failed", sync_id="sync_1")
        else:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logged = capsys.readouterr().err
    assert "RuntimeError" in logged and "failed with 1" in logged
    assert "Atzr|secret" not in logged


def test_lines_of_the_service_and_of_libraries_have_the_same_json_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    structlog.get_logger().info("sync_started", sync_id="sync_1\n{}")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP %s", "request\n")
    own, library = map(json.loads, capsys.readouterr().err.splitlines())
    assert (own["event"], own["sync_id"], own["level"]) == ("sync_started", "sync_1\n{}", "info")
    assert (library["event"], library["level"]) == ("Invalid HTTP request\n", "warning")
    assert own["timestamp"].endswith("Z") and library["timestamp"].endswith("Z")


def test_events_below_the_level_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("WARNING", "json")
    structlog.get_logger().info("quiet")
    logging.getLogger("httpx").info("GET https://example.com/?secret=1")
    assert capsys.readouterr().err == ""


def test_urls_of_outgoing_requests_are_not_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    logging.getLogger("httpx").info("GET https://example.com/?secret=1")
    assert "secret" not in capsys.readouterr().err


def test_the_engine_logs_the_cause_of_an_outage_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    engine = logging.getLogger("procrastinate.worker")
    try:
        raise ConnectorException from OperationalError("sorry,\n too many clients")
    except ConnectorException:
        engine.exception("listener error")
    try:
        fail()
    except RuntimeError:
        engine.exception("a bug")
    outage, bug = map(json.loads, capsys.readouterr().err.splitlines())
    assert outage["event"] == "engine_interrupted: sorry, too many clients"
    assert "exception" not in outage
    assert "RuntimeError" in bug["exception"]
