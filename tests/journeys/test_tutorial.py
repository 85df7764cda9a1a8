"""A source that the service does not know: the tutorial's connector, in a folder of its own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import util
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from connectors.base import SystemClock
from connectors.conformance import FakeApi, Stand
from tests.connectors.serving import serving
from tests.connectors.tutorial import NAME, connector_code, write_package
from tests.journeys.process import free_port, service
from tests.serving import PATIENCE, User, read, token

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def helpdesk(sources: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of the page's fake helpdesk, which allows five calls a second."""
    package = sources / "connectors" / NAME
    for name, path in ((NAME, "__init__.py"), (f"{NAME}.conformance", "conformance.py")):
        spec = util.spec_from_file_location(f"connectors.{name}", package / path)
        assert spec and spec.loader
        module: Any = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, f"connectors.{name}", module)
        spec.loader.exec_module(module)
    api: FakeApi = msgspec.structs.replace(module.API, seconds=1)
    async with api(Stand(SystemClock(), serving), False) as environ:
        yield environ["HELPDESK_URL"]


async def test_a_new_source_is_connected_synced_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = write_package(tmp_path, connector_code())
    async with helpdesk(sources, monkeypatch) as url:
        environ = {"PYTHONPATH": str(sources), "HELPDESK_URL": url, "CONNECTORS": ""}
        with service(tmp_path, free_port(), **environ) as process:
            headers = {"Authorization": f"Bearer {token()}"}
            async with httpx.AsyncClient(
                base_url=process.url, headers=headers, timeout=PATIENCE
            ) as http:
                await use(User(http))


async def use(ann: User) -> None:
    listed = read(await ann.get("/api/connectors"))["connectors"]
    assert {one["name"] for one in listed} == {"amazon", NAME}, "the demo is not offered"
    desk = next(one for one in listed if one["name"] == NAME)
    assert set(desk["settings"]["properties"]) == {"token"}
    wrong = await ann.post("/api/connections", {"connector": NAME, "token": "bad"})
    assert wrong.status_code >= 400 and "helpdesk" in wrong.json()["detail"]
    made = read(await ann.post("/api/connections", {"connector": NAME, "token": "good"}))
    assert (made["accountId"], "token" in made) == ("acme", False)
    done = await ann.until(made["sync"]["syncId"])
    assert done["status"] == "complete", done
    assert {one["name"]: one["processed"] for one in done["datasets"] if one["processed"]} == {
        "tickets": 50,
        "agents": 12,
    }
    tickets = await ann.records("tickets")
    assert {one["data"]["subject"] for one in tickets} == {f"Ticket {n}" for n in range(50)}
    table = await ann.get("/api/data/tickets", headers={"Accept": "text/csv"})
    head, *rows = table.text.splitlines()
    assert "subject" in head and "updated" in head and len(rows) == 50
    demo = await ann.post("/api/connections", {"connector": "demo", "refreshToken": "good"})
    assert demo.status_code == 422 and f"amazon, {NAME}" in demo.text
