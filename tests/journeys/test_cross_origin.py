"""A page of another origin in a real browser: what it may do and what is refused."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from selenium.webdriver import Chrome

from tests.journeys.browser import shared_chromium
from tests.serving import PATIENCE, Serving, serve, token

pytestmark = pytest.mark.anyio

ASK = """
const [url, token, done] = arguments;
const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
const call = (path, body) =>
  fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
(async () => {
  const started = await call('/api/sync/start', {});
  const { syncId, streamUrl } = await started.json();
  const { ticket } = await (await call('/api/sse/ticket', { syncId })).json();
  const refused = await fetch(url + '/api/connections');
  const seen = [];
  const source = new EventSource(`${url}${streamUrl}?ticket=${ticket}`);
  for (const kind of ['progress', 'complete'])
    source.addEventListener(kind, event => seen.push([kind, JSON.parse(event.data).version]));
  await new Promise(ended => source.addEventListener('complete', ended));
  source.close();
  return { location: started.headers.get('Location'), refused: refused.status, seen };
})().then(done, error => done(String(error)));
"""


@contextmanager
def page() -> Iterator[str]:
    """An empty page on another port, which is another origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def asked(service: Serving, chrome: Chrome, origin: str) -> Any:
    await to_thread.run_sync(chrome.get, origin)
    with anyio.fail_after(PATIENCE):
        return await to_thread.run_sync(chrome.execute_async_script, ASK, service.url, token())


async def test_a_page_whose_origin_is_allowed_starts_a_sync_and_follows_it(tmp_path: Path) -> None:
    with page() as origin, shared_chromium() as chrome:
        quick: Any = {"DEMO_PAUSE": "0.1", "DEMO_PAGE": "50"}
        async with serve(tmp_path, CORS_ORIGINS=origin, **quick) as service:
            await service.user().connect()
            result = await asked(service, chrome, origin)
        assert result["location"].startswith("/api/sync/status/sync_")
        assert result["refused"] == 401, "the page can read an error"
        versions = [version for _, version in result["seen"]]
        assert versions == sorted(set(versions)) and len(versions) > 2
        assert result["seen"][-1][0] == "complete"


async def test_a_page_of_any_other_origin_cannot_send_a_request(tmp_path: Path) -> None:
    with page() as origin, shared_chromium() as chrome:
        async with serve(tmp_path, CORS_ORIGINS="https://app.example") as service:
            ann = service.user()
            await ann.connect()
            assert "Failed to fetch" in await asked(service, chrome, origin)
            assert (await ann.get("/api/sync/history")).json()["syncs"] == []
