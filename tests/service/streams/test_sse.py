"""Streams over a real connection: how they start, which events they send, how they end."""

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.edge.token_claims import LEEWAY
from service.streams.hub import LIFETIME, SILENCE
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import SLOW, TINY, paused_sync, problem
from tests.service.api.streams import (
    data,
    stream,
    until_streams,
)
from tests.serving import PATIENCE, serve, token

pytestmark = pytest.mark.anyio

STEADY: dict[str, Any] = {"DEMO_PAUSE": "0.02", "DEMO_PAGE": "20"}


# Start of a stream --------------------------------------------------------------------------------


async def test_a_stream_starts_with_retry_and_the_current_state(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 0)
        async with stream(ann, sync_id) as opened:
            headers = opened.answer.headers
            assert headers["content-type"].startswith("text/event-stream")
            assert headers["cache-control"] == "no-store"
            assert headers["x-accel-buffering"] == "no"
            assert "content-encoding" not in headers and "etag" not in headers
            assert await opened.block() == {"retry": "3000"}
            block = await opened.block()
            assert block is not None and list(block) == ["id", "event", "data"]
            assert block["event"] == "progress"
            status = data(block)
            assert (status["syncId"], str(status["version"])) == (sync_id, block["id"])


async def test_a_stream_is_not_compressed_even_on_request(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        async with stream(ann, await ann.start(), Accept_Encoding="gzip, br") as opened:
            assert "content-encoding" not in opened.answer.headers
            assert await opened.block() == {"retry": "3000"}


async def test_every_version_is_sent_once_and_in_order(tmp_path: Path) -> None:
    async with serve(tmp_path, **STEADY) as service:
        ann = service.user()
        await ann.connect()
        async with stream(ann, await ann.start()) as opened:
            blocks = [block for block in await opened.rest() if "event" in block]
        ids = [int(block["id"]) for block in blocks]
        assert ids == list(range(ids[0], ids[-1] + 1)) and len(ids) > 5
        assert [data(block)["version"] for block in blocks] == ids
        assert {block["event"] for block in blocks[:-1]} == {"progress"}
        assert blocks[-1]["event"] == "complete" and data(blocks[-1])["progress"] == 100


async def test_a_client_that_reconnects_gets_newer_events_without_gaps_or_duplicates(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **STEADY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        ids: list[int] = []
        while True:
            last = {"Last_Event_ID": str(ids[-1])} if ids else {}
            async with stream(ann, sync_id, **last) as opened:
                if opened.answer.status_code == 204:
                    break
                for _ in range(3):
                    if (block := await opened.block()) is not None and "id" in block:
                        ids.append(int(block["id"]))
        assert ids == sorted(set(ids))
        assert ids[-1] == (await ann.status(sync_id))["version"]


async def test_the_newest_version_is_not_sent_again(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        with anyio.fail_after(PATIENCE):
            while (await ann.status(sync_id))["stage"] != "fetching":
                await anyio.sleep(0.01)
        version = (await ann.status(sync_id))["version"]
        async with stream(ann, sync_id, Last_Event_ID=str(version)) as opened:
            assert await opened.block() == {"retry": "3000"}
            assert int((await opened.event())["id"]) == version + 1


async def test_a_client_that_has_seen_the_end_gets_204(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        path = f"/api/sse/sync-progress/{done['syncId']}"
        for last_id in (done["version"], done["version"] + 1, 99_999_999_999):
            answer = await ann.get(path, headers={"Last-Event-ID": str(last_id)})
            assert (answer.status_code, answer.content) == (204, b"")
            answer = await ann.get(path, params={"lastEventId": str(last_id)})
            assert answer.status_code == 204
        assert service.parts.hub.count == 0


async def test_the_stream_of_an_ended_sync_sends_its_end_and_closes(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        for last in ({}, {"Last_Event_ID": str(done["version"] - 1)}):
            async with stream(ann, done["syncId"], **last) as opened:
                retry, block = await opened.rest()
            assert retry == {"retry": "3000"}
            assert block["event"] == "complete" and data(block) == done


async def test_an_unknown_id_gets_a_reset_and_the_current_state(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        path = f"/api/sse/sync-progress/{await ann.start()}?lastEventId="
        for last in ("x", "0", "-1", "1e1", "999999", "٣", "1" * 50, "1.5", "null"):
            async with stream(ann, path + last) as opened:
                assert await opened.block() == {"retry": "3000"}
                assert await opened.block() == {"event": "reset", "data": "{}"}
                assert (await opened.event())["event"] == "progress", last


async def test_the_header_takes_precedence_over_the_query(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        path = f"/api/sse/sync-progress/{done['syncId']}"
        async with stream(ann, f"{path}?lastEventId=1", Last_Event_ID="999") as opened:
            assert opened.answer.status_code == 204
        async with stream(ann, f"{path}?lastEventId=999", Last_Event_ID="1") as opened:
            assert opened.answer.status_code == 200


async def test_a_client_that_saw_the_end_gets_events_after_a_resume(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        version = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()["version"]
        await ann.post(f"/api/sync/resume/{sync_id}")
        async with stream(ann, sync_id, Last_Event_ID=str(version)) as opened:
            event = await opened.event()
            assert event["event"] == "progress" and int(event["id"]) > version


async def test_head_of_a_stream_returns_at_once_and_opens_no_stream(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="1", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        async with stream(ann, sync_id) as opened:
            await opened.event()
            for path in (f"/api/sse/sync-progress/{sync_id}", "/api/sse/syncs"):
                answer = await ann.http.head(path, timeout=PATIENCE)
                assert (answer.status_code, answer.content) == (200, b"")
                assert answer.headers["content-type"].startswith("text/event-stream")
            assert service.parts.hub.count == 1
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert (await opened.rest())[-1]["event"] == "cancelled"


async def test_error_responses_of_a_stream_are_problems(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        sync_id = await ann.start()
        path = f"/api/sse/sync-progress/{sync_id}"
        events = {"Accept": "text/event-stream"}
        problem(await bob.get(path, headers=events), 404, "not_found")
        async with service.anonymous() as client:
            for private in (path, "/api/sse/syncs"):
                problem(await client.get(private, headers=events), 401, "unauthenticated")
        problem(await ann.get("/api/sse/sync-progress/x", headers=events), 404, "not_found")
        assert service.parts.hub.count == 0


# End of a stream ----------------------------------------------------------------------------------


async def test_a_terminal_event_ends_the_stream(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        async with stream(ann, sync_id) as opened:
            await opened.event()
            ended = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()
            last = (await opened.rest())[-1]
        assert (last["event"], data(last)) == ("cancelled", ended)
        await until_streams(service, 0)


async def test_a_failed_sync_sends_its_error(tmp_path: Path) -> None:
    async with serve(tmp_path, SYNC_TIMEOUT="0.3", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        async with stream(ann, await ann.start()) as opened:
            last = (await opened.rest())[-1]
        assert (last["event"], data(last)["error"]["code"]) == ("failed", "timeout")


async def test_a_pause_is_sent_and_does_not_end_the_stream(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        async with stream(ann, sync_id) as opened:
            assert (await opened.event())["event"] == "paused"
            connection = (await ann.status(sync_id))["connectionId"]
            again = {"refreshToken": "good"}
            await ann.post(f"/api/connections/{connection}/reconnect", again)
            assert (await opened.event())["event"] == "progress"


async def test_a_stream_ends_with_its_credential(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        await service.user().connect()
        sync_id = await service.user().start()
        headers = {"Authorization": f"Bearer {token(exp=time.time() + 60)}"}
        async with service.anonymous(headers=headers) as client:
            async with client.stream("GET", f"/api/sse/sync-progress/{sync_id}") as answer:
                await until_streams(service, 1)
                clock.advance(60)
                with anyio.fail_after(PATIENCE):
                    text = "".join([chunk async for chunk in answer.aiter_text()])
            assert text.startswith("retry: 3000\n\n") and text.endswith("\n\n")
            clock.advance(LEEWAY)
            problem(await client.get("/api/sse/syncs"), 401, "unauthenticated")


async def test_a_stream_ends_after_its_lifetime(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        for path in (sync_id, "/api/sse/syncs"):
            async with stream(ann, path) as opened:
                await until_streams(service, 1)
                clock.advance(LIFETIME.total_seconds() * 1.1)
                assert (await opened.rest())[0] == {"retry": "3000"}
            await until_streams(service, 0)


async def test_a_comment_is_sent_after_a_period_of_silence(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        ann = service.user()
        async with stream(ann, "/api/sse/syncs") as opened:
            assert await opened.block() == {"retry": "3000"}
            for _ in range(2):
                clock.advance(SILENCE.total_seconds())
                assert await opened.block() == {"": ""}


async def test_a_stream_above_the_limit_evicts_the_oldest_by_an_event(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="2", **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        sync_id = await ann.start()
        async with (
            stream(bob, "/api/sse/syncs") as other,
            stream(ann, sync_id) as first,
            stream(ann, "/api/sse/syncs") as second,
        ):
            for opened in (other, first, second):
                assert await opened.block() == {"retry": "3000"}
            async with stream(ann, sync_id) as third:
                await third.event()
                last = (await first.rest())[-1]
                assert (last["event"], last["retry"]) == ("evicted", "60000")
                assert "id" not in last  # the client must continue from its last ID
                assert service.parts.hub.count == 3
                await ann.post(f"/api/sync/cancel/{sync_id}")
                assert (await third.rest())[-1]["event"] == "cancelled"
            with anyio.fail_after(PATIENCE):
                while (await second.event())["event"] != "cancelled":
                    pass
        await until_streams(service, 0)


async def test_when_the_hub_closes_every_stream_ends_in_order(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        async with AsyncExitStack() as stack:
            paths = [sync_id, "/api/sse/syncs"] * 40
            opened = [await stack.enter_async_context(stream(ann, path)) for path in paths]
            await service.parts.hub.close(0.2)
            retries = [int((await one.rest())[-1]["retry"]) for one in opened]
        assert len(set(retries)) > 40 and 1000 <= min(retries) <= max(retries) <= 6000
        await until_streams(service, 0)
        async with stream(ann, sync_id) as late:  # it opened during the shutdown
            assert "retry" in (await late.rest())[-1]


# All syncs of a user ------------------------------------------------------------------------------


async def test_one_stream_sends_all_syncs_of_its_user_and_no_others(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        await bob.connect()
        first = await ann.start()
        await ann.post(f"/api/sync/cancel/{first}")
        second = await ann.start()
        other = await bob.start()
        async with stream(ann, "/api/sse/syncs") as opened:
            assert opened.answer.headers["cache-control"] == "no-store"
            assert await opened.block() == {"retry": "3000"}
            shown = [await opened.event(), await opened.event()]
            assert [(block["event"], data(block)["syncId"]) for block in shown] == [
                ("cancelled", first),
                ("progress", second),
            ]
            await bob.post(f"/api/sync/cancel/{other}")
            await ann.post(f"/api/sync/cancel/{second}")
            events: list[dict[str, str]] = []
            while not events or events[-1]["event"] != "cancelled":
                events.append(await opened.event())
            third = await ann.start()  # the end of a sync does not end this stream
            events.append(await opened.event())
            assert data(events[-1])["syncId"] == third
            assert all("id" not in event for event in [*shown, *events])
            assert other not in {data(event)["syncId"] for event in events}
