"""One stored record: its history, the claims that it proves, and how it is found."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from connectors.claims import Findings
from service.credentials import read_keys
from tests.service.api.answers import TINY, fields, problem
from tests.service.api.test_recoveries import claim, store_claims
from tests.service.scripted import Script, scripted
from tests.service.store.test_migrations import AT, insert, old_database
from tests.serving import KEY, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

FIELDS = {
    *("id", "connectionId", "syncId", "updatedAt", "firstSeenAt", "firstSyncId", "data", "claims"),
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[User]:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        yield ann


async def get(user: User, record_id: str, dataset: str = "orders", **params: str) -> httpx.Response:
    return await user.get(f"/api/data/{dataset}/{quote(record_id, safe='')}", params=params)


async def record(user: User, record_id: str, dataset: str = "orders", **params: str) -> Json:
    answer = await get(user, record_id, dataset, **params)
    assert answer.status_code == 200, answer.text
    shown: Json = read(answer)
    assert set(shown) == FIELDS
    return shown


# Its history ----------------------------------------------------------------------------------


async def test_a_record_tells_when_and_by_which_sync_it_was_first_seen_and_last_changed(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        script.set_records("orders", "a", "b", value="1")
        first = await ann.whole_sync()
        created = await record(ann, "a")
        assert created["firstSyncId"] == created["syncId"] == first["syncId"]
        assert created["firstSeenAt"] == created["updatedAt"] >= first["startedAt"]
        assert (created["data"], created["claims"]) == ({"value": "1"}, [])

        await ann.whole_sync()
        assert await record(ann, "a") == created, "a sync that reads it unchanged changes nothing"

        for value in ("2", "3"):
            script.set_records("orders", "a", value=value)
            last = await ann.whole_sync()
        changed = await record(ann, "a")
        assert changed["firstSeenAt"] == created["firstSeenAt"] < changed["updatedAt"]
        assert (changed["firstSyncId"], changed["syncId"]) == (first["syncId"], last["syncId"])
        assert changed["updatedAt"] >= last["startedAt"]
        assert changed["data"] == {"value": "3"}
        assert (await record(ann, "b"))["syncId"] == first["syncId"]


@pytest.mark.sqlite  # no earlier version has stored anything in PostgreSQL
async def test_of_a_record_stored_by_an_earlier_version_the_first_sight_is_unknown(
    tmp_path: Path, script: Script
) -> None:
    with old_database(tmp_path / "sync.db", "0010") as database:
        credentials = read_keys(KEY).encrypt(b'{"refreshToken":"good"}').decode()
        row = {"id": "conn_a", "user_id": "acme/ann", "tenant_id": "acme", "connector": "demo"}
        insert(database, "connections", **row, name="Shop", credentials=credentials, created_at=AT)
        stored = {"connection_id": "conn_a", "dataset": "orders", "sync_id": "s", "seen": "s"}
        for name in ("same", "changes"):
            more = {"id": name, "hash": "h", "updated_at": AT, "data": '{"value":"0"}'}
            insert(database, "records", **stored, **more)
    database.close()
    async with serve(tmp_path) as service:
        ann = service.user("ann", tenant="acme")
        script.set_records("orders", "changes", "new")
        done = await ann.whole_sync()
        same, changed = await record(ann, "same"), await record(ann, "changes")
        for shown in (same, changed):
            assert (shown["firstSeenAt"], shown["firstSyncId"]) == (None, None)
        assert (same["updatedAt"][:19], same["syncId"]) == (AT[:19], "s")
        assert (changed["data"], changed["syncId"]) == ({"value": "1"}, done["syncId"])
        assert (await record(ann, "new"))["firstSyncId"] == done["syncId"]


async def test_a_record_that_was_deleted_and_comes_back_is_first_seen_again(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        script.set_records("orders", "a", "b")
        await ann.whole_sync()
        script.set_records("orders", "b")
        await ann.whole_sync(overwrite=True, allowMassDelete=True)
        problem(await get(ann, "a"), 404, "not_found")
        script.set_records("orders", "a", "b")
        back = await ann.whole_sync()
        assert (await record(ann, "a"))["firstSyncId"] == back["syncId"]


# Its claims -----------------------------------------------------------------------------------


async def test_a_record_names_the_claims_that_it_proves(service: Serving) -> None:
    ann = service.user()
    other = claim(3, rule="R2", evidence={"orders": ["orders-0000002"]})
    elsewhere = claim(4, evidence={"inventory": ["orders-0000001"]})
    await store_claims(service, ann, claim(1), claim(2), other, elsewhere)
    by_number = {
        recovery["details"]["number"]: {key: recovery[key] for key in ("id", "rule", "status")}
        for recovery in read(await ann.get("/api/recoveries"))["recoveries"]
    }
    for name, numbers in (("orders-0000001", "12"), ("orders-0000002", "123"), ("orders-0", "")):
        if numbers:
            expected = sorted((by_number[number] for number in numbers), key=lambda row: row["id"])
            assert (await record(ann, name))["claims"] == expected
    assert (await record(ann, "orders-0000003"))["claims"] == []


async def test_a_claim_that_was_closed_is_still_named_with_its_status(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        script.set_records("orders", "orders-0000001")
        script.findings = Findings([claim(1)], ran=["R1"])
        await ann.whole_sync()
        script.findings = Findings([], ran=["R1"])
        await ann.whole_sync()
        (proven,) = (await record(ann, "orders-0000001"))["claims"]
        assert (proven["rule"], proven["status"]) == ("R1", "closed")


@pytest.mark.sqlite
async def test_claims_are_found_by_an_index(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, claim(1))
    sql = "SELECT claim_id FROM claim_evidence AS evidence WHERE record_id = 'x' AND dataset = 'y'"
    plan = await service.parts.records._engine.read(f"EXPLAIN QUERY PLAN {sql}", {})
    assert "evidence_of_record" in plan[0]["detail"]


# How it is found ------------------------------------------------------------------------------

IDS = (
    *("113-1/SKU 1", "/begins", "ends/", "a//b", "100%", "a%2Fb", "a?b=c&d", "a#b", "a+b", "a;b,c"),
    *("ü ✓ \U0001f4a9", "line\nbreak", "ends with one\n", "\ttab", '"quoted"', "{record_id}"),
    "x" * 1000,
)


async def test_ids_with_slashes_and_special_characters_are_found(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        script.set_records("orders", *IDS)
        assert (await ann.whole_sync())["recordsFailed"] == 0
        for record_id in IDS:
            assert (await record(ann, record_id))["id"] == record_id
        plain = read(await ann.get("/api/data/orders/113-1/SKU%201"))
        assert plain["id"] == "113-1/SKU 1", "a slash need not be encoded"
        for absent in ("113-1", "begins", "ends", "a/b", "line", "ends with one", "x" * 999, "%"):
            assert absent[:9] in problem(await get(ann, absent), 404, "not_found")["detail"]


async def test_unknown_records_datasets_connections_and_parameters_are_refused(
    service: Serving,
) -> None:
    ann = service.user()
    await ann.connect()
    for path, named in (
        ("orders/nope", "nope"),
        ("orders/", "orders"),
        ("nowhere/orders-0000001", "nowhere"),
        ("claims/x", "claims"),
        ("orders/orders-0000001?connectionId=conn_x", "conn_x"),
    ):
        assert named in problem(await ann.get(f"/api/data/{path}"), 404, "not_found")["detail"]
    wrong = await ann.get("/api/data/orders/orders-0000001?connection=x")
    assert fields(problem(wrong, 422, "invalid")) == ["connection"]


async def test_a_record_of_another_user_is_not_found(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        theirs = (await ann.connect())["id"]
        await ann.whole_sync()
        await bob.connect()
        await bob.whole_sync(datasets=["inventory"])
        for params in ({}, {"connectionId": theirs}):
            problem(await get(bob, "orders-0000000", **params), 404, "not_found")
        assert (await record(ann, "orders-0000000"))["connectionId"] == theirs


async def test_a_record_of_several_connections_needs_the_connection(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        ids = [(await ann.connect(refreshToken=token))["id"] for token in ("one", "two", "three")]
        for connection in ids[:2]:
            await ann.whole_sync(connectionId=connection)
        refused = problem(await get(ann, "orders-0000000"), 422, "invalid")
        assert fields(refused) == ["connectionId"]
        assert all((id in refused["detail"]) == (id in ids[:2]) for id in ids)
        for connection in ids[:2]:
            shown = await record(ann, "orders-0000000", connectionId=connection)
            assert shown["connectionId"] == connection
        absent = await get(ann, "orders-0000000", connectionId=ids[2])
        problem(absent, 404, "not_found")


async def test_records_of_a_forgotten_connection_prove_the_claims_of_their_account(
    tmp_path: Path, script: Script
) -> None:
    """The claims of the account belong to the connection that replaced it."""
    async with serve(tmp_path) as service:
        ann = service.user()
        script.set_records("orders", "orders-0000001")
        script.findings = Findings([claim(1)], ran=["R1"])
        ids: list[str] = []
        for _ in range(2):
            for connection in ids:
                await ann.http.delete(f"/api/connections/{connection}")
            ids.append((await ann.connect())["id"])
            await ann.whole_sync()
        (recovery,) = read(await ann.get("/api/recoveries"))["recoveries"]
        assert recovery["connectionId"] == ids[1]
        for connection in ids:
            shown = await record(ann, "orders-0000001", connectionId=connection)
            assert [proven["id"] for proven in shown["claims"]] == [recovery["id"]]
