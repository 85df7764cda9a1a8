"""Many streams at once, slow clients, and clients that disconnect."""

import gc
from pathlib import Path
from typing import Any

import anyio
import pytest

from service.streams.hub import Stream
from tests.service.api.answers import SLOW, connection_to
from tests.service.api.streams import ENDED, Reader, request, stream, until_streams
from tests.serving import PATIENCE, serve

pytestmark = pytest.mark.anyio


async def test_a_stalled_client_delays_no_other_and_gets_the_newest_event(tmp_path: Path) -> None:
    many: dict[str, Any] = {"DEMO_ORDERS": "4000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.001"}
    async with serve(tmp_path, **many) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        path = f"/api/sse/sync-progress/{sync_id}"
        async with Reader(service, path) as stalled, Reader(service, "/api/sse/syncs") as other:
            await until_streams(service, 2)
            async with stream(ann, sync_id) as reading:
                seen = [block for block in await reading.rest(25) if "id" in block]
            assert seen[-1]["event"] == "complete"
            await stalled.until(ENDED)
            await other.until(b"event: complete")
        assert stalled.read.count(b"event: complete") == 1
        ids = [int(line[4:]) for line in stalled.read.splitlines() if line.startswith(b"id: ")]
        assert ids == sorted(set(ids)) and ids[-1] == int(seen[-1]["id"])
        assert len(ids) < int(seen[-1]["id"]) / 2, "events were buffered instead of conflated"
        await until_streams(service, 0)


async def test_five_hundred_streams_all_see_the_end(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="500", **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        tails: list[bytes] = []

        async def follow() -> None:
            tail = b""
            async with connection_to(service) as raw:
                await raw.send(request(f"/api/sse/sync-progress/{sync_id}"))
                while not tail.endswith(ENDED):
                    tail = tail[-4000:] + await raw.receive()
            tails.append(tail)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for _ in range(500):
                    group.start_soon(follow)
                await until_streams(service, 500, 15)
                await ann.post(f"/api/sync/cancel/{sync_id}")
        assert len(tails) == 500
        assert all(b"event: cancelled" in tail for tail in tails)
        await until_streams(service, 0)


async def test_streams_of_disconnected_clients_are_removed(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        for path in (f"/api/sse/sync-progress/{sync_id}", "/api/sse/syncs"):
            for bytes_read in (0, 1):
                for _ in range(10):
                    async with connection_to(service) as raw:
                        await raw.send(request(path))
                        if bytes_read:
                            await raw.receive()
        await until_streams(service, 0)
        hub = service.parts.hub
        assert hub._by_sync == {} and hub._by_user == {}


def _open_streams() -> set[int]:
    return {id(item) for item in gc.get_objects() if isinstance(item, Stream)}


async def test_a_closed_stream_is_freed_at_once(tmp_path: Path) -> None:
    """This holds without garbage collection, before which 2,000 streams would occupy 12 MB."""
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        gc.collect()
        gc.disable()
        earlier = _open_streams()
        try:
            for _ in range(3):
                async with stream(ann, sync_id) as opened:
                    await opened.event()
            with anyio.fail_after(PATIENCE):
                while _open_streams() - earlier:
                    await anyio.sleep(0.01)
        finally:
            gc.enable()
