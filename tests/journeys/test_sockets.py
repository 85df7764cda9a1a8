"""WebSockets through a real nginx with the configuration of `ops/`."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.journeys.nginx import nginx, require_nginx
from tests.service.api.answers import SLOW
from tests.service.api.sockets import bearer, refusal, socket
from tests.serving import Serving, serve, token

pytestmark = pytest.mark.anyio


async def test_a_socket_passes_through_nginx(tmp_path: Path, free_port: Callable[[], int]) -> None:
    require_nginx()
    async with AsyncExitStack() as stack:
        proxied: dict[str, Any] = {"TRUSTED_PROXIES": "127.0.0.1", **SLOW}
        service = await stack.enter_async_context(serve(tmp_path / "service", **proxied))
        proxy = nginx(tmp_path / "nginx", free_port(), [service.url])
        # In a thread: it waits for the service, which runs in this one.
        url = (await anyio.to_thread.run_sync(proxy.__enter__)).url
        try:
            await _check(service, url)
        finally:
            await anyio.to_thread.run_sync(proxy.__exit__, None, None, None)


async def _check(service: Serving, url: str) -> None:
    ann = service.user()
    await ann.connect()
    sync_id = await ann.start()
    behind = Serving(url, service.parts, {})
    cookie = {"Cookie": f"session={token()}"}
    for headers in (bearer(), cookie | {"Origin": url}):
        async with socket(behind, sync_id, headers) as opened:
            assert (await opened.message())["event"] == "progress"
    assert (await refusal(behind, sync_id, {}))[0] == 4401
    assert (await refusal(behind, sync_id, cookie | {"Origin": "http://shop.example"}))[0] == 4403
    assert (await refusal(behind, "sync_x"))[0] == 4404
    async with behind.anonymous(headers=bearer()) as client:
        assert (await client.get("/ws/sync-progress/x")).status_code == 426
        offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
        assert (await client.get("/api/connections", headers=offer)).status_code == 200
    async with socket(behind, sync_id) as opened:
        await opened.message()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert (await opened.rest())[-1]["event"] == "cancelled"
        assert opened.connection.close_code == 1000
