"""The client's types, and the examples of docs/clients.md as they are: a page of another origin, a
React hook in it, and a program for Node."""

import os
import re
import shutil
import subprocess
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
from tests.serving import PATIENCE, serve, token

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
WEB = ROOT / "service/web"
CLIENTS = ROOT / "tests/clients"
WORDS = "document.getElementById('words')"
REASON = "the packages are not installed: make tests/clients/node_modules"
SHORT: Any = {"DEMO_ORDERS": "200", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.1"}
REACT = {
    "react": "react/cjs/react.production.js",
    "react-dom": "react-dom/cjs/react-dom.production.js",
    "react-dom/client": "react-dom/cjs/react-dom-client.production.js",
    "scheduler": "scheduler/cjs/scheduler.production.js",
}
HOOKED = """
<script type="importmap">
{"imports": {"react": "/react", "react-dom/client": "/react-dom/client"}}
</script>
<div id="root"></div>
<script type="module">
  import { createElement, useState } from "react";
  import { createRoot } from "react-dom/client";
  import { createClient } from "./client.js";
  import { useSync } from "./hook.js";

  const getToken = async () => (await fetch("/sync-token")).text();
  const client = createClient({ baseUrl: "https://sync.example.com", getToken });
  const { syncId } = await client.start({ onConflict: "attach" });
  function Shown() {
    const { sync, link, problem } = useSync(client, syncId);
    return createElement("p", { id: "words", title: link }, problem?.detail ?? sync?.status);
  }
  function App() {
    const [open, setOpen] = useState(true);
    window.unmount = () => setOpen(false);
    return open && createElement(Shown);
  }
  createRoot(document.getElementById("root")).render(createElement(App));
</script>
"""


def example(chapter: str) -> str:
    """The code of a chapter of docs/clients.md."""
    text = (ROOT / "docs/clients.md").read_text(encoding="utf-8").partition(f"## {chapter}\n")[2]
    found = re.search(r"```\w+\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    assert found, chapter
    return found[1]


def module(name: str) -> str:
    """A package of React, which has CommonJS only, as a module for browsers."""
    source = (CLIENTS / "node_modules" / REACT[name]).read_text(encoding="utf-8")
    needed = sorted(set(re.findall(r'require\("([^"]+)"\)', source)))
    imports = "".join(f'import m{n} from "/{one}";\n' for n, one in enumerate(needed))
    table = ", ".join(f'"{one}": m{n}' for n, one in enumerate(needed))
    names = {"react": "createElement, useEffect, useState", "react-dom/client": "createRoot"}
    return (
        f"{imports}const module = {{ exports: {{}} }}, exports = module.exports;\n"
        f"const require = (name) => ({{ {table} }})[name];\n{source}\n"
        f"export default exports;\nexport const {{ {names.get(name, '')} }} = exports;\n"
    )


@contextmanager
def application(pages: dict[str, str]) -> Iterator[str]:
    """An application of another origin: its pages and modules. Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            html = self.path in ("/", "/sync-token")
            self.send_header("Content-Type", "text/html" if html else "text/javascript")
            self.end_headers()
            self.wfile.write((body or "").encode())

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


async def until(chrome: Chrome, condition: str) -> None:
    with anyio.fail_after(PATIENCE):
        while not await to_thread.run_sync(chrome.execute_script, f"return {condition}"):
            await anyio.sleep(0.1)


def needs_packages() -> None:
    if not shutil.which("node") or not (CLIENTS / "node_modules").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(REASON)


def test_the_types_are_those_of_the_client() -> None:
    needs_packages()
    compiler = CLIENTS / "node_modules/typescript/bin/tsc"
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"]
    options += ["--noUncheckedIndexedAccess"]
    command = ["node", str(compiler), *options, str(CLIENTS / "types.ts")]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert checked.returncode == 0, checked.stdout
    names = (
        f'import("{WEB / "client.js"}").then((all) => console.log(Object.keys(all.createClient())))'
    )
    there = subprocess.run(["node", "-e", names], capture_output=True, text=True, timeout=PATIENCE)
    types = (WEB / "client.d.ts").read_text(encoding="utf-8")
    declared = types.partition("export interface Client {\n")[2].partition("\n}")[0]
    methods = re.findall(r"^  (\w+)[<(]", declared, re.MULTILINE)
    assert sorted(re.findall(r"\w+", there.stdout)) == sorted(methods)


@pytest.mark.parametrize("chapter", ["In a page", "In React"])
async def test_the_examples_work_in_a_page_of_another_origin(tmp_path: Path, chapter: str) -> None:
    if chapter == "In React":
        needs_packages()
    pages = {"/client.js": (WEB / "client.js").read_text(), "/sync-token": token()}
    with application(pages) as origin, shared_chromium() as chrome:
        async with serve(tmp_path, None, CORS_ORIGINS=origin, **SHORT) as service:
            ann = service.user()
            await ann.connect()
            html = example(chapter)
            if chapter == "In React":
                pages |= {f"/{name}": module(name) for name in REACT}
                pages["/hook.js"], html = html, HOOKED
            assert "https://sync.example.com" in html
            pages["/"] = html.replace("https://sync.example.com", service.url)
            await to_thread.run_sync(chrome.get, origin)
            if chapter == "In React":
                await until(chrome, f"{WORDS}?.textContent === 'complete'")
            else:
                await until(chrome, "words.textContent.startsWith('Claims: ')")
                await until(chrome, "bar.value === 100")
            (sync,) = (await ann.get("/api/sync/history")).json()["syncs"]
            assert sync["status"] == "complete"


async def test_a_component_that_is_removed_ends_its_stream(tmp_path: Path) -> None:
    needs_packages()
    pages = {"/client.js": (WEB / "client.js").read_text(), "/sync-token": token()}
    pages |= {f"/{name}": module(name) for name in REACT} | {"/hook.js": example("In React")}
    endless = {**SHORT, "DEMO_ORDERS": "100000"}
    with application(pages) as origin, shared_chromium() as chrome:
        async with serve(tmp_path, None, CORS_ORIGINS=origin, **endless) as service:
            await service.user().connect()
            pages["/"] = HOOKED.replace("https://sync.example.com", service.url)
            await to_thread.run_sync(chrome.get, origin)
            await until(chrome, f"{WORDS}?.textContent === 'in_progress'")
            await until(chrome, f"{WORDS}.title === 'live'")
            assert service.parts.hub.count == 1
            await to_thread.run_sync(chrome.execute_script, "unmount()")
            with anyio.fail_after(PATIENCE):
                while service.parts.hub.count:
                    await anyio.sleep(0.05)


async def test_the_example_for_node_prints_the_records_and_ends(tmp_path: Path) -> None:
    needs_packages()
    (tmp_path / "client.js").write_text((WEB / "client.js").read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "example.js").write_text(example("In Node"))
    async with serve(tmp_path, None, **SHORT) as service:
        ann = service.user()
        await ann.connect()
        environ = {**os.environ, "SYNC_URL": service.url, "SYNC_TOKEN": token()}
        command = ["node", str(tmp_path / "example.js")]
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(command, env=environ)
        (sync,) = (await ann.get("/api/sync/history")).json()["syncs"]
        assert done.stdout.decode().strip() == str(sync["recordsProcessed"])
