"""Accounts and connections: an account has one connection, and a connection one account."""

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
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Two shops with two tokens each. Only the pages of payments name the shop."""
    script = scripted(monkeypatch)
    for name in ("orders", "payments"):
        script.set_records(name, *(f"{name}-{number:02}" for number in range(25)))
    script.owners = {"a1": "shop-a", "a2": "shop-a", "b1": "shop-b", "b2": "shop-b"}
    return script


@asynccontextmanager
async def serving(folder: Path, **environ: str) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, FastClock(), **environ) as service:
        yield service, service.user()


async def stored(user: User, connection_id: str) -> dict[str, int]:
    """The number of stored records of a connection, by dataset."""
    shown = read(await user.get(f"/api/connections/{connection_id}/sync-status"))
    return {dataset["name"]: dataset["records"] for dataset in shown["datasets"]}


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
async def test_a_connected_account_cannot_be_connected_again(
    service: Serving, tokens: tuple[str, str]
) -> None:
    ann = service.user()
    first = await ann.connect(refreshToken=tokens[0])
    before = await connections(ann)
    error = problem(await connect(ann, tokens[1], region="EU"), 409, "already_connected")
    assert error["connectionId"] == first["id"]
    assert await connections(ann) == before


async def test_a_connection_shows_its_account_once_the_source_returns_it(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        assert connection["accountId"] is None
        await ann.whole_sync()
        assert [connection["accountId"] for connection in await connections(ann)] == ["shop-a"]
        script.check_names_account = True
        assert (await ann.connect(refreshToken="b1"))["accountId"] == "shop-b"


async def forget_accounts(service: Serving) -> None:
    """Store the connections as an earlier release did, with unknown accounts."""
    sql = """UPDATE connections SET account_id = NULL, account_confirmed = 0, token_digest = NULL
             RETURNING id"""
    assert await service.parts.store.write(Statement(sql, [{}]))


async def test_a_connection_of_an_earlier_release_is_recognised_by_its_token(
    service: Serving,
) -> None:
    ann = service.user()
    first = await ann.connect(refreshToken="same")
    await ann.connect(refreshToken="another")
    await forget_accounts(service)
    error = problem(await connect(ann, "same"), 409, "already_connected")
    assert error["connectionId"] == first["id"]
    await ann.connect(refreshToken="a third")


async def test_only_one_of_two_connections_of_an_account_from_an_earlier_release_syncs(
    tmp_path: Path, script: Script
) -> None:
    script.claims = [claim(1)]
    async with serving(tmp_path) as (service, ann):
        pair = [(await ann.connect(refreshToken=token))["id"] for token in ("a1", "a2")]
        script.owners, owners = {}, script.owners
        for connection_id in pair:
            await ann.whole_sync(connectionId=connection_id)
        script.owners = owners
        await forget_accounts(service)
        done = [await ann.whole_sync(connectionId=connection_id) for connection_id in pair]
        assert [sync["status"] for sync in done] == ["complete", "failed"]
        assert done[1]["error"]["code"] == "already_connected"
        totals = read(await ann.get("/api/recoveries"))["totals"]
        assert [total["claims"] for total in totals] == [1]


async def test_a_user_can_connect_other_accounts_and_accounts_of_other_users(
    service: Serving,
) -> None:
    ann, bob = service.user(), service.user("bob")
    await ann.connect(refreshToken="x@shop")
    await ann.connect(refreshToken="x@other")
    await ann.connect(refreshToken="unnamed")
    # It has the same name as the last one, but may be another account.
    await ann.connect(refreshToken="unnamed too")
    await bob.connect(refreshToken="x@shop")
    assert len(await connections(ann)) == 4


async def test_a_sandbox_account_does_not_block_the_production_account(
    service: Serving,
) -> None:
    ann = service.user()
    await ann.connect(refreshToken="x@shop", environment="sandbox")
    await ann.connect(refreshToken="x@shop")


async def test_a_forgotten_account_can_be_connected_again(service: Serving) -> None:
    ann = service.user()
    for data in ("keep", "erase", "keep"):
        connection = await ann.connect(refreshToken="x@shop")
        path = f"/api/connections/{connection['id']}"
        assert (await ann.http.delete(path, params={"data": data})).status_code == 204


async def test_only_one_of_several_simultaneous_connects_of_an_account_succeeds(
    service: Serving,
) -> None:
    ann = service.user()
    for pair in (("same", "same"), ("old@shop", "new@shop")):
        answers: list[httpx.Response] = []

        async def connect_with(token: str, answers: list[httpx.Response] = answers) -> None:
            answers.append(await connect(ann, token))

        async with anyio.create_task_group() as group:
            for token in pair * 3:
                group.start_soon(connect_with, token)
        (made,) = [answer for answer in answers if answer.status_code == 201]
        for answer in answers:
            if answer is not made:
                error = problem(answer, 409, "already_connected")
                assert error["connectionId"] == read(made)["id"]


# Reconnecting -------------------------------------------------------------------------------------


async def test_a_connection_refuses_credentials_of_another_account(
    service: Serving,
) -> None:
    ann = service.user()
    connection = await ann.connect(refreshToken="old@shop")
    before = await connections(ann), await secrets(service)
    problem(await reconnect(ann, connection, "x@other"), 409, "other_account")
    assert (await connections(ann), await secrets(service)) == before
    assert (await reconnect(ann, connection, "new@shop")).status_code == 200
    assert await secrets(service) != before[1]


async def test_a_connection_refuses_credentials_of_another_connection(
    service: Serving,
) -> None:
    ann = service.user()
    taken = [await ann.connect(refreshToken=token) for token in ("x@shop", "plain")]
    connection = await ann.connect(refreshToken="whose")
    before = await connections(ann), await secrets(service)
    for token, other in zip(("y@shop", "plain"), taken, strict=True):
        error = problem(await reconnect(ann, connection, token), 409, "already_connected")
        assert error["connectionId"] == other["id"]
    assert (await connections(ann), await secrets(service)) == before


async def test_a_renamed_store_can_be_reconnected(tmp_path: Path, script: Script) -> None:
    async with serving(tmp_path) as (_, ann):
        for names_account in (True, False):
            script.check_names_account, script.store = names_account, "Before"
            connection = await ann.connect(refreshToken="a1" if names_account else "unknown")
            script.store = "After"
            answer = await reconnect(ann, connection, "a2" if names_account else "still unknown")
            assert (answer.status_code, read(answer)["name"]) == (200, "After")


# Accounts that only a page names ------------------------------------------------------------------


async def test_a_sync_fails_if_its_first_page_names_a_connected_account(
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
        counts = await stored(ann, again["id"])
        assert counts["payments"] == 0
        assert read(await ann.get("/api/recoveries"))["totals"] == totals
        before[1]["records"] = sum(counts.values())
        before[1]["lastSync"] = {k: failed[k] for k in ("syncId", "status", "completedAt")}
        assert await connections(ann) == before


@pytest.mark.parametrize("datasets", [None, ["orders"]])
async def test_after_a_reconnect_nothing_is_stored_before_the_account_is_confirmed(
    tmp_path: Path, script: Script, datasets: list[str] | None
) -> None:
    """The check at the reconnect does not name the account; the page that names it comes last."""
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        before = await stored(ann, connection["id"])
        assert before == {"orders": 25, "stock": 0, "payments": 25}
        assert (await reconnect(ann, connection, "b1")).status_code == 200
        script.set_records("orders", *(f"of-b-{number}" for number in range(300)))
        script.gates["payments"], pages = anyio.Event(), script.pages
        script.check_names_account = datasets is not None
        sync_id = await ann.start(datasets=datasets)
        if not script.check_names_account:
            with anyio.fail_after(PATIENCE):  # pages of other datasets are read, and wait
                while script.pages < pages + 2:
                    await anyio.sleep(0.01)
        script.gates["payments"].set()
        failed = await ann.until(sync_id)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "other_account")
        assert await stored(ann, connection["id"]) == before
        script.check_names_account = False
        assert (await reconnect(ann, connection, "a2")).status_code == 200
        assert (await ann.whole_sync())["status"] == "complete"


async def test_nothing_is_stored_while_the_source_cannot_confirm_the_account(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        before = await stored(ann, connection["id"])
        await reconnect(ann, connection, "b1")
        script.set_records("orders", *(f"of-b-{number}" for number in range(30)))
        script.errors["payments"] = [Retryable("Busy.") for _ in range(20)]
        failed = await ann.whole_sync()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "source_unavailable")
        assert await stored(ann, connection["id"]) == before


async def test_a_source_that_never_names_the_account_is_still_read(
    tmp_path: Path, script: Script
) -> None:
    async with serving(tmp_path) as (_, ann):
        connection = await ann.connect(refreshToken="a1")
        await ann.whole_sync()
        await reconnect(ann, connection, "a2")
        script.errors["payments"] = [SourceError("The role is missing.")]
        done = await ann.whole_sync()
        assert done["status"] == "complete"
        assert {dataset["name"]: dataset["status"] for dataset in done["datasets"]}[
            "orders"
        ] == "complete"


async def test_a_sync_of_an_account_without_a_name_does_not_wait(
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


@pytest.mark.parametrize("names_account", [True, False])
async def test_a_claim_that_a_forgotten_connection_also_found_counts_once(
    tmp_path: Path, script: Script, names_account: bool
) -> None:
    """The source names the account, or the tokens are equal, or everything else is equal."""
    script.check_names_account, script.claims = (
        names_account,
        [claim(number) for number in range(3)],
    )
    async with serving(tmp_path) as (_, ann):
        for token in ("a1", "a2") if names_account else ("unnamed", "unnamed", "also unnamed"):
            connection = await ann.connect(refreshToken=token)
            await ann.whole_sync()
            body = read(await ann.get("/api/recoveries"))
            assert [(total["claims"], total["amount"]) for total in body["totals"]] == [
                (3, "31.50")
            ]
            assert {recovery["connectionId"] for recovery in body["recoveries"]} == {
                connection["id"]
            }
            answer = await ann.http.delete(f"/api/connections/{connection['id']}")
            assert answer.status_code == 204
        script.claims, script.settled = [], [claim.id for claim in script.claims]
        await ann.connect(refreshToken=token)
        await ann.whole_sync()
        body = read(await ann.get("/api/recoveries"))
        assert [(total["claims"], total["status"]) for total in body["totals"]] == [
            (3, "reimbursed")
        ]


async def test_the_same_claim_of_two_accounts_counts_twice(tmp_path: Path, script: Script) -> None:
    """This holds even if their stores have the same name."""
    script.claims, script.check_names_account = [claim(1)], True
    async with serving(tmp_path) as (_, ann):
        for token in ("a1", "b1"):
            connection = await ann.connect(refreshToken=token)
            await ann.whole_sync(connectionId=connection["id"])
        (total,) = read(await ann.get("/api/recoveries"))["totals"]
        assert (total["claims"], total["amount"]) == (2, "21.00")
