"""Pages of other origins, under the strictest Content-Security-Policy that a document names."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODULES = Path(__file__).parents[1] / "clients/node_modules"
REACT = {
    "react": "react/cjs/react.production.js",
    "scheduler": "scheduler/cjs/scheduler.production.js",
    "react-dom": "react-dom/cjs/react-dom.production.js",
    "react-dom/client": "react-dom/cjs/react-dom-client.production.js",
}
HTML = """<!doctype html>
<html lang="{lang}"><head><meta charset="utf-8"><title>A shop</title></head>
<body><main><h1>A shop</h1><div id="app"></div>{body}</main></body></html>"""
KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript", "json": "application/json"}


def react() -> str:
    """What pages use of React, as one module: it comes as CommonJS only."""
    bodies = ",".join(
        f"{json.dumps(name)}(module, exports, require) {{{(MODULES / path).read_text()}\n}}"
        for name, path in REACT.items()
    )
    return f"""const bodies = {{{bodies}}};
const made = {{}};
function require(name) {{
  if (!made[name]) {{
    const module = (made[name] = {{ exports: {{}} }});
    bodies[name](module, module.exports, require);
  }}
  return made[name].exports;
}}
export const {{ createElement, useState }} = require("react");
export const {{ createRoot }} = require("react-dom/client");"""


def vue() -> str:
    return (MODULES / "vue/dist/vue.runtime.esm-browser.prod.js").read_text()


class Host:
    """A server of a page. `files` are its files by path, also the token of its user (`/token`)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, str] = {}
        self.policy = ""
        #: The headers of the page, besides the policy.
        self.headers: Mapping[str, str] = {}
        #: How often a token was asked for.
        self.tokens = 0

    def page(self, script: str, body: str = "", lang: str = "en") -> None:
        self.files["/"] = HTML.format(body=body, lang=lang)
        self.files["/page.js"] = script


@contextmanager
def host() -> Iterator[Host]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = served.files.get(self.path)
            served.tokens += self.path == "/token"
            kind = "js" if self.path.endswith(".js") else "json" if "token" in self.path else "html"
            sent = (body or "").encode()
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", KINDS[kind])
            self.send_header("Content-Length", str(len(sent)))
            self.send_header("Content-Security-Policy", served.policy)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Host(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
