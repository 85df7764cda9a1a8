"""`Prefer: wait`: when a request is answered, how, and what ends it before."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from service.api.waiting import LONGEST
from service.edge.limits import Limits
from service.wire.preferences import MAX_WAIT
from tests.databases import ON_POSTGRES
from tests.service.api.answers import SLOW, TINY, connection_to, paused_sync, problem, replace_token
from tests.service.api.test_syncs import check_accepted, check_status
from tests.serving import PATIENCE, Serving, User, read, serve, serve_within, token

pytestmark = pytest.mark.anyio

LONG = "wait=60"
"""Longer than the client waits: the answer must come before."""
APPLIED = "preference-applied"


async def until_waiting(service: Serving, count: int) -> None:
    """Wait until so many requests wait."""
    with anyio.fail_after(PATIENCE):
        while service.parts.hub.waiters.count != count:
            await anyio.sleep(0.005)


class Answer:
    """A request in the background, and its response."""

    def __init__(self) -> None:
        self._done = anyio.Event()
        self.response: httpx.Response

    async def run(self, user: User, method: str, path: str, **headers: str) -> None:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = await user.http.request(method, path, headers=headers)
        self._done.set()

    async def arrives(self) -> httpx.Response:
        with anyio.fail_after(PATIENCE):
            await self._done.wait()
        return self.response


@asynccontextmanager
async def waiting(
    service: Serving, user: User, method: str, path: str, **headers: str
) -> AsyncIterator[Answer]:
    """A request that waits."""
    answer = Answer()
    before = service.parts.hub.waiters.count
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: answer.run(user, method, path, **headers))
        await until_waiting(service, before + 1)
        yield answer


async def status_and_tag(user: User, sync_id: str) -> tuple[str, str]:
    """The path of a sync that does not change at present, and its ETag."""
    path = f"/api/sync/status/{sync_id}"
    return path, (await user.get(path)).headers["etag"]


# Start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/sync/start", "/api/sync/force"])
async def test_a_start_that_waits_returns_the_finished_sync(tmp_path: Path, path: str) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.02", DEMO_PAGE="50") as service:
        ann = service.user()
        await ann.connect()
        answer = await ann.post(path, headers={"Prefer": "respond-async, Wait=60"})
        assert (answer.status_code, answer.headers[APPLIED]) == (200, "wait=60")
        done = check_status(read(answer))
        assert (done["status"], done["progress"]) == ("complete", 100)
        assert answer.headers["location"] == f"/api/sync/status/{done['syncId']}"
        assert done == await ann.status(done["syncId"])
        assert service.parts.hub.waiters.count == 0


async def test_a_start_that_waits_returns_a_sync_that_fails_or_is_cancelled(tmp_path: Path) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="2", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        async with waiting(service, ann, "POST", "/api/sync/start", Prefer=LONG) as answer:
            sync_id = read(await ann.get("/api/sync/status"))["syncId"]
            await ann.post(f"/api/sync/cancel/{sync_id}")
            cancelled = await answer.arrives()
        assert (cancelled.status_code, read(cancelled)["status"]) == (200, "cancelled")
        failed = await ann.post("/api/sync/start", headers={"Prefer": LONG})
        assert (failed.status_code, read(failed)["status"]) == (200, "failed")


async def test_a_pause_counts_as_an_end(service: Serving) -> None:
    ann = service.user()
    await replace_token(service, (await ann.connect())["id"])
    answer = await ann.post("/api/sync/start", headers={"Prefer": LONG})
    assert answer.status_code == 200
    assert check_status(read(answer))["status"] == "paused"
    attached = await ann.post("/api/sync/start", {"onConflict": "attach"}, headers={"Prefer": LONG})
    assert (attached.status_code, read(attached)["syncId"]) == (200, read(answer)["syncId"])


@pytest.mark.parametrize("wait", ["wait=0", "wait=1"])
async def test_a_start_whose_sync_does_not_end_in_time_is_accepted(
    tmp_path: Path, wait: str
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        answer = await ann.post("/api/sync/start", headers={"Prefer": wait})
        check_accepted(answer)
        assert answer.headers[APPLIED] == wait


async def test_a_wait_of_more_than_a_minute_is_a_minute(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        answer = await ann.post("/api/sync/start", headers={"Prefer": "wait=86400"})
        assert (answer.status_code, answer.headers[APPLIED]) == (200, "wait=60")


@pytest.mark.parametrize("prefer", ["wait=abc", "wait=-1", "wait=", "wait", "", "foo;wait=5"])
async def test_a_malformed_wait_is_ignored(tmp_path: Path, prefer: str) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        answer = await ann.post("/api/sync/start", headers={"Prefer": prefer})
        sync_id = check_accepted(answer)
        assert APPLIED not in answer.headers
        await ann.post(f"/api/sync/cancel/{sync_id}")
        path, tag = await status_and_tag(ann, sync_id)
        unchanged = await ann.get(path, headers={"Prefer": prefer, "If-None-Match": tag})
        assert unchanged.status_code == 304 and APPLIED not in unchanged.headers


async def test_several_headers_are_one_list(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    headers = [("Prefer", 'handling="lenient, wait=1"; x'), ("prefer", 'WAIT="45";y=z')]
    answer = await ann.http.post("/api/sync/start", headers=headers)
    assert (answer.status_code, answer.headers[APPLIED]) == (200, "wait=45")


async def test_a_repeated_start_that_waits_returns_the_sync_of_its_key(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    headers = {"Prefer": LONG, "Idempotency-Key": "once"}
    first = await ann.post("/api/sync/start", headers=headers)
    again = await ann.post("/api/sync/start", headers=headers)
    assert first.status_code == again.status_code == 200
    assert read(first) == read(again)


async def test_a_refused_start_is_answered_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        refused = await ann.post("/api/sync/start", headers={"Prefer": LONG})
        problem(refused, 409, "not_connected")
        assert APPLIED not in refused.headers
        await ann.connect()
        await ann.start()
        refused = await ann.post("/api/sync/start", headers={"Prefer": LONG})
        problem(refused, 409, "sync_already_running")
        assert APPLIED not in refused.headers


# Status -----------------------------------------------------------------------------------------


async def test_a_status_that_waits_is_answered_when_the_version_changes(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        path, tag = await status_and_tag(ann, sync_id)
        headers = {"If_None_Match": f'"x", W/{tag}', "Prefer": LONG}
        async with waiting(service, ann, "GET", path, **headers) as answer:
            cancelled = read(await ann.post(f"/api/sync/cancel/{sync_id}"))
            changed = await answer.arrives()
        assert (changed.status_code, changed.headers[APPLIED]) == (200, LONG)
        assert read(changed) == cancelled
        assert changed.headers["etag"] == f'"{cancelled["version"]}"' != tag
        assert changed.headers["cache-control"] == "private, no-cache"


async def test_polls_that_wait_see_a_sync_to_its_end(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.02", DEMO_PAGE="20") as service:
        ann = service.user()
        await ann.connect()
        path, tag = await status_and_tag(ann, await ann.start())
        versions = [int(tag.strip('"'))]
        status = ""
        while status != "complete":
            answer = await ann.get(path, headers={"If-None-Match": tag, "Prefer": LONG})
            assert answer.status_code == 200
            tag, status = answer.headers["etag"], read(answer)["status"]
            versions.append(read(answer)["version"])
        assert versions == sorted(set(versions)) and len(versions) > 3


async def test_a_status_that_does_not_change_in_time_is_304(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        path, tag = await status_and_tag(ann, (await ann.whole_sync())["syncId"])
        for wait in ("wait=0", "wait=1"):
            answer = await ann.get(path, headers={"If-None-Match": tag, "Prefer": wait})
            assert (answer.status_code, answer.content) == (304, b"")
            assert (answer.headers["etag"], answer.headers[APPLIED]) == (tag, wait)


async def test_a_status_with_nothing_to_wait_for_is_answered_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        path = f"/api/sync/status/{(await ann.whole_sync())['syncId']}"
        other = await ann.get(path, headers={"If-None-Match": '"0"', "Prefer": LONG})
        assert (other.status_code, other.headers[APPLIED]) == (200, LONG)
        for headers, code in (
            ({}, 200),
            ({"If-None-Match": ""}, 200),
            ({"If-None-Match": "*"}, 304),
        ):
            answer = await ann.get(path, headers={"Prefer": LONG, **headers})
            assert answer.status_code == code and APPLIED not in answer.headers, headers


async def test_the_sync_of_another_user_is_404_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        path, tag = await status_and_tag(ann, await paused_sync(service, ann))
        headers = {"If-None-Match": tag, "Prefer": LONG}
        answer = await bob.get(path, headers=headers)
        problem(answer, 404, "not_found")
        assert APPLIED not in answer.headers
        problem(await bob.get("/api/sync/status/x", headers=headers), 404, "not_found")
        assert service.parts.hub.waiters.count == 0


# Ends -------------------------------------------------------------------------------------------


async def test_at_shutdown_a_waiting_request_is_answered_as_if_its_time_were_over(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        path, tag = await status_and_tag(ann, await paused_sync(service, ann))
        await bob.connect()
        headers = {"If_None_Match": tag, "Prefer": LONG}
        async with (
            waiting(service, ann, "GET", path, **headers) as status,
            waiting(service, bob, "POST", "/api/sync/start", Prefer=LONG) as start,
        ):
            await service.parts.hub.close(0.1)
            unchanged, accepted = await status.arrives(), await start.arrives()
        assert (unchanged.status_code, unchanged.headers[APPLIED]) == (304, LONG)
        check_accepted(accepted)
        late = await ann.get(path, headers={"If-None-Match": tag, "Prefer": LONG})
        assert late.status_code == 304


async def test_a_client_that_disconnects_ends_its_wait(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        path, tag = await status_and_tag(ann, await paused_sync(service, ann))
        head = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
            f"If-None-Match: {tag}\r\nPrefer: wait=60\r\n\r\n"
        )
        async with connection_to(service) as raw:
            await raw.send(head.encode())
            await until_waiting(service, 1)
        await until_waiting(service, 0)


async def test_the_limits_of_slow_requests_do_not_cut_a_wait(tmp_path: Path) -> None:
    limits = Limits(head=1, idle=1, window=1, tick=0.1)
    async with serve_within(limits, tmp_path, **SLOW) as service:
        ann = service.user()
        ann.http.headers["Connection"] = "close"  # or a kept one may end while it is used again
        await ann.connect()
        accepted = await ann.post("/api/sync/start", {}, headers={"Prefer": "wait=3"})
        sync_id = check_accepted(accepted)
        await ann.post(f"/api/sync/cancel/{sync_id}")
        path, tag = await status_and_tag(ann, sync_id)
        answer = await ann.get(path, headers={"If-None-Match": tag, "Prefer": "wait=3"})
        assert answer.status_code == 304


def test_a_wait_ends_before_nginx_gives_up() -> None:
    assert LONGEST < MAX_WAIT == 60, "the default of proxy_read_timeout"


async def test_above_the_limit_of_streams_the_oldest_wait_ends(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="1", **SLOW) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        path, tag = await status_and_tag(ann, sync_id)
        headers = {"If_None_Match": tag, "Prefer": LONG}
        async with waiting(service, ann, "GET", path, **headers) as first:
            second = Answer()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: second.run(ann, "GET", path, **headers))
                assert (await first.arrives()).status_code == 304
                await ann.post(f"/api/sync/cancel/{sync_id}")
                assert (await second.arrives()).status_code == 200


async def test_a_wait_ends_with_its_credential(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        path, tag = await status_and_tag(service.user(), await paused_sync(service, service.user()))
        bearer = f"Bearer {token(exp=time.time() + 1)}"
        headers = {"Authorization": bearer, "If-None-Match": tag, "Prefer": LONG}
        async with service.anonymous(headers=headers, timeout=PATIENCE) as client:
            assert (await client.get(path)).status_code == 304


# A cluster --------------------------------------------------------------------------------------


@pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres")
@pytest.mark.parametrize("redis", [{}, {"REDIS_URL": ""}], ids=["redis", "no-redis"])
async def test_a_request_waits_for_a_sync_that_another_process_runs(
    tmp_path: Path, redis: dict[str, Any]
) -> None:
    source: dict[str, Any] = {"DEMO_PAUSE": "0.05", "DEMO_PAGE": "100", **redis}
    async with serve(tmp_path, ROLE="web", **source) as web, serve(tmp_path, **source) as other:
        ann = web.user()
        await ann.connect()
        answer = await ann.post("/api/sync/start", {}, headers={"Prefer": LONG})
        assert (answer.status_code, read(answer)["status"]) == (200, "complete")
        sync_id = await paused_sync(other, other.user("bob"))
        path, tag = await status_and_tag(web.user("bob"), sync_id)
        headers = {"If_None_Match": tag, "Prefer": LONG}
        async with waiting(web, web.user("bob"), "GET", path, **headers) as changed:
            await other.user("bob").post(f"/api/sync/cancel/{sync_id}")
            assert read(await changed.arrives())["status"] == "cancelled"
