"""WebSockets of a real client: the messages, how a socket continues, and the codes of its end."""

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.registry import Registry
from service.store.engine import Unavailable
from service.streams.hub import LIFETIME, SILENCE
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import SLOW, TINY, paused_sync
from tests.service.api.sockets import HANDSHAKE, PATH, bearer, refusal, socket
from tests.service.api.streams import Reader, data, stream, until_streams
from tests.serving import PATIENCE, Serving, User, serve, token

pytestmark = pytest.mark.anyio

STEADY: dict[str, Any] = {"DEMO_PAUSE": "0.02", "DEMO_PAGE": "20"}
PING = b"\x89\x00"


async def ticket(user: User, sync_id: str) -> str:
    answer = await user.post("/api/sse/ticket", {"syncId": sync_id})
    return str(answer.json()["ticket"])


async def started(service: Serving) -> str:
    await service.user().connect()
    return await service.user().start()


# Messages -----------------------------------------------------------------------------------------


async def test_every_version_is_sent_once_and_in_order_then_1000(tmp_path: Path) -> None:
    async with serve(tmp_path, **STEADY) as service:
        async with socket(service, await started(service)) as opened:
            messages = await opened.rest()
        ids = [int(message["id"]) for message in messages]
        assert ids == list(range(ids[0], ids[-1] + 1)) and len(ids) > 5
        assert [message["data"]["version"] for message in messages] == ids
        assert {message["event"] for message in messages[:-1]} == {"progress"}
        assert messages[-1]["event"] == "complete" and opened.connection.close_code == 1000
        await until_streams(service, 0)


async def test_the_messages_are_the_events_of_the_stream(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        sync_id = await started(service)
        async with stream(ann, sync_id) as blocks, socket(service, sync_id) as opened:
            first = await opened.message()
            await ann.post(f"/api/sync/cancel/{sync_id}")
            messages = {int(m["id"]): m for m in [first, *await opened.rest()]}
            events = {int(b["id"]): b for b in await blocks.rest() if "id" in b}
        common = messages.keys() & events.keys()
        assert max(messages) == max(events) in common
        for version in common:
            assert messages[version]["event"] == events[version]["event"]
            assert messages[version]["data"] == data(events[version])


async def test_a_cancel_is_the_last_message(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with socket(service, sync_id) as opened:
            assert (await opened.message())["event"] == "progress"
            ended = (await service.user().post(f"/api/sync/cancel/{sync_id}")).json()
            last = (await opened.rest())[-1]
        assert (last["event"], last["data"]) == ("cancelled", ended)
        assert opened.connection.close_code == 1000
        await until_streams(service, 0)


async def test_a_pause_is_sent_and_does_not_close_the_socket(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        async with socket(service, sync_id) as opened:
            assert (await opened.message())["event"] == "paused"
            connection = (await ann.status(sync_id))["connectionId"]
            await ann.post(f"/api/connections/{connection}/reconnect", {"refreshToken": "good"})
            assert (await opened.message())["event"] == "progress"


# Return -------------------------------------------------------------------------------------------


async def test_a_client_that_returns_gets_newer_messages_without_gaps_or_duplicates(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, **STEADY) as service:
        sync_id = await started(service)
        ids: list[int] = []
        events: list[str] = []
        while not events or events[-1] != "complete":
            path = f"{sync_id}?lastEventId={ids[-1]}" if ids else sync_id
            async with socket(service, path) as opened:
                for _ in range(3):
                    message = await opened.message()
                    ids.append(int(message["id"]))
                    events.append(message["event"])
                    if message["event"] == "complete":
                        break
        assert ids == sorted(set(ids))
        assert ids[-1] == (await service.user().status(sync_id))["version"]


async def test_the_newest_version_is_not_sent_again(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        with anyio.fail_after(PATIENCE):
            while (await service.user().status(sync_id))["stage"] != "fetching":
                await anyio.sleep(0.01)
        version = (await service.user().status(sync_id))["version"]
        async with socket(service, f"{sync_id}?lastEventId={version}") as opened:
            assert int((await opened.message())["id"]) == version + 1


async def test_a_client_that_has_seen_the_end_is_closed_with_1000_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        await service.user().connect()
        done = await service.user().whole_sync()
        for last_id in (done["version"], done["version"] + 1, 99_999_999_999):
            path = f"{done['syncId']}?lastEventId={last_id}"
            assert await refusal(service, path) == (1000, "")
        assert service.parts.hub.count == 0


async def test_the_socket_of_an_ended_sync_sends_its_end_and_closes(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        await service.user().connect()
        done = await service.user().whole_sync()
        for query in ("", "?lastEventId=", f"?lastEventId={done['version'] - 1}"):
            async with socket(service, done["syncId"] + query) as opened:
                (message,) = await opened.rest()
            assert (message["event"], message["data"]) == ("complete", done)
            assert opened.connection.close_code == 1000


async def test_an_unknown_id_gets_a_reset_and_the_current_state(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        for last in ("x", "0", "-1", "999999", "1" * 50, "undefined"):
            async with socket(service, f"{sync_id}?lastEventId={last}") as opened:
                assert await opened.message() == {"event": "reset", "id": "", "data": {}}
                assert (await opened.message())["event"] == "progress", last


# Identity -----------------------------------------------------------------------------------------


async def test_a_socket_without_a_valid_identity_is_closed_with_4401(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        old = {"Authorization": f"Bearer {token(exp=1)}"}
        invalid: list[dict[str, str]] = [{}, {"Authorization": "Basic x"}, old]
        invalid += [{"Cookie": "session=x", "Origin": service.url}]
        for headers in invalid:
            for path in (sync_id, "sync_x", "/ws/x"):
                code, reason = await refusal(service, path, headers)
                assert code == 4401 and reason, (headers, path)
        code, reason = await refusal(service, f"{sync_id}?ticket=x")
        assert code == 4401 and "POST /api/sse/ticket" in reason
        assert service.parts.hub.count == 0


async def test_the_cookie_opens_a_socket_only_with_the_own_origin(tmp_path: Path) -> None:
    async with serve(tmp_path, CORS_ORIGINS="https://shop.example", **SLOW) as service:
        sync_id = await started(service)
        cookie = {"Cookie": f"session={token()}"}
        async with socket(service, sync_id, cookie | {"Origin": service.url}) as opened:
            assert (await opened.message())["event"] == "progress"
        for origin in ("https://shop.example", "http://127.0.0.1:1", "null", "x"):
            code, reason = await refusal(service, sync_id, cookie | {"Origin": origin})
            assert code == 4403 and "Origin" in reason, origin
        assert (await refusal(service, sync_id, cookie))[0] == 4403
        other = {"Origin": service.url, "Sec-Fetch-Site": "same-site"}
        assert (await refusal(service, sync_id, cookie | other))[0] == 4403


async def test_a_token_and_a_ticket_open_a_socket_from_any_origin(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        origin = {"Origin": "https://shop.example"}
        ticketed = f"{sync_id}?ticket={await ticket(service.user(), sync_id)}"
        for path, headers in ((sync_id, bearer() | origin), (ticketed, origin), (ticketed, {})):
            async with socket(service, path, headers) as opened:
                assert (await opened.message())["event"] == "progress"


async def test_behind_a_proxy_with_tls_the_page_must_use_tls_too(tmp_path: Path) -> None:
    proxied: dict[str, Any] = {"TRUSTED_PROXIES": "127.0.0.1", **SLOW}
    async with serve(tmp_path, **proxied) as service:
        sync_id = await started(service)
        host = service.url.removeprefix("http://")
        for scheme, origin, refused in (
            ("https", f"https://{host}", False),
            ("wss", f"https://{host}", False),
            ("https", f"http://{host}", True),
            ("http", f"http://{host}", False),
        ):
            headers = {"Cookie": f"session={token()}", "Origin": origin}
            headers["X-Forwarded-Proto"] = scheme
            async with socket(service, sync_id, headers) as opened:
                if refused:
                    assert await opened.code() == 4403
                else:
                    assert (await opened.message())["event"] == "progress", scheme


async def test_a_ticket_opens_no_other_socket(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        first, second = await ann.whole_sync(), await ann.whole_sync()
        text = await ticket(ann, first["syncId"])
        assert (await refusal(service, f"{second['syncId']}?ticket={text}", {}))[0] == 4401
        assert (await refusal(service, f"/ws/x?ticket={text}", {}))[0] == 4401


async def test_in_demo_mode_only_pages_of_the_service_open_a_socket(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo", **SLOW) as service:
        sync_id = await started(service)
        for headers in ({}, {"Origin": service.url}):
            async with socket(service, sync_id, headers) as opened:
                assert (await opened.message())["event"] == "progress"
        code, _ = await refusal(service, sync_id, {"Origin": "https://shop.example"})
        assert code == 4403


async def test_an_unknown_sync_and_one_of_another_user_are_closed_with_4404(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        for path, headers in (
            ("sync_x", bearer()),
            ("%00", bearer()),
            (sync_id, bearer("bob")),
            (sync_id, bearer("ann", tenant="other")),
            ("/ws/x", bearer()),
            (f"{PATH}{sync_id}/", bearer()),
        ):
            code, reason = await refusal(service, path, headers)
            assert code == 4404 and reason, path
        assert service.parts.hub.count == 0


async def test_a_long_token_opens_a_socket(tmp_path: Path) -> None:
    """Its header is longer than the parsers of WebSocket libraries accept."""
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        headers = {"X-Long": "a" * 20_000, **{f"X-{number}": "a" for number in range(200)}}
        async with socket(service, sync_id, bearer(more="x" * 5_000) | headers) as opened:
            assert (await opened.message())["event"] == "progress"


# The end ------------------------------------------------------------------------------------------


async def test_a_socket_ends_with_its_credential(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        sync_id = await started(service)
        short = bearer(exp=time.time() + 60)
        async with service.anonymous(headers=short) as client:
            ticketed = f"{sync_id}?ticket={await ticket(User(client), sync_id)}"
        async with (
            socket(service, sync_id, short) as first,
            socket(service, ticketed, {}) as second,
            socket(service, sync_id) as third,
        ):
            await until_streams(service, 3)
            clock.advance(60)
            for opened in (first, second):
                await opened.rest()
                assert opened.connection.close_code == 4408
            await until_streams(service, 1)
            assert (await third.message())["event"] == "progress"


async def test_a_socket_ends_after_its_lifetime(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        async with socket(service, await started(service)) as opened:
            await until_streams(service, 1)
            clock.advance(LIFETIME.total_seconds() * 1.1)
            await opened.rest()
        assert (opened.connection.close_code, opened.reason) == (4408, "connect again")


async def test_streams_and_sockets_count_together_and_the_oldest_is_evicted(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="2", **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob")
        sync_id = await started(service)
        async with stream(bob, "/api/sse/syncs") as other, socket(service, sync_id) as first:
            assert await other.block() == {"retry": "3000"}
            await first.message()
            async with stream(ann, sync_id) as second, stream(ann, sync_id) as third:
                await third.event()
                await first.rest()
                assert first.connection.close_code == 4429 and "too many" in first.reason
                async with socket(service, sync_id) as fourth:
                    await fourth.message()
                    assert (await second.rest())[-1]["event"] == "evicted"
                    assert service.parts.hub.count == 3
                    await ann.post(f"/api/sync/cancel/{sync_id}")
                    assert (await fourth.rest())[-1]["event"] == "cancelled"
                    assert (await third.rest())[-1]["event"] == "cancelled"


async def test_when_the_hub_closes_every_socket_ends_with_1012(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(socket(service, sync_id)) for _ in range(60)]
            await until_streams(service, 60)
            await service.parts.hub.close(0.2)
            for one in opened:
                await one.rest()
                assert one.connection.close_code == 1012
        async with socket(service, sync_id) as late:  # it opened during the shutdown
            await late.rest()
        assert late.connection.close_code == 1012


async def test_a_server_that_stops_closes_its_sockets_with_1012(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those whose clients do not read do not delay it."""
    async with AsyncExitStack() as stack:
        async with serve(tmp_path, **SLOW) as service:
            sync_id = await started(service)
            opened = [await stack.enter_async_context(socket(service, sync_id)) for _ in range(5)]
            for _ in range(5):
                await stack.enter_async_context(Reader(service, PATH + sync_id, more=HANDSHAKE))
            await until_streams(service, 10)
        for one in opened:
            await one.rest()
            assert one.connection.close_code == 1012
    assert not [r for r in caplog.records if "timeout" in r.getMessage()]


async def test_a_socket_that_cannot_be_served_now_is_closed_with_1013(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: object, *_: object) -> None:
        raise Unavailable("away")

    async with serve(tmp_path, MAX_REQUESTS_PER_MINUTE="3", **SLOW) as service:
        sync_id = await started(service)
        async with socket(service, sync_id):
            code, reason = await refusal(service, sync_id)
        assert code == 1013 and "Try again in" in reason
        monkeypatch.setattr(Registry, "get", away)
        code, reason = await refusal(service, sync_id, bearer("bob"))
        assert code == 1013 and reason == "Database unavailable. Try again in 5 s."


async def test_an_unexpected_error_closes_with_1011_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: object, *_: object) -> None:
        raise RuntimeError("a secret")

    async with serve(tmp_path, **SLOW) as service:
        sync_id = await started(service)
        monkeypatch.setattr(Registry, "get", broken)
        assert await refusal(service, sync_id) == (1011, "")
        assert [r for r in caplog.records if r.getMessage() == "socket_failed" and r.exc_info]


# Silence ------------------------------------------------------------------------------------------


async def test_a_ping_is_sent_after_a_period_of_silence(tmp_path: Path) -> None:
    """Also if the client sends messages and pongs: only the service's own count."""
    clock = AdvancingClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        sync_id = await paused_sync(service, ann)
        async with Reader(service, PATH + sync_id, more=HANDSHAKE) as reader:
            await reader.until(b'"event":"paused"')
            for number in range(1, 4):
                await reader.send(b"\x81\x82\0\0\0\0hi\x8a\x80\0\0\0\0")
                clock.advance(SILENCE.total_seconds())
                await reader.until(PING * number)
            assert reader.read.endswith(PING * 3)
            clock.advance(LIFETIME.total_seconds() * 1.1)
            await reader.until(b"\x88\x0f" + (4408).to_bytes(2, "big"))
