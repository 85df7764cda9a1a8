"""Two accounts of one user: their data is shown separately, and changed separately."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.claims import Findings
from service.store.syncs import save
from tests.service.api.answers import replace_token
from tests.service.api.calls import (
    Call,
    Resources,
    calls,
    make_call,
    serve_with_secret,
)
from tests.service.api.test_recoveries import claim
from tests.service.store.stores import claim_statements
from tests.serving import Json, Serving, User, read

pytestmark = pytest.mark.anyio


async def account_of(service: Serving, user: User, shop: str) -> Resources:
    """A connection to one shop, with a sync, its records and a claim. The records and the claims of
    all shops have the same ids."""
    connection = (await user.connect(refreshToken=f"token@{shop}"))["id"]
    done = await user.whole_sync(connectionId=connection)
    assert done["status"] == "complete"
    sync = await service.parts.registry.find(done["syncId"])
    assert sync is not None
    late = sync.staged(sync.stage, "later", sync.updated_at)
    statements = claim_statements(late, Findings((claim(1),), ran=("R1",)))
    assert await service.parts.store.write(save(late), *statements)
    path = {"params": {"connectionId": connection}}
    (recovery,) = read(await user.get("/api/recoveries", **path))["recoveries"]
    return {
        "sync_id": done["syncId"],
        "connection_id": connection,
        "claim_id": recovery["id"],
        "record_id": "orders-0000000",
        "dataset": "orders",
        "connector": "demo",
    }


def of_one_account(resources: Resources) -> Iterator[tuple[Call, Json]]:
    """The GET calls that show one of several accounts, selected by its ids or by a filter."""
    for call in calls(resources):
        if call.route.startswith("/ws/"):  # the same as the stream, for clients that upgrade
            continue
        if call.route.startswith("/api/webhooks/"):  # of a user, not of an account
            continue
        if call.method == "GET" and "_id}" in call.route:
            yield call, {}
        elif call.method == "GET" and call.route in FILTERED:
            yield call, {"params": {"connectionId": resources["connection_id"]}}


FILTERED = ("/api/sync/history", "/api/data/{dataset}", "/api/recoveries")


async def get_shown(user: User, resources: Resources) -> dict[str, str]:
    responses = {}
    for call, options in of_one_account(resources):
        answer = await make_call(user.http, call, **options)
        assert answer.status_code in (200, 204), (str(call), answer.text)
        responses[call.path] = re.sub(r"retry: \d+", "", answer.text)
    return responses


async def test_two_accounts_of_a_user_are_shown_separately(tmp_path: Path) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        shops = [await account_of(service, ann, shop) for shop in ("shop-a", "shop-b")]
        for own, other in (shops, shops[::-1]):
            responses = await get_shown(ann, own)
            assert len(responses) > 8
            for path, text in responses.items():
                for name in ("sync_id", "connection_id", "claim_id"):
                    assert own[name] == other[name] or other[name] not in text, (path, name)
            for path, name in (
                ("/api/data/orders", "connection_id"),
                ("/api/recoveries", "claim_id"),
                ("/api/sync/history", "sync_id"),
            ):
                assert own[name] in responses[path], path
        totals = read(await ann.get("/api/recoveries"))["totals"]
        assert [total["claims"] for total in totals] == [2], "the same claim of two accounts"


async def test_changes_of_one_account_of_a_user_leave_the_other_unchanged(
    tmp_path: Path,
) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        own = await account_of(service, ann, "shop-a")
        other = await account_of(service, ann, "shop-b")
        before, path = await get_shown(ann, own), f"/api/connections/{other['connection_id']}"
        await ann.whole_sync(connectionId=other["connection_id"], overwrite=True)
        for token, status in (("new@shop-a", 409), ("new@shop-b", 200)):
            answer = await ann.post(f"{path}/reconnect", {"refreshToken": token})
            assert answer.status_code == status
            assert await get_shown(ann, own) == before
        await ann.http.put(f"{path}/schedule", json={"cron": "0 2 * * *", "timezone": "UTC"})
        await replace_token(service, other["connection_id"])
        paused = await ann.start(connectionId=other["connection_id"])
        await ann.until(paused, "paused")
        await ann.post(f"/api/sync/cancel/{paused}")
        assert await get_shown(ann, own) == before
        erased = await ann.http.delete(path, params={"data": "erase"})
        assert erased.status_code == 204
        assert await get_shown(ann, own) == before
        assert (await ann.whole_sync(connectionId=own["connection_id"]))["status"] == "complete"
        assert {record["connectionId"] for record in await ann.records("orders")} == {
            own["connection_id"]
        }
