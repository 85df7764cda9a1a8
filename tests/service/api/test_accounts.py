"""Whose account it is: one account is connected once, and a connection stays of one account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from connectors.base import Retryable, SourceError
from service.store.engine import Statement
from tests.service.api.answers import problem
from tests.service.api.test_recoveries import claim
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Two shops, each with two tokens. Only the payments name the shop."""
    found = scripted(monkeypatch)
    for name in ("orders", "payments"):
        found.has(name, *(f"{name}-{number:02}" for number in range(25)))
    found.owners = {"a1": "shop-a", "a2": "shop-a", "b1": "shop-b", "b2": "shop-b"}
    return found


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, FastClock(), **environ) as service:
        yield service, service.user()


async def kept(user: User, connection_id: str) -> dict[str, int]:
    """How many records of each dataset a connection holds."""
    shown = read(await user.get(f"/api/connections/{connection_id}/sync-status"))
    return {each["name"]: each["records"] for each in shown["datasets"]}


async def connect(user: User, token: str, **fields: Any) -> httpx.Response:
    body = {"connector": "demo", "refreshToken": token, "skipHistoricalSync": True, **fields}
    return await user.post("/api/connections", body)


async def reconnect(user: User, connection: Json, token: str) -> httpx.Response:
    path = f"/api/connections/{connection['id']}/reconnect"
    return await user.post(path, {"refreshToken": token})


async def connections(user: User) -> Any:
    return read(await user.get("/api/connections"))["connections"]


async def secrets(service: Serving) -> list[tuple[str, str]]:
    return await service.parts.connections._store.all_credentials()


# Connecting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [("same", "same"), ("old@shop", "new@shop")])
async def test_an_account_that_is_connected_is_not_connected_again(
    service: Serving, tokens: tuple[str, str]
) -> None:
    ann = service.user()
    first = await ann.connect(refreshToken=tokens[0])
    before = await connections(ann)
    found = problem(await connect(ann, tokens[1], region="EU"), 409, "already_connected")
    assert found["connectionId"] == first["id"]
    assert await connections(ann) == before


async def test_a_connection_names_its_account_as_soon_as_it_is_known(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        assert connection["accountId"] is None
        await ann.whole_sync()
        assert [each["accountId"] for each in await connections(ann)] == ["shop-a"]
        script.check_tells = True
        assert (await ann.connect(refreshToken="b1"))["accountId"] == "shop-b"


async def old(service: Serving) -> None:
    """As the release before has kept it: nobody knows whose account it is."""
    sql = """UPDATE connections SET account_id = NULL, account_confirmed = 0, token_digest = NULL
             RETURNING id"""
    assert await service.parts.store.write(Statement(sql, [{}]))


async def test_a_connection_of_an_earlier_release_is_known_by_its_token(service: Serving) -> None:
    ann = service.user()
    first = await ann.connect(refreshToken="same")
    await ann.connect(refreshToken="another")
    await old(service)
    found = problem(await connect(ann, "same"), 409, "already_connected")
    assert found["connectionId"] == first["id"]
    await ann.connect(refreshToken="a third")


async def test_of_an_account_that_an_earlier_release_connected_twice_one_is_read(
    tmp_path: Path, script: Script
) -> None:
    script.claims = [claim(1)]
    async with serving(tmp_path) as (service, ann):
        pair = [(await ann.connect(refreshToken=token))["id"] for token in ("a1", "a2")]
        script.owners, owners = {}, script.owners
        for each in pair:
            await ann.whole_sync(connectionId=each)
        script.owners = owners
        await old(service)
        done = [await ann.whole_sync(connectionId=each) for each in pair]
        assert [each["status"] for each in done] == ["complete", "failed"]
        assert done[1]["error"]["code"] == "already_connected"
        totals = read(await ann.get("/api/recoveries"))["totals"]
        assert [each["claims"] for each in totals] == [1]


async def test_another_account_and_another_users_account_connect(service: Serving) -> None:
    ann, bob = service.user(), service.user("bob")
    await ann.connect(refreshToken="x@shop")
    await ann.connect(refreshToken="x@other")
    await ann.connect(refreshToken="unnamed")
    await ann.connect(refreshToken="unnamed too")  # of the same name; it may be another account
    await bob.connect(refreshToken="x@shop")
    assert len(await connections(ann)) == 4


async def test_an_example_account_does_not_stand_in_the_way_of_the_real_one(
    service: Serving,
) -> None:
    ann = service.user()
    await ann.connect(refreshToken="x@shop", environment="sandbox")
    await ann.connect(refreshToken="x@shop")


async def test_a_forgotten_account_connects_again(service: Serving) -> None:
    ann = service.user()
    for data in ("keep", "erase", "keep"):
        connection = await ann.connect(refreshToken="x@shop")
        path = f"/api/connections/{connection['id']}"
        assert (await ann.http.delete(path, params={"data": data})).status_code == 204


async def test_of_connects_at_once_of_one_account_one_is_made(service: Serving) -> None:
    ann = service.user()
    for pair in (("same", "same"), ("old@shop", "new@shop")):
        answers: list[httpx.Response] = []

        async def one(token: str, answers: list[httpx.Response] = answers) -> None:
            answers.append(await connect(ann, token))

        async with anyio.create_task_group() as group:
            for token in pair * 3:
                group.start_soon(one, token)
        (made,) = [each for each in answers if each.status_code == 201]
        for answer in answers:
            if answer is not made:
                found = problem(answer, 409, "already_connected")
                assert found["connectionId"] == read(made)["id"]


# Reconnecting -------------------------------------------------------------------------------------


async def test_a_connection_is_not_reconnected_with_another_accounts_credentials(
    service: Serving,
) -> None:
    ann = service.user()
    connection = await ann.connect(refreshToken="old@shop")
    before = await connections(ann), await secrets(service)
    problem(await reconnect(ann, connection, "x@other"), 409, "other_account")
    assert (await connections(ann), await secrets(service)) == before
    assert (await reconnect(ann, connection, "new@shop")).status_code == 200
    assert await secrets(service) != before[1]


async def test_a_connection_is_not_reconnected_with_credentials_of_another_connection(
    service: Serving,
) -> None:
    ann = service.user()
    taken = [await ann.connect(refreshToken=token) for token in ("x@shop", "plain")]
    connection = await ann.connect(refreshToken="whose")
    before = await connections(ann), await secrets(service)
    for token, other in zip(("y@shop", "plain"), taken, strict=True):
        found = problem(await reconnect(ann, connection, token), 409, "already_connected")
        assert found["connectionId"] == other["id"]
    assert (await connections(ann), await secrets(service)) == before


async def test_a_store_that_was_renamed_is_reconnected(tmp_path: Path, script: Script) -> None:
    async with serving(tmp_path) as (_, ann):
        for tells in (True, False):
            script.check_tells, script.store = tells, "Before"
            connection = await ann.connect(refreshToken="a1" if tells else "unknown")
            script.store = "After"
            answer = await reconnect(ann, connection, "a2" if tells else "still unknown")
            assert (answer.status_code, read(answer)["name"]) == (200, "After")


# Where only a page tells ----------------------------------------------------------------------


async def test_an_account_that_the_first_read_tells_to_be_connected_fails_the_sync(
    tmp_path: Path, script: Script
) -> None:
    script.claims = [claim(1)]
    async with serving(tmp_path) as (_, ann):
        first = await ann.connect(refreshToken="a1")
        await ann.whole_sync(connectionId=first["id"])
        totals = read(await ann.get("/api/recoveries"))["totals"]
        again = await ann.connect(refreshToken="a2")
        before = await connections(ann)
        failed = await ann.whole_sync(connectionId=again["id"])
        assert (failed["status"], failed["error"]["code"]) == ("failed", "already_connected")
        assert first["id"] in failed["error"]["message"]
        assert not failed["error"]["retryable"] and failed["attempt"] == 1
        assert (await kept(ann, again["id"]))["payments"] == 0
        assert read(await ann.get("/api/recoveries"))["totals"] == totals
        assert await connections(ann) == before


@pytest.mark.parametrize("datasets", [None, ["orders"]])
async def test_after_a_reconnect_nothing_lands_before_the_account_is_known_to_be_the_same(
    tmp_path: Path, script: Script, datasets: list[str] | None
) -> None:
    """The source does not tell at the reconnect; the page that tells comes last."""
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        before = await kept(ann, connection["id"])
        assert before == {"orders": 25, "stock": 0, "payments": 25}
        assert (await reconnect(ann, connection, "b1")).status_code == 200
        script.has("orders", *(f"of-b-{number}" for number in range(300)))
        script.gates["payments"], pages = anyio.Event(), script.pages
        script.check_tells = datasets is not None
        sync_id = await ann.start(datasets=datasets)
        if not script.check_tells:
            with anyio.fail_after(10):  # the others are read, and their pages wait
                while script.pages < pages + 2:
                    await anyio.sleep(0.01)
        script.gates["payments"].set()
        failed = await ann.until(sync_id)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "other_account")
        assert await kept(ann, connection["id"]) == before
        script.check_tells = False
        assert (await reconnect(ann, connection, "a2")).status_code == 200
        assert (await ann.whole_sync())["status"] == "complete"


async def test_a_source_that_cannot_be_asked_whose_account_it_is_lands_nothing(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        before = await kept(ann, connection["id"])
        await reconnect(ann, connection, "b1")
        script.has("orders", *(f"of-b-{number}" for number in range(30)))
        script.errors["payments"] = [Retryable("Busy.") for _ in range(20)]
        failed = await ann.whole_sync()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "source_unavailable")
        assert await kept(ann, connection["id"]) == before


async def test_a_source_that_will_never_tell_whose_account_it_is_is_read_all_the_same(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        await reconnect(ann, connection, "a2")
        script.errors["payments"] = [SourceError("The role is missing.")]
        done = await ann.whole_sync()
        assert done["status"] == "complete"
        assert {each["name"]: each["status"] for each in done["datasets"]}["orders"] == "complete"


async def test_a_sync_of_one_that_nobody_named_yet_waits_for_nothing(
    tmp_path: Path, script: Script
) -> None:
    script.gates["payments"] = anyio.Event()
    async with serving(tmp_path) as (_, ann):
        await ann.connect(refreshToken="nobody's")
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 25)
        script.gates["payments"].set()
        assert (await ann.until(sync_id))["status"] == "complete"


# Totals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tells", [True, False])
async def test_a_case_counts_once_also_where_a_forgotten_connection_had_found_it(
    tmp_path: Path, script: Script, tells: bool
) -> None:
    """The source tells whose account it is, or it is the same token, or all other signs agree."""
    script.check_tells, script.claims = tells, [claim(number) for number in range(3)]
    async with serving(tmp_path) as (_, ann):
        for token in ("a1", "a2") if tells else ("unnamed", "unnamed", "also unnamed"):
            connection = await ann.connect(refreshToken=token)
            await ann.whole_sync()
            found = read(await ann.get("/api/recoveries"))
            assert [(each["claims"], each["amount"]) for each in found["totals"]] == [(3, "31.50")]
            assert {each["connectionId"] for each in found["recoveries"]} == {connection["id"]}
            answer = await ann.http.delete(f"/api/connections/{connection['id']}")
            assert answer.status_code == 204
        script.claims, script.settled = [], [each.id for each in script.claims]
        await ann.connect(refreshToken=token)
        await ann.whole_sync()
        found = read(await ann.get("/api/recoveries"))
        assert [(each["claims"], each["status"]) for each in found["totals"]] == [(3, "reimbursed")]


async def test_the_same_case_of_two_accounts_counts_twice(tmp_path: Path, script: Script) -> None:
    """Though their stores have the same name."""
    script.claims, script.check_tells = [claim(1)], True
    async with serving(tmp_path) as (_, ann):
        for token in ("a1", "b1"):
            connection = await ann.connect(refreshToken=token)
            await ann.whole_sync(connectionId=connection["id"])
        (total,) = read(await ann.get("/api/recoveries"))["totals"]
        assert (total["claims"], total["amount"]) == (2, "21.00")
