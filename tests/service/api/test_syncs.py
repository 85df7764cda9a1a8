"""Start, status, cancel and resume: every field, and every response."""

from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.service.api.answers import SLOW, TIME, TINY, paused_sync, problem, visible_state
from tests.serving import PATIENCE, Json, Serving, read, serve

pytestmark = pytest.mark.anyio

STATUS_FIELDS = (
    *("syncId", "status", "stage", "progress", "message", "startedAt", "completedAt"),
    *("ordersProcessed", "totalOrders", "claimsDetected", "datasets"),
    *("estimatedSecondsRemaining", "attempt", "version", "error", "warnings", "duration"),
    *("connector", "connectionId", "options", "dryRun", "recordsProcessed", "recordsFailed"),
    *("maxAttempts", "waitingUntil", "updatedAt", "trigger", "kind", "warningsCount"),
)
DATASET_FIELDS = (
    *("name", "status", "processed", "total", "failed", "created", "updated", "unchanged"),
    *("deleted", "waitingUntil", "waiting", "fraction"),
)
STATUSES = ("in_progress", "paused", "complete", "failed", "cancelled")
STAGES = ("queued", "starting", "fetching", "processing", "finalizing", "complete")
OUTCOMES = ("pending", "in_progress", "complete", "partial", "failed", "unknown")


def moment(value: Any) -> datetime:
    assert isinstance(value, str) and TIME.fullmatch(value), value
    return datetime.fromisoformat(value)


def is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def check_status(body: Json) -> Json:
    """Check every field of a status, and its type."""
    for name in STATUS_FIELDS:
        assert name in body, name
    assert body["status"] in STATUSES and body["stage"] in STAGES
    assert is_count(body["progress"]) and body["progress"] <= 100
    assert (body["progress"] == 100) == (body["status"] == "complete")
    assert isinstance(body["message"], str) and body["message"]
    moment(body["updatedAt"])
    began = moment(body["startedAt"])
    if body["completedAt"] is None:
        assert body["duration"] is None
        assert body["status"] in ("in_progress", "paused")
    else:
        took = (moment(body["completedAt"]) - began).total_seconds()
        assert body["duration"] == pytest.approx(took, abs=0.002)
    for name, value in body.items():
        if name.endswith("Processed") or name == "recordsFailed":
            assert is_count(value), name
        if name == "claimsDetected":
            ended = body["status"] not in ("in_progress", "paused")
            assert is_count(value) or (value is None and ended)
        if name.startswith("total"):
            assert value is None or is_count(value), name
    for name in ("attempt", "version", "maxAttempts"):
        assert is_count(body[name]) and body[name] >= 1
    assert body["estimatedSecondsRemaining"] is None or is_count(body["estimatedSecondsRemaining"])
    if body["waitingUntil"] is not None:
        moment(body["waitingUntil"])
    for warning in body["warnings"]:
        assert set(warning) == {"dataset", "code", "message", "count"}
    assert isinstance(body["options"], dict) and body["dryRun"] is False
    if body["error"] is not None:
        assert {"code", "message", "retryable"} == set(body["error"])
    for dataset in body["datasets"]:
        assert set(DATASET_FIELDS) <= set(dataset)
        assert dataset["status"] in OUTCOMES
        assert all(is_count(dataset[name]) for name in (*DATASET_FIELDS[2:3], *DATASET_FIELDS[4:9]))
        assert dataset["total"] is None or is_count(dataset["total"])
        counted = sum(dataset[name] for name in ("created", "updated", "unchanged", "failed"))
        assert dataset["processed"] == counted + dataset["deleted"]
    return body


def check_accepted(answer: httpx.Response, message: str = "Sync started successfully") -> str:
    assert answer.status_code == 202
    body = read(answer)
    sync_id = body["syncId"]
    assert sync_id.startswith("sync_") and sync_id.isprintable() and "/" not in sync_id
    assert body == {
        "syncId": sync_id,
        "status": "in_progress",
        "message": message,
        "statusUrl": f"/api/sync/status/{sync_id}",
        "streamUrl": f"/api/sse/sync-progress/{sync_id}",
    }
    assert answer.headers["location"] == body["statusUrl"]
    assert answer.headers["content-type"] == "application/json"
    return str(sync_id)


# Start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/sync/start", "/api/sync/force"])
async def test_a_start_is_accepted_and_shown_with_every_field(tmp_path: Path, path: str) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.01", DEMO_PAGE="50") as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        sync_id = check_accepted(await ann.post(path))
        statuses = [check_status(await ann.status(sync_id))]
        while statuses[-1]["status"] == "in_progress":
            statuses.append(check_status(await ann.status(sync_id)))
        done = statuses[-1]
        assert (done["status"], done["stage"], done["progress"]) == ("complete", "complete", 100)
        assert (done["connector"], done["connectionId"]) == ("demo", connection)
        assert (done["recordsProcessed"], done["recordsFailed"]) == (262, 0)
        assert done["options"] == {} and done["error"] is None
        assert (done["trigger"], done["kind"]) == ("user", "historical")
        versions = [status["version"] for status in statuses]
        assert versions == sorted(versions)


async def test_the_status_of_an_ended_sync_has_every_field(tmp_path: Path) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="2", **SLOW) as service:
        ann, bob, carl = service.user("ann"), service.user("bob"), service.user("carl")
        await ann.connect()
        failed = check_status(await ann.whole_sync())
        assert (failed["status"], failed["error"]["code"]) == ("failed", "timeout")
        paused = check_status(await bob.status(await paused_sync(service, bob)))
        assert paused["error"]["retryable"] is False
        await carl.connect()
        cancelled = read(await carl.post(f"/api/sync/cancel/{await carl.start()}"))
        assert check_status(cancelled)["status"] == "cancelled"


async def test_the_options_of_a_start_are_shown_in_utc(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    since, until = "2026-01-15T12:00:00+02:00", "2026-01-16T12:00:00Z"
    done = await ann.whole_sync(datasets=["orders"], since=since, until=until)
    assert done["options"] == {
        "datasets": ["orders"],
        "since": "2026-01-15T10:00:00Z",
        "until": "2026-01-16T12:00:00Z",
    }
    window = done["datasets"][0]["window"]
    assert window["since"].startswith("2026-01-15T10:00:00")
    assert window["until"].startswith("2026-01-16T12:00:00")


async def test_with_attach_a_second_start_returns_the_running_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        body = {"onConflict": "attach"}
        running = check_accepted(await ann.post("/api/sync/start", body))
        assert check_accepted(await ann.post("/api/sync/start", body)) == running
        assert check_accepted(await ann.post("/api/sync/force", body)) == running
        assert (await visible_state(ann))[:2] == (1, [running])


async def test_only_one_of_a_hundred_simultaneous_starts_succeeds(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        answers: list[httpx.Response] = []

        async def start() -> None:
            answers.append(await ann.post("/api/sync/start", timeout=PATIENCE))

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(start)
        won = [answer for answer in answers if answer.status_code == 202]
        assert len(won) == 1
        lost = [
            problem(answer, 409, "sync_already_running") for answer in answers if answer not in won
        ]
        assert len(lost) == 99
        assert {answer["syncId"] for answer in lost} == {check_accepted(won[0])}
        assert (await visible_state(ann))[0] == 1


async def test_a_tenant_has_a_limit_of_live_syncs(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        users = [service.user(name, tenant="acme") for name in ("a", "b", "c", "d")]
        for user in users:
            await user.connect()
        running = [await user.start() for user in users[:3]]
        answer = await users[3].post("/api/sync/start")
        problem(answer, 429, "too_many_syncs")
        assert int(answer.headers["retry-after"]) > 0
        assert (await visible_state(users[3]))[0] == 0
        await users[0].post(f"/api/sync/cancel/{running[0]}")
        assert (await users[3].post("/api/sync/start")).status_code == 202


async def test_a_waiting_sync_is_queued_at_zero_percent(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_RUNNING_SYNCS="1", **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        for user in (ann, bob):
            await user.connect()
        first = await ann.start()
        while (await ann.status(first))["stage"] == "queued":
            await anyio.sleep(0.01)
        queued = check_status(await bob.status(await bob.start()))
        assert (queued["status"], queued["stage"], queued["progress"]) == (
            "in_progress",
            "queued",
            0,
        )
        listed = (await bob.get("/api/sync/history", params={"status": "in_progress"})).json()
        assert [sync["syncId"] for sync in listed["syncs"]] == [queued["syncId"]]
        problem(await bob.post(f"/api/sync/resume/{queued['syncId']}"), 409, "already_running")
        await ann.post(f"/api/sync/cancel/{first}")
        while (await bob.status(queued["syncId"]))["stage"] == "queued":
            await anyio.sleep(0.01)


# Status -----------------------------------------------------------------------------------------


async def test_an_unchanged_status_is_304(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    sync_id = (await ann.whole_sync())["syncId"]
    path = f"/api/sync/status/{sync_id}"
    answer = await ann.get(path)
    tag = answer.headers["etag"]
    assert tag == f'"{answer.json()["version"]}"'
    assert answer.headers["cache-control"] == "private, no-cache"
    for sent in (tag, f"W/{tag}", f'"0", {tag}', f'"a" , W/{tag},"b"', "*"):
        answer = await ann.get(path, headers={"If-None-Match": sent})
        assert (answer.status_code, answer.content) == (304, b""), sent
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "private, no-cache"
    for other in (tag.strip('"'), '"0"', f'"{tag}"', "", 'W/"x"'):
        answer = await ann.get(path, headers={"If-None-Match": other})
        assert answer.status_code == 200, other


async def test_head_returns_the_headers_of_get(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    path = f"/api/sync/status/{(await ann.whole_sync())['syncId']}"
    asked, head = await ann.get(path), await ann.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length", "cache-control"):
        assert head.headers[name] == asked.headers[name]


async def test_the_current_sync_is_the_live_one_or_else_the_newest(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        problem(await ann.get("/api/sync/status"), 404, "not_found")
        await ann.connect()
        first = await ann.start()
        assert read(await ann.get("/api/sync/status"))["syncId"] == first
        await ann.post(f"/api/sync/cancel/{first}")
        assert check_status(read(await ann.get("/api/sync/status")))["syncId"] == first
        second = await ann.start()
        assert read(await ann.get("/api/sync/status"))["syncId"] == second
        await ann.post(f"/api/sync/cancel/{second}")
        assert (await ann.post(f"/api/sync/resume/{first}")).status_code == 202
        assert read(await ann.get("/api/sync/status"))["syncId"] == first


async def test_the_etag_of_the_current_sync_differs_between_syncs_of_the_same_version(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        first = await ann.whole_sync()
        tag = (await ann.get("/api/sync/status")).headers["etag"]
        headers = {"If-None-Match": tag}
        assert (await ann.get("/api/sync/status", headers=headers)).status_code == 304
        second = await ann.whole_sync()
        assert first["version"] == second["version"]
        answer = await ann.get("/api/sync/status", headers=headers)
        assert read(answer)["syncId"] == second["syncId"]
