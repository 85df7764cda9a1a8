"""No database file contains erased data, and other data is unchanged."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from connectors.base import Record
from connectors.claims import Claim, Findings
from service.model import Fault, Status
from service.store.engine import Statement
from service.store.syncs import save
from tests.databases import DATABASES
from tests.service.api.answers import problem
from tests.service.api.test_recoveries import claim
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.service.store.stores import claim_statements
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

COUNT = 300


def words_in_files(folder: Path, words: Iterable[str]) -> list[str]:
    """The words that any file of the database contains."""
    content = DATABASES.content(folder)
    return [word for word in words if word.encode() in content]


def names(user: str, count: int = COUNT) -> list[str]:
    return [f"{user}-{number * 7919 % 1_000_003:07}" for number in range(count)]


def orders(ids: list[str], size: int) -> list[Record]:
    return [
        Record(key, msgspec.json.encode({"id": key, "lines": [key] * (number * size % 150)}))
        for number, key in enumerate(ids)
    ]


async def connect_and_sync(user: User, script: Script, ids: list[str]) -> tuple[str, str]:
    """Sync a connection whose records change and grow. Returns its id and the last sync's id."""
    connection: str = (await user.connect())["id"]
    last = ""
    for size in (1, 40, 3):
        script.records["orders"] = orders(ids, size)
        last = (await user.whole_sync(connectionId=connection, items="all"))["syncId"]
    return connection, last


async def add_traces(service: Serving, sync_id: str, ids: list[str]) -> None:
    """Turn the sync into a failed one with ids in its claims and in all of its texts."""
    store = service.parts.store
    sync = await service.parts.registry.find(sync_id)
    assert sync is not None
    proof: Any = {"evidence": {"orders": ids[:20]}, "id": f"R1:{ids[0]}", "details": {"o": ids[1]}}
    claims: list[Claim] = [claim(1, **proof)]
    fault = Fault("source_error", f"Order {ids[2]} cannot be read.")
    progress = msgspec.structs.replace(
        sync.datasets[0],
        error=f"Stopped at {ids[3]}.",
        waiting_for=f"order {ids[4]}",
        checkpoint=msgspec.structs.replace(sync.datasets[0].checkpoint, cursor=f"after {ids[5]}"),
    )
    failed = msgspec.structs.replace(
        sync.retrying(fault, sync.updated_at, sync.updated_at),
        status=Status.FAILED,
        message=fault.message,
        error=fault,
        warnings=(f"Order {ids[6]} was left out.",),
        datasets=(progress, *sync.datasets[1:]),
    )
    statements = claim_statements(failed, Findings(claims, ran=("R1",)))
    audit = Statement(
        "UPDATE audit_logs SET details = :details WHERE sync_id = :id AND action = 'completed'",
        [{"id": sync_id, "details": msgspec.json.encode({"message": fault.message}).decode()}],
    )
    assert await store.write(save(failed), *statements, audit)


async def erase(user: User, connection: str) -> int:
    answer = await user.http.delete(f"/api/connections/{connection}?data=erase", timeout=PATIENCE)
    return answer.status_code


async def test_no_file_contains_any_of_three_hundred_erased_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted(monkeypatch)
    async with serve(tmp_path) as service:
        ann, bob = service.user(), service.user("bob")
        connection, sync_id = await connect_and_sync(ann, script, names("ann"))
        await connect_and_sync(bob, script, names("bob"))
        await add_traces(service, sync_id, names("ann"))
        assert words_in_files(tmp_path, names("ann")) == names("ann")
        assert await erase(ann, connection) == 204
        assert words_in_files(tmp_path, names("ann")) == []
        shown = read(await ann.get(f"/api/sync/history/{sync_id}"))
        assert "ann-" not in str(shown) and shown["status"] == "failed"
        assert read(await ann.get("/api/sync/history"))["total"] == 3
        assert read(await ann.get("/api/recoveries"))["recoveries"] == []
        assert sorted(record["id"] for record in await bob.records("orders")) == sorted(
            names("bob")
        )
        problem(await ann.get(f"/api/connections/{connection}"), 404, "not_found")
        assert await erase(ann, connection) == 404


@pytest.mark.parametrize("seed", range(3))
async def test_no_erased_record_remains_among_records_of_other_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The records of all users share pages of the file, where they grew and shrank."""
    names_of_users = [f"user{number}" for number in range(4)]
    script = scripted(monkeypatch)
    async with serve(tmp_path) as service:
        connections: dict[str, str] = {}
        for size in (1, 60, 2, 30 + seed):
            for name in names_of_users:
                user = service.user(name)
                if name not in connections:
                    connections[name] = (await user.connect())["id"]
                script.records["orders"] = orders(names(name, 120), size)
                await user.whole_sync(items="all")
        for name in names_of_users[:3]:
            assert await erase(service.user(name), connections[name]) == 204
            assert words_in_files(tmp_path, names(name, 120)) == []
        assert len(await service.user(names_of_users[3]).records("orders")) == 120


async def test_forgotten_credentials_are_in_no_file(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        await ann.whole_sync()
        stored = await service.parts.connections.find(connection)
        assert stored and stored.credentials and words_in_files(tmp_path, [stored.credentials])
        assert (await ann.http.delete(f"/api/connections/{connection}")).status_code == 204
        assert words_in_files(tmp_path, [stored.credentials]) == []
        assert len(await ann.records("orders")) == 250


async def open_reader(folder: Path) -> sqlite3.Connection:
    """Read as another program. The data that it reads stays in the write-ahead log."""
    reader = sqlite3.connect(folder / "sync.db", isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM records").fetchone()
    return reader


async def start_erasing(user: User, connection: str) -> Json:
    answer = await user.http.delete(f"/api/connections/{connection}?data=erase", timeout=PATIENCE)
    assert answer.status_code == 202, answer.text
    body = read(answer)
    assert (body["id"], body["status"]) == (connection, "erasing") and body["message"]
    return body


@pytest.mark.sqlite  # a reader keeps erased rows in the write-ahead log
async def test_an_erasure_that_a_reader_delays_is_reported_and_completed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted(monkeypatch)
    async with serve(tmp_path, FastClock()) as service:
        ann, bob = service.user(), service.user("bob")
        connection, _ = await connect_and_sync(ann, script, names("ann"))
        with closing(await open_reader(tmp_path)) as reader:
            for _ in range(2):
                await start_erasing(ann, connection)
            assert await ann.records("orders") == []
            problem(
                await bob.http.delete(f"/api/connections/{connection}?data=erase"),
                *(404, "not_found"),
            )
            reader.execute("ROLLBACK")
        with anyio.fail_after(PATIENCE):
            while await erase(ann, connection) != 404:
                await anyio.sleep(0.1)
        assert words_in_files(tmp_path, names("ann")) == []


@pytest.mark.sqlite  # a reader keeps erased rows in the write-ahead log
async def test_an_interrupted_erasure_continues_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted(monkeypatch)
    async with serve(tmp_path, FastClock()) as service:
        ann = service.user()
        connection, _ = await connect_and_sync(ann, script, names("ann"))
        with closing(await open_reader(tmp_path)):
            await start_erasing(ann, connection)
    async with serve(tmp_path, FastClock()) as service:
        with anyio.fail_after(PATIENCE):
            while await erase(service.user(), connection) != 404:
                await anyio.sleep(0.1)
        assert words_in_files(tmp_path, names("ann")) == []


async def test_other_writes_continue_during_a_large_erasure(tmp_path: Path) -> None:
    """Rows are deleted in portions, and other writes run between two of them."""
    async with serve(tmp_path) as service:
        ann, bob = service.user(), service.user("bob")
        connection = (await ann.connect())["id"]
        await ann.whole_sync()
        await bob.connect()
        insert = """
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
            INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)
            SELECT :id, 'orders', 'more-' || substr(CAST(10000000 + i AS TEXT), 2),
                   '', '', '', '', :data FROM n
            RETURNING 1"""
        assert await service.parts.store.write(
            Statement(insert, [{"id": connection, "data": "0" * 400}])
        )
        done: list[str] = []

        async def erasing() -> None:
            assert await erase(ann, connection) == 204
            done.append("erased")

        async with anyio.create_task_group() as group:
            group.start_soon(erasing)
            while not done:
                await bob.whole_sync()
                done += [] if done else ["synced"]
                if done == ["synced"]:
                    break
        assert (
            done[0] == "synced" and words_in_files(tmp_path, ["more-0000001", "more-0059999"]) == []
        )
