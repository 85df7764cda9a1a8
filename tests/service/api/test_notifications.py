"""Notifications of sources: signed, received once, and read between two syncs."""

import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from connectors import amazon_sandbox as amazon
from service import housekeeping
from service.errors import StartupError
from tests.databases import DATABASES
from tests.journeys.test_amazon import local_sandbox
from tests.service.api.answers import problem
from tests.serving import PATIENCE, Json, Serving, User, serve, settings

pytestmark = pytest.mark.anyio

KEY = "the secret that signs notifications, long enough"
PATH = "/api/notifications/amazon"
ORDERS = 40
PAGE = Path(__file__).parents[3] / "docs/amazon.md"


def order_change(order: str, seller: str, id: str = "n-1") -> Json:
    """ORDER_CHANGE with the fields that Amazon's schema requires."""
    return {
        "NotificationVersion": "1.0",
        "NotificationType": "ORDER_CHANGE",
        "PayloadVersion": "1.0",
        "EventTime": "2026-01-11T00:09:53.109Z",
        "Payload": {
            "OrderChangeNotification": {
                "NotificationLevel": "OrderLevel",
                "SellerId": seller,
                "AmazonOrderId": order,
                "OrderChangeType": "BuyerRequestedChange",
                "OrderChangeTrigger": {"TimeOfOrderChange": "2026-01-11T00:09:50.000Z"},
                "Summary": {"MarketplaceId": "ATVPDKIKX0DER", "OrderStatus": "Shipped"},
            }
        },
        "NotificationMetadata": {
            "ApplicationId": "amzn1.sellerapps.app.1",
            "SubscriptionId": "subscription-1",
            "PublishTime": "2026-01-11T00:09:54.000Z",
            "NotificationId": id,
        },
    }


def report_finished(report: str, seller: str, id: str = "r-1") -> Json:
    return {
        "notificationVersion": "2020-09-04",
        "notificationType": "REPORT_PROCESSING_FINISHED",
        "payloadVersion": "2020-09-04",
        "eventTime": "2026-01-11T00:09:53.109Z",
        "payload": {
            "reportProcessingFinishedNotification": {
                "sellerId": seller,
                "accountId": f"amzn1.merchant.o.{seller}",
                "reportId": report,
                "reportType": "GET_LEDGER_DETAIL_VIEW_DATA",
                "processingStatus": "DONE",
            }
        },
        "notificationMetadata": {
            "applicationId": "amzn1.sellerapps.app.1",
            "subscriptionId": "subscription-2",
            "publishTime": "2026-01-11T00:09:54.000Z",
            "notificationId": id,
        },
    }


def signature(body: bytes, key: str = KEY) -> str:
    return "sha256=" + hmac.new(key.encode(), body, sha256).hexdigest()


class Seller:
    """A seller who is connected, and what Amazon's side sends."""

    def __init__(self, service: Serving, user: User, control: httpx.AsyncClient, id: str) -> None:
        self.service = service
        self.user = user
        self.control = control
        self.id = id

    async def send(self, body: Any, signed: str | None = None) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.service.anonymous(timeout=PATIENCE) as sender:
            return await sender.post(
                PATH, content=raw, headers={b"X-Signature": (signed or signature(raw)).encode()}
            )

    async def outcome(self, body: Any) -> str:
        answer = await self.send(body)
        assert answer.status_code == 202, answer.text
        (one,) = answer.json()["notifications"]
        return str(one["outcome"])

    async def order_ids(self) -> list[str]:
        return [record["id"] for record in await self.user.records("orders")]

    async def notified(self, count: int = 1) -> list[Json]:
        """The syncs that notifications started, once that many have ended."""
        with anyio.fail_after(3 * PATIENCE):
            while True:
                answer = await self.user.get(
                    "/api/sync/history", params={"expand": "datasets", "limit": 100}
                )
                found = [s for s in answer.json()["syncs"] if s["trigger"] == "notification"]
                ended = [s for s in found if s["status"] not in ("in_progress", "paused")]
                if len(ended) >= count:
                    return ended
                await anyio.sleep(0.05)

    async def calls(self, operation: str) -> list[Json]:
        calls = (await self.control.get("/_sandbox/log")).json()["calls"]
        return [call for call in calls if call["operation"] == operation]


@asynccontextmanager
async def seller(folder: Path, speed: float = 1000.0, **environ: Any) -> AsyncIterator[Seller]:
    """A service with a connected seller, whose orders were read."""
    async with (
        local_sandbox(orders=ORDERS, speed=speed) as url,
        serve(folder, None, **amazon.environ(url), NOTIFICATIONS_SECRET=KEY, **environ) as service,
        httpx.AsyncClient(base_url=url) as control,
    ):
        ann = service.user()
        await ann.connect(**amazon.connection(1, ORDERS), skipHistoricalSync=True)
        with DATABASES.opened(folder) as database:
            ((id,),) = database.execute("SELECT account_id FROM connections").fetchall()
        assert id
        await ann.whole_sync(datasets=["orders"])
        yield Seller(service, ann, control, id)


async def changes(of: Seller, offset: str) -> list[Json]:
    await of.service.settled()
    return list((await of.user.get("/api/changes", params={"offset": offset})).json())


async def tail(of: Seller) -> str:
    await of.service.settled()
    answer = await of.user.get("/api/changes", params={"offset": "now"})
    return str(answer.headers["stream-next-offset"])


# What happens -------------------------------------------------------------------------------------


async def test_a_changed_order_is_read_by_a_short_sync_once(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        ids = await one.order_ids()
        with DATABASES.opened(tmp_path) as database:
            database.execute(f"UPDATE records SET hash = 'x' WHERE id = '{ids[3]}'")
        before, coverage = await tail(one), _coverage(tmp_path)
        body = order_change(ids[3], one.id)
        assert await one.outcome(body) == "accepted"
        (sync,) = await one.notified()
        assert (sync["status"], sync["kind"], sync["recordsProcessed"]) == (
            "complete",
            "incremental",
            1,
        )
        (changed,) = await changes(one, before)
        assert (changed["op"], changed["recordId"]) == ("updated", ids[3])
        assert changed["isHistoricalSync"] is False and changed["syncId"] == sync["syncId"]
        assert len(await one.calls("getOrder")) == 1
        assert _coverage(tmp_path) == coverage, "single orders cover no time"
        status = (await one.user.get(f"/api/sync/status/{sync['syncId']}")).json()
        assert status["options"] == {"datasets": ["orders"], "records": [ids[3]]}
        assert status["claimsDetected"] is None and status["warnings"] == []

        assert await one.outcome(body) == "duplicate"
        assert await one.outcome({"Records": [{"body": json.dumps(body)}]}) == "duplicate"
        await one.service.parts.notifications.start_waiting()
        assert len(await one.notified()) == 1


def _coverage(folder: Path) -> list[Any]:
    with DATABASES.opened(folder) as database:
        return list(database.execute("SELECT * FROM landed ORDER BY dataset").fetchall())


async def test_an_order_that_was_never_read_is_created(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        order = (await one.order_ids())[0]
        with DATABASES.opened(tmp_path) as database:
            database.execute(f"DELETE FROM records WHERE id = '{order}'")
        before = await tail(one)
        event = {
            "version": "0",
            "id": "e-1",
            "detail-type": "ORDER_CHANGE",
            "source": "aws.partner/sellingpartnerapi.amazon.com/1",
            "detail": order_change(order, one.id),
        }
        assert await one.outcome(event) == "accepted"
        await one.notified()
        (created,) = await changes(one, before)
        assert (created["op"], created["isHistoricalSync"]) == ("created", False)
        assert order in await one.order_ids()


async def test_orders_that_arrive_during_a_sync_wait_until_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "EVERY", 0.3)
    async with seller(tmp_path) as one:
        ids = await one.order_ids()
        await one.control.post("/_sandbox/faults", json={"slow": 1.0})
        running = await one.user.start(datasets=["orders"])
        batch = [order_change(id, one.id, f"n-{id}") for id in ids[:5]]
        records = {"Records": [{"messageId": "1", "body": json.dumps(each)} for each in batch]}
        answer = await one.send(records)
        assert {each["outcome"] for each in answer.json()["notifications"]} == {"accepted"}
        await one.user.until(running)
        await one.control.post("/_sandbox/faults", json={})
        (sync,) = await one.notified()
        whole = (await one.user.get(f"/api/sync/status/{running}")).json()
        assert sync["startedAt"] >= whole["completedAt"]
        assert sync["recordsProcessed"] == 5, "those that have gathered are read together"


async def test_an_order_that_amazon_does_not_know_fails_nothing(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        assert await one.outcome(order_change("999-0000000-0000000", one.id)) == "accepted"
        (sync,) = await one.notified()
        assert (sync["status"], sync["recordsProcessed"]) == ("complete", 0)


async def test_the_notifications_of_a_lost_connection_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seller(tmp_path) as one:
        order = (await one.order_ids())[0]
        with DATABASES.opened(tmp_path) as database:
            database.execute("UPDATE connections SET lost = 'Revoked.'")
        assert await one.outcome(order_change(order, one.id)) == "accepted"
        assert await one.calls("getOrder") == []
        with DATABASES.opened(tmp_path) as database:
            database.execute("UPDATE connections SET lost = NULL")
        await one.service.parts.notifications.start_waiting()
        (sync,) = await one.notified()
        assert sync["status"] == "complete"


async def test_notified_syncs_do_not_count_among_the_syncs_a_day(tmp_path: Path) -> None:
    plans = json.dumps({"free": {"syncsPerDay": 2}})
    async with seller(tmp_path, PLANS=plans) as one:
        order = (await one.order_ids())[0]
        for number in range(3):
            assert await one.outcome(order_change(order, one.id, f"n-{number}")) == "accepted"
            await one.notified(number + 1)
        free = one.service.user("ann", plan="free")
        answer = await free.post("/api/sync/start", {"datasets": ["orders"]})
        assert answer.status_code == 202, answer.text
        await one.user.until(answer.json()["syncId"])
        problem(await free.post("/api/sync/start", {}), 403, "plan_limit")


async def test_a_forgotten_connection_takes_its_notifications_with_it(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        order = (await one.order_ids())[0]
        assert await one.outcome(order_change(order, one.id)) == "accepted"
        (sync,) = await one.notified()
        connection = sync["connectionId"]
        assert (await one.user.http.delete(f"/api/connections/{connection}")).status_code == 204
        assert await one.outcome(order_change(order, one.id)) == "ignored"
        with DATABASES.opened(tmp_path) as database:
            assert not database.execute("SELECT id FROM notifications").fetchall()


async def test_a_finished_report_that_nothing_waits_for_is_ignored(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        answer = (await one.send(report_finished("123", one.id))).json()["notifications"]
        assert answer == [
            {"id": "r-1", "outcome": "ignored", "reason": "No sync waits for it here."}
        ]


async def test_a_finished_report_wakes_the_read_that_waits_for_it(tmp_path: Path) -> None:
    async with seller(tmp_path, speed=5.0) as one:  # a report takes twelve seconds
        sync = await one.user.start(datasets=["ledger"])
        with anyio.fail_after(2 * PATIENCE):
            outcome = ""
            while outcome != "accepted":
                await anyio.sleep(0.05)
                if calls := await one.calls("getReport"):
                    report = calls[-1]["path"].rpartition("/")[2]
                    outcome = await one.outcome(report_finished(report, one.id))
            asked = len(await one.calls("getReport"))
            while len(await one.calls("getReport")) == asked:
                await anyio.sleep(0.01)
        assert (await one.user.until(sync))["status"] == "complete"


# Bad input ----------------------------------------------------------------------------------------


async def test_what_is_not_signed_is_refused(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        body = json.dumps(order_change("1", one.id)).encode()
        for wrong in (
            "sha256=",
            signature(body, "another secret"),
            signature(body + b" "),
            signature(body).removeprefix("sha256="),
            "sha256=\xe9",
        ):
            problem(await one.send(body, wrong), 401, "signature_invalid")
        async with one.service.anonymous() as sender:
            answer = await sender.post(PATH, content=body)
            problem(answer, 401, "signature_invalid")
            headers = {"Authorization": one.user.http.headers["Authorization"]}
            problem(
                await sender.post(PATH, content=body, headers=headers), 401, "signature_invalid"
            )
        assert await one.calls("getOrder") == []


OTHER_SCHEMAS = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"{}",
    b'{"body": "no json"}',
    b'{"Records": []}',
    b'{"Records": [1]}',
    b"\xff",
    b'{"detail-type": "x", "detail": 1}',
    json.dumps({"NotificationType": "ORDER_STATUS_CHANGE"}).encode(),
    json.dumps({"NotificationType": "ORDER_CHANGE"}).encode(),
    json.dumps(order_change("1", "A") | {"PayloadVersion": "2.0"}).encode(),
    json.dumps(order_change("1", "A") | {"Payload": {}}).encode(),
    json.dumps(order_change("a b", "A")).encode(),
    json.dumps(order_change("1", "")).encode(),
    json.dumps(order_change("1", "A", "\0")).encode(),
    json.dumps({"notificationType": "REPORT_PROCESSING_FINISHED"}).encode(),
    json.dumps({"Records": [{"body": json.dumps(order_change("1", "A"))}] * 101}).encode(),
    b'{"body":"{\\"body\\":\\"{\\\\\\"body\\\\\\":1}\\"}"}',
]


async def test_a_body_of_another_schema_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    environ = {"NOTIFICATIONS_SECRET": KEY}
    async with serve(tmp_path, None, **environ) as service, service.anonymous() as sender:
        for body in OTHER_SCHEMAS:
            with subtests.test(body=body):
                headers = {"X-Signature": signature(body)}
                answer = await sender.post(PATH, content=body, headers=headers)
                problem(answer, 422, "invalid")


async def test_one_bad_notification_of_a_batch_refuses_all(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        good, bad = order_change("1", one.id), {"NotificationType": "FEE_PROMOTION"}
        batch = {"Messages": [{"Body": json.dumps(each)} for each in (good, bad)]}
        problem(await one.send(batch), 422, "invalid")
        with DATABASES.opened(tmp_path) as database:
            assert not database.execute("SELECT id FROM notifications").fetchall()


async def test_an_unknown_seller_is_ignored_and_says_so(tmp_path: Path) -> None:
    async with seller(tmp_path) as one:
        (answer,) = (await one.send(order_change("1", "ANOTHER"))).json()["notifications"]
        assert answer["outcome"] == "ignored" and "not connected" in answer["reason"]


async def test_without_a_secret_or_for_other_connectors_nothing_is_received(
    tmp_path: Path,
) -> None:
    body = b"{}"
    headers = {"X-Signature": signature(body, "")}
    async with serve(tmp_path) as service, service.anonymous() as sender:
        answer = await sender.post(PATH, content=body, headers=headers)
        problem(answer, 404, "not_found")
    environ = {"NOTIFICATIONS_SECRET": KEY}
    async with serve(tmp_path, None, **environ) as service, service.anonymous() as sender:
        for other in ("demo", "nothing"):
            answer = await sender.post(
                f"/api/notifications/{other}",
                content=body,
                headers={"X-Signature": signature(body)},
            )
            problem(answer, 404, "not_found")
        large = b" " * (2 << 20)
        answer = await sender.post(PATH, content=large, headers=headers)
        problem(answer, 413, "body_too_large")


def test_a_short_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="NOTIFICATIONS_SECRET must have at least 32 bytes"):
        settings(tmp_path, NOTIFICATIONS_SECRET="short")


# The page -----------------------------------------------------------------------------------------


async def test_the_function_of_the_page_signs_what_it_forwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seller(tmp_path) as one:
        (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        monkeypatch.setenv("NOTIFICATIONS_SECRET", KEY)
        monkeypatch.setenv("SERVICE_URL", one.service.url)
        names: dict[str, Any] = {}
        exec(code, names)  # noqa: S102 - the page's own code
        order = (await one.order_ids())[0]
        event = {"Records": [{"body": json.dumps(order_change(order, one.id))}]}
        answer = await anyio.to_thread.run_sync(names["handler"], event)
        assert [each["outcome"] for each in answer["notifications"]] == ["accepted"]
        await one.notified()
