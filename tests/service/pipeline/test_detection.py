"""Very many claims: other writes have their turn while they are stored, and a sync that ends in the
middle leaves nothing that the next one does not complete."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from connectors.claims import Findings
from service.pipeline.held import Change, HeldSync
from service.store import findings as storing
from service.store.engine import Statement
from service.store.postgres import PostgresEngine
from service.store.sqlite import SqliteEngine
from tests.databases import ON_POSTGRES
from tests.service.api.test_recoveries import claim
from tests.service.scripted import Script, scripted
from tests.serving import PATIENCE, Json, User, read, serve

pytestmark = pytest.mark.anyio

COUNT = 12
BEFORE = Findings([claim(number) for number in range(4)], ran=["R1"])
FOUND = Findings(
    [claim(number) for number in range(2, COUNT)],
    ran=["R1"],
    closed={claim(0).id: "found"},
    settled=[claim(1).id],
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(storing, "ROWS_AT_ONCE", 2)  # one claim a part: each has two proofs
    script = scripted(monkeypatch)
    script.set_records("orders", "orders-0000001", "orders-0000002")
    return script


def is_findings(statements: Sequence[Statement]) -> bool:
    return any("claims" in statement.sql for statement in statements)


class Stop:
    """Stops a sync after the n-th part of its findings, until the test ends it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.reached = anyio.Event()
        self._left = after
        real = HeldSync.change

        async def change(held: HeldSync, change: Change, *rest: Statement) -> None:
            await real(held, change, *rest)
            await self._pass(rest)

        monkeypatch.setattr(HeldSync, "change", change)

    async def _pass(self, rest: Sequence[Statement]) -> None:
        self._left -= is_findings(rest)
        if self._left == 0:
            self.reached.set()
            await anyio.sleep_forever()


async def shown(user: User) -> dict[str, Json]:
    """The claims by id, without what differs between two syncs."""
    page = read(await user.get("/api/recoveries", params={"limit": 100}))
    assert page["nextCursor"] is None
    return {
        row["id"]: {name: row[name] for name in ("title", "status", "closedReason", "amount")}
        for row in page["recoveries"]
    }


async def test_another_user_writes_while_claims_are_stored(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    engine = PostgresEngine if ON_POSTGRES else SqliteEngine
    write = engine.write

    async def recorded(engine: Any, guard: Statement, rest: Sequence[Statement]) -> bool:
        written = await write(engine, guard, rest)
        name = "claims" if is_findings(rest) else "costs" if "costs" in guard.sql else ""
        order.extend([name] if name else [])
        return written

    monkeypatch.setattr(engine, "write", recorded)
    script.findings = FOUND
    async with serve(tmp_path) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        sync_id = await ann.start()
        while (await ann.status(sync_id))["status"] == "in_progress":
            costs = [{"sku": "MUG", "cost": "1.00", "currency": "USD"}]
            assert (await bob.http.put("/api/costs", json=costs)).status_code == 200
    first = order.index("claims")
    last = len(order) - order[::-1].index("claims")
    assert order[first:last].count("claims") == COUNT - 2 + 1
    assert "costs" in order[first:last]


async def test_the_status_counts_what_is_stored(tmp_path: Path, script: Script) -> None:
    script.findings = FOUND
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        seen: list[Json] = []
        async with ann.http.stream("GET", "/api/sse/syncs") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "retry: 3000"
            await ann.start()
            async for line in lines:
                if line.startswith("data: "):
                    seen.append(msgspec.json.decode(line.removeprefix("data: "), type=Json))
                    if seen[-1]["status"] == "complete":
                        break
    stored = [status for status in seen if status["message"].startswith("Storing claims")]
    assert stored and all(60 <= status["progress"] < 90 for status in stored)
    assert all(status["claimsDetected"] <= COUNT - 2 for status in stored)
    last = seen[-1]
    assert (last["progress"], last["claimsDetected"]) == (100, COUNT - 2)
    assert [status["progress"] for status in seen] == sorted(s["progress"] for s in seen)


@pytest.mark.parametrize("parts", [1, 2, 7])
async def test_after_a_restart_the_claims_are_those_of_a_calm_sync(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    async def begin(ann: User) -> dict[str, Json]:
        """A first sync. The second one will find other claims."""
        script.findings = BEFORE
        await ann.connect()
        await ann.whole_sync()
        script.findings = FOUND
        return await shown(ann)

    (tmp_path / "calm").mkdir()
    async with serve(tmp_path / "calm") as service:
        ann = service.user()
        await begin(ann)
        await ann.whole_sync()
        calm = await shown(ann)

    async with serve(tmp_path) as service:
        ann = service.user()
        before = await begin(ann)
        with monkeypatch.context() as patch:
            stop = Stop(patch, parts)
            sync_id = await ann.start()
            with anyio.fail_after(PATIENCE):
                await stop.reached.wait()
        between = await shown(ann)
        assert before.keys() <= between.keys(), "none vanishes"
    async with serve(tmp_path) as service:
        ann = service.user()
        done = await ann.until(sync_id)
        assert (done["status"], done["claimsDetected"]) == ("complete", COUNT - 2)
        after = await shown(ann)
    assert between.keys() <= after.keys(), "none doubles"
    assert sorted(map(str, after.values())) == sorted(map(str, calm.values()))


async def test_a_sync_cancelled_while_it_stores_claims_has_found_an_unknown_number(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.findings = FOUND
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        with monkeypatch.context() as patch:
            stop = Stop(patch, 3)
            sync_id = await ann.start()
            with anyio.fail_after(PATIENCE):
                await stop.reached.wait()
            running = await ann.status(sync_id)
            assert (running["status"], running["claimsDetected"]) == ("in_progress", 2)
            assert (await ann.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
        cancelled = await ann.until(sync_id, "cancelled")
        assert cancelled["claimsDetected"] is None
        claims = cancelled["datasets"][-1]
        assert (claims["name"], claims["status"]) == ("claims", "unknown")
        assert "Not stored completely" in " ".join(map(str, claims.values()))
        assert len(await shown(ann)) == 2, "those stored so far stay"
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        assert (await ann.until(sync_id))["claimsDetected"] == COUNT - 2
        assert len(await shown(ann)) == COUNT - 2
