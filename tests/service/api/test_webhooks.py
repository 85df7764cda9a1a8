"""Webhooks: endpoints, their secrets, deliveries and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.app import rotate_credentials
from service.hooks.webhooks import MAX_OF_A_USER
from tests.databases import DATABASES
from tests.service.api.answers import TINY, fields, problem, send
from tests.service.clocks import FastClock
from tests.service.hooks.receivers import HOOKS_SETTINGS, Received, receiving
from tests.serving import KEY, PATIENCE, Json, User, read, serve, settings

pytestmark = pytest.mark.anyio

SETTINGS: dict[str, Any] = {**HOOKS_SETTINGS, **TINY}
URL = "https://hooks.example/in"


async def hook(user: User, url: str, *types: str, **more: Any) -> Json:
    answer = await user.post("/api/webhooks", {"url": url, "types": types or ["*"], **more})
    assert answer.status_code == 201, answer.text
    return read(answer)


async def log(user: User, webhook: Json, **params: Any) -> list[Json]:
    """The deliveries, newest first."""
    answer = await user.get(f"/api/webhooks/{webhook['id']}/deliveries", params=params)
    assert answer.status_code == 200, answer.text
    deliveries: list[Json] = read(answer)["deliveries"]
    return deliveries


async def logged(user: User, webhook: Json, status: str, count: int) -> list[Json]:
    """Wait until the log has so many deliveries of a status."""
    with anyio.fail_after(PATIENCE):
        while len(found := await log(user, webhook, status=status, limit=100)) < count:
            await anyio.sleep(0.02)
    return found


def verify(secret: str, request: Received) -> Json:
    verified: Json = Webhook(secret).verify(request.raw, request.headers)
    return verified


async def test_a_sync_is_delivered_signed_and_in_order(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url, description="Ours")
        assert webhook["secret"].startswith("whsec_") and webhook["enabled"] is True
        done = await ann.whole_sync()
        taken = await receiver.until(2)
        assert [request.kind for request in taken] == ["sync.started", "sync.completed"]
        assert {request.sync for request in taken} == {done["syncId"]}
        for request in taken:
            assert set(verify(webhook["secret"], request)) == {"type", "timestamp", "data"}
        await service.settled()
        events = (await ann.get("/api/events")).json()
        assert [{"id": request.id, **request.body} for request in taken] == events
        newest, oldest = await logged(ann, webhook, "delivered", 2)
        assert (newest["type"], newest["eventId"]) == ("sync.completed", taken[1].id)
        (attempt,) = oldest["attempts"]
        assert (attempt["status"], attempt["error"]) == (200, None) and attempt["ms"] >= 0
        assert oldest["nextAttemptAt"] is None
        listed = read(await ann.get("/api/webhooks"))["webhooks"]
        assert listed == [{k: v for k, v in webhook.items() if k != "secret"}]


# Endpoints ----------------------------------------------------------------------------------------

BAD_BODIES: dict[str, tuple[Any, str]] = {
    "no url": ({"types": ["*"]}, "url"),
    "no types": ({"url": URL}, "types"),
    "no type": ({"url": URL, "types": []}, "types"),
    "an unknown type": ({"url": URL, "types": ["sync.exploded"]}, "types"),
    "types that are no list": ({"url": URL, "types": "*"}, "types"),
    "a type that is no text": ({"url": URL, "types": [1]}, "types[0]"),
    "an unknown field": ({"url": URL, "types": ["*"], "colour": 1}, "colour"),
    "http": ({"url": "http://hooks.example/in", "types": ["*"]}, "url"),
    "a private address": ({"url": "https://10.0.0.1/", "types": ["*"]}, "url"),
    "a loopback address": ({"url": "https://127.0.0.1/", "types": ["*"]}, "url"),
    "a link-local address": ({"url": "https://169.254.169.254/", "types": ["*"]}, "url"),
    "a url that is a number": ({"url": 7, "types": ["*"]}, "url"),
    "a long description": ({"url": URL, "types": ["*"], "description": "x" * 201}, "description"),
    "control characters": ({"url": URL, "types": ["*"], "description": "a\0b"}, "description"),
    "half a character": ({"url": URL + "\ud800", "types": ["*"]}, "url"),
    "all that is not true or false": ({"url": URL, "types": ["*"], "all": 1}, "all"),
}


async def test_what_is_wrong_with_a_webhook_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        for what, (body, field) in BAD_BODIES.items():
            answer = await send(ann, "/api/webhooks", json.dumps(body))
            if "\\ud8" in json.dumps(body):  # not UTF-8, so no JSON either
                assert answer.status_code in (400, 422), what
                continue
            assert fields(problem(answer, 422, "invalid")) == [field], what
        for body in ("", "null", "[]", "7"):
            answer = await send(ann, "/api/webhooks", body)
            assert answer.status_code in (400, 422), body
        problem(await send(ann, "/api/webhooks", "{"), 400, "invalid_json")
        assert read(await ann.get("/api/webhooks")) == {"webhooks": []}


async def test_a_user_has_a_limited_number_of_webhooks(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user(), service.user("bob")
        answers: list[int] = []

        async def one_more() -> None:
            answer = await ann.post("/api/webhooks", {"url": URL, "types": ["*"]})
            answers.append(answer.status_code)

        async with anyio.create_task_group() as group:
            for _ in range(MAX_OF_A_USER + 3):
                group.start_soon(one_more)
        assert sorted(answers) == [201] * MAX_OF_A_USER + [409] * 3
        answer = await ann.post("/api/webhooks", {"url": URL, "types": ["*"]})
        assert "Delete one" in problem(answer, 409, "too_many_webhooks")["detail"]
        await hook(bob, URL)
        first = read(await ann.get("/api/webhooks"))["webhooks"][0]["id"]
        assert (await ann.http.delete(f"/api/webhooks/{first}")).status_code == 204
        await hook(ann, URL)


async def test_a_webhook_can_be_changed_field_by_field(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        webhook = await hook(ann, URL, "sync.failed", description="Ours")
        path = f"/api/webhooks/{webhook['id']}"
        kept = {name: value for name, value in webhook.items() if name != "secret"}
        for change, shown in (
            ({}, {}),
            ({"url": URL + "/2"}, {"url": URL + "/2"}),
            ({"types": ["*", "*"]}, {"types": ["*"]}),
            ({"description": None}, {"description": None}),
            ({"enabled": False}, {"enabled": False}),
            ({"enabled": True}, {"enabled": True}),
        ):
            answer = await ann.http.patch(path, json=change)
            assert answer.status_code == 200, answer.text
            kept |= shown
            assert read(answer) == kept == read(await ann.get(path))
        for body, field in (
            ({"url": "https://10.0.0.1"}, "url"),
            ({"types": []}, "types"),
            ({"types": None}, "types"),
            ({"enabled": None}, "enabled"),
            ({"secret": "x"}, "secret"),
        ):
            assert fields(problem(await ann.http.patch(path, json=body), 422, "invalid")) == [field]
        assert read(await ann.get(path)) == kept
        log = read(await ann.get("/api/audit"))["entries"]
        assert [entry["action"] for entry in log] == ["webhook_changed"] * 6 + ["webhook_created"]
        assert URL not in str(log) and "hooks.example" in str(log)


async def test_only_operators_get_the_events_of_everybody(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as every, receiving() as own:
        ann, root = service.user("ann"), service.user("root", role="operator")
        body = {"url": every.url, "types": ["sync.completed"], "all": True}
        problem(await ann.post("/api/webhooks", body), 403, "operator_only")
        shown = await hook(root, every.url, "sync.completed", all=True)
        assert shown["all"] is True
        await hook(root, own.url)
        await ann.connect()
        done = await ann.whole_sync()
        (taken,) = await every.until(1)
        assert (taken.kind, taken.sync) == ("sync.completed", done["syncId"])
        await logged(root, shown, "delivered", 1)
        assert not own.received, "without `all`, an operator has only own events"


async def test_only_the_types_that_were_asked_for_are_sent(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url, "sync.completed", "connection.lost")
        for _ in range(2):
            await ann.whole_sync()
        assert [request.kind for request in await receiver.until(2)] == ["sync.completed"] * 2
        assert len(await logged(ann, webhook, "delivered", 2)) == 2


# Secrets ------------------------------------------------------------------------------------------


async def test_both_secrets_sign_for_a_day_after_a_rotation(tmp_path: Path) -> None:
    clock = FastClock(speed=1)
    async with serve(tmp_path, clock, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        webhook = await hook(ann, receiver.url)
        path = f"/api/webhooks/{webhook['id']}"
        rotated = read(await ann.post(f"{path}/rotate"))
        assert rotated["secret"] != webhook["secret"] and rotated["id"] == webhook["id"]
        await ann.post(f"{path}/test")
        (first,) = await receiver.until(1)
        signatures = first.headers["webhook-signature"].split(" ")
        assert len(signatures) == 2 and all(one.startswith("v1,") for one in signatures)
        for secret in (webhook["secret"], rotated["secret"]):
            assert verify(secret, first)["type"] == "webhook.test"
        clock.jump(timedelta(hours=24, seconds=1))
        await ann.post(f"{path}/test")
        second = (await receiver.until(2))[1]
        at = datetime.fromtimestamp(int(second.headers["webhook-timestamp"]), UTC)
        signed = Webhook(rotated["secret"]).sign(second.id, at, second.raw.decode())
        assert second.headers["webhook-signature"] == signed, "the new secret alone"


async def test_a_signature_of_other_bytes_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        webhook, other = await hook(ann, receiver.url), await hook(ann, receiver.url)
        answer = await ann.post(f"/api/webhooks/{webhook['id']}/test")
        delivery = read(answer)
        assert (answer.status_code, delivery["type"]) == (202, "webhook.test")
        (taken,) = await receiver.until(1)
        assert taken.id == delivery["eventId"]
        assert verify(webhook["secret"], taken)["data"] == {"webhookId": webhook["id"]}
        for changed, secret in (
            (taken._replace(raw=taken.raw + b" "), webhook["secret"]),
            (taken, other["secret"]),
        ):
            with pytest.raises(WebhookVerificationError):
                verify(secret, changed)


async def test_secrets_are_encrypted_at_rest_and_take_part_in_a_rotation_of_keys(
    tmp_path: Path,
) -> None:
    new_key = "bmV3IGtleSB0aGF0IG9ubHkgdGhlIHRlc3RzIGtub3c="
    async with serve(tmp_path, **SETTINGS) as service:
        webhook = await hook(service.user(), URL)
        rotated = read(await service.user().post(f"/api/webhooks/{webhook['id']}/rotate"))
    for secret in (webhook["secret"], rotated["secret"]):
        assert secret.removeprefix("whsec_").encode() not in DATABASES.content(tmp_path)
    both = settings(tmp_path, SECRETS_KEYS=f"{new_key},{KEY}")
    assert await rotate_credentials(both) == 1
    async with (
        serve(tmp_path, SECRETS_KEYS=new_key, **SETTINGS) as service,
        receiving() as receiver,
    ):
        ann, path = service.user(), f"/api/webhooks/{webhook['id']}"
        await ann.http.patch(path, json={"url": receiver.url})
        await ann.post(f"{path}/test")
        (taken,) = await receiver.until(1)
        for secret in (webhook["secret"], rotated["secret"]):
            assert verify(secret, taken)


async def test_a_secret_that_cannot_be_decrypted_fails_the_attempt_with_the_reason(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        webhook = await hook(service.user(), receiver.url)
    other = "bmV3IGtleSB0aGF0IG9ubHkgdGhlIHRlc3RzIGtub3c="
    async with serve(tmp_path, SECRETS_KEYS=other, **SETTINGS) as service:
        ann = service.user()
        await ann.post(f"/api/webhooks/{webhook['id']}/test")
        (failed,) = await logged(ann, webhook, "failed", 1)
        assert {attempt["error"] for attempt in failed["attempts"]} == {
            "The secret cannot be decrypted: rotate it, or restore the key in SECRETS_KEYS."
        }


# Deliveries ---------------------------------------------------------------------------------------


async def test_a_failed_delivery_is_tried_by_the_schedule_and_can_be_retried(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        receiver.status = 500
        webhook = await hook(ann, receiver.url)
        await ann.post(f"/api/webhooks/{webhook['id']}/test")
        (failed,) = await logged(ann, webhook, "failed", 1)
        assert [attempt["status"] for attempt in failed["attempts"]] == [500] * 4
        assert failed["attempts"][0]["error"] == "The receiver answered 500."
        assert failed["nextAttemptAt"] is None
        receiver.status = 204
        retry = f"/api/webhooks/{webhook['id']}/deliveries/{failed['id']}/retry"
        answer = await ann.post(retry)
        assert (answer.status_code, read(answer)["status"]) == (202, "pending")
        (delivered,) = await logged(ann, webhook, "delivered", 1)
        assert len(delivered["attempts"]) == 5
        await ann.post(retry)
        first, again = await receiver.until(2)
        assert first.id == again.id and first.raw == again.raw
        problem(await ann.post(retry.replace(failed["id"], "x")), 404, "not_found")


async def test_410_disables_and_an_enabled_webhook_goes_on_where_it_was(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        webhook = await hook(ann, receiver.url)
        path = f"/api/webhooks/{webhook['id']}"
        receiver.status = 410
        await ann.post(f"{path}/test")
        await logged(ann, webhook, "failed", 1)
        shown = read(await ann.get(path))
        assert (shown["enabled"], shown["disabledReason"]) == (
            False,
            "The receiver answered 410 Gone.",
        )
        done = await ann.whole_sync()
        for call, body in (("test", None), ("replay", {"after": "-1"})):
            problem(await ann.post(f"{path}/{call}", body), 409, "webhook_disabled")
        receiver.status = 200
        answer = await ann.http.patch(path, json={"enabled": True})
        assert read(answer)["disabledReason"] is None
        taken = await receiver.until(2)
        assert [request.kind for request in taken] == ["sync.started", "sync.completed"]
        assert {request.sync for request in taken} == {done["syncId"]}
        assert len(receiver.received) == 3, "nothing was sent meanwhile"


async def test_a_replay_sends_what_is_kept_again_with_the_same_ids(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()  # before the webhook
        await service.settled()
        webhook = await hook(ann, receiver.url, "sync.started", "sync.completed")
        path = f"/api/webhooks/{webhook['id']}/replay"
        await ann.whole_sync()
        taken = [request.id for request in await receiver.until(2)]
        events = (await ann.get("/api/events")).json()
        ids = [event["id"] for event in events]
        assert taken == ids[2:]
        answer = await ann.post(path, {"after": "-1"})
        assert (answer.status_code, read(answer)) == (202, {"events": 4})
        assert sorted(request.id for request in (await receiver.until(6))[2:]) == ids
        assert read(await ann.post(path, {"after": ids[2]})) == {"events": 1}
        assert (await receiver.until(7))[6].id == ids[3]
        assert read(await ann.post(path, {"after": ids[3]})) == {"events": 0}
        after = {one["eventId"]: one["replayAfter"] for one in await log(ann, webhook)}
        assert read(await ann.post(path, {"after": after[ids[2]]})) == {"events": 2}
        assert [request.id for request in (await receiver.until(9))[7:]] == ids[2:]
        await ann.post(f"/api/webhooks/{webhook['id']}/test")
        assert (await log(ann, webhook, type="webhook.test"))[0]["replayAfter"] is None
        for offset, status in (("x", 400), ("now", 400), ("f" * 44, 400), ("0" * 44, 410)):
            assert (await ann.post(path, {"after": offset})).status_code == status, offset
        for body in ({}, {"after": 1}, {"after": None}):
            problem(await ann.post(path, body), 422, "invalid")


async def test_the_log_has_pages_and_filters(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        webhook = await hook(ann, receiver.url)
        path = f"/api/webhooks/{webhook['id']}"
        sent = [read(await ann.post(f"{path}/test"))["id"] for _ in range(5)]
        await logged(ann, webhook, "delivered", 5)
        seen, cursor = [], None
        while True:
            params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            page = read(await ann.get(f"{path}/deliveries", params=params))
            seen += [delivery["id"] for delivery in page["deliveries"]]
            if (cursor := page["nextCursor"]) is None:
                break
        assert seen == sent[::-1]
        assert await log(ann, webhook, status="pending") == []
        assert await log(ann, webhook, type="sync.failed") == []
        assert len(await log(ann, webhook, type="webhook.test")) == 5
        (event,) = {one["eventId"] for one in await log(ann, webhook) if one["id"] == sent[0]}
        assert [one["id"] for one in await log(ann, webhook, eventId=event)] == [sent[0]]
        other = await hook(ann, receiver.url)
        for query in ("status=lost", "cursor=x", "limit=0", "limit=101", "colour=1"):
            problem(await ann.get(f"{path}/deliveries?{query}"), 422, "invalid")
        foreign = read(await ann.get(f"{path}/deliveries?limit=1"))["nextCursor"]
        answer = await ann.get(f"/api/webhooks/{other['id']}/deliveries?cursor={foreign}")
        problem(answer, 422, "invalid")


async def test_somebody_elses_webhook_does_not_exist(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann, bob = service.user(), service.user("bob")
        webhook = await hook(ann, receiver.url)
        delivery = read(await ann.post(f"/api/webhooks/{webhook['id']}/test"))
        other = await hook(bob, receiver.url)
        path = f"/api/webhooks/{webhook['id']}"
        for method, call, body in (
            ("GET", "", None),
            ("PATCH", "", {"enabled": False}),
            ("DELETE", "", None),
            ("POST", "/rotate", None),
            ("POST", "/test", None),
            ("POST", "/replay", {"after": "-1"}),
            ("GET", "/deliveries", None),
            ("POST", f"/deliveries/{delivery['id']}/retry", None),
        ):
            answer = await bob.http.request(method, path + call, json=body)
            problem(answer, 404, "not_found")
        answer = await bob.post(f"/api/webhooks/{other['id']}/deliveries/{delivery['id']}/retry")
        problem(answer, 404, "not_found")
        assert [one["id"] for one in read(await bob.get("/api/webhooks"))["webhooks"]] == [
            other["id"]
        ]


async def test_erased_connections_take_their_deliveries_with_them(tmp_path: Path) -> None:
    async with serve(tmp_path, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        connection = await ann.connect()
        webhook = await hook(ann, receiver.url)
        await ann.whole_sync()
        await logged(ann, webhook, "delivered", 2)
        answer = await ann.http.delete(f"/api/connections/{connection['id']}?data=erase")
        assert answer.status_code in (202, 204)
        assert await log(ann, webhook) == []


async def test_deliveries_are_kept_for_thirty_days(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, **SETTINGS) as service, receiving() as receiver:
        ann = service.user()
        webhook = await hook(ann, receiver.url)
        await ann.post(f"/api/webhooks/{webhook['id']}/test")
        await logged(ann, webhook, "delivered", 1)
        clock.jump(timedelta(days=29))
        await anyio.sleep(0.5)
        assert len(await log(ann, webhook)) == 1
        clock.jump(timedelta(days=2))
        with anyio.fail_after(PATIENCE):
            while await log(ann, webhook):
                await anyio.sleep(0.02)
