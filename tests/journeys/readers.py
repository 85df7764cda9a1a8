"""Readers of what goes out, as programs of their own that may be killed at any moment.

    python -m tests.journeys.readers feed URL LIVE FILE   # TOKEN; LIVE is long-poll or sse
    python -m tests.journeys.readers hooks PORT FILE      # WEBHOOK_SECRET

Each notes what it has seen as lines in a file: the id and the JSON of an entry. A feed's reader
stores the offset behind them only afterwards, and continues from there when it is started again. A
receiver notes an event before it answers; every FAILURE-th answer says that it has failed. With
DIE_AT=noted:n a reader kills itself when it has noted something for the n-th time."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Any

import httpx
from httpx_sse import connect_sse
from standardwebhooks.webhooks import Webhook

from tests.journeys.countdown import Countdown

FAILURE = 3
SILENCE = 120.0
"""Seconds without an answer after which a feed's reader asks again. (`tests.serving` has such a
number, too, but takes seconds to import.)"""


class Notes:
    """A file of lines, each an id and JSON. A line that a kill has torn is cut off."""

    def __init__(self, path: Path) -> None:
        path.touch()
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
        self._file = path.open("ab", buffering=0)
        self._lock = Lock()
        self._countdown = Countdown(os.environ.get("DIE_AT", ""))

    def add(self, entries: Iterable[tuple[str, Any]]) -> None:
        lines = "".join(f"{id} {json.dumps(entry)}\n" for id, entry in entries)
        with self._lock:
            self._file.write(lines.encode())
            self._countdown.passes("noted")


def seen_ids(path: Path) -> list[str]:
    """The ids in the order in which they came, also of those that came again."""
    return [id for id, _, _ in _lines(path)]


def seen(path: Path) -> list[tuple[str, Any]]:
    """The ids and entries in the order in which they came."""
    return [(id, json.loads(entry)) for id, _, entry in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    if path.exists():
        for line in path.read_text().split("\n")[:-1]:
            yield line.partition(" ")


# A feed -------------------------------------------------------------------------------------------


class FeedReader:
    """Follows a feed, and continues behind what it has noted when it is started again."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._notes = Notes(path)
        self._offset = path.with_suffix(".offset")
        headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
        self._http = httpx.Client(headers=headers, timeout=SILENCE)

    def run(self, live: str) -> None:
        read = {"long-poll": self._poll, "sse": self._stream}[live]
        while True:
            try:
                read({"all": "true", "live": live, "offset": self._position()})
            except httpx.TransportError:
                sleep(0.05)  # the service was killed

    def _position(self) -> str:
        return self._offset.read_text() if self._offset.exists() else "-1"

    def _go_on(self, offset: str) -> None:
        new = self._offset.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._offset)

    def _poll(self, params: Mapping[str, str]) -> None:
        answer = self._http.get(self._url, params=params).raise_for_status()
        if answer.content:
            self._notes.add((entry["id"], entry) for entry in answer.json())
        self._go_on(answer.headers["stream-next-offset"])

    def _stream(self, params: Mapping[str, str]) -> None:
        with connect_sse(self._http, "GET", self._url, params=params) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                if event.event == "data":
                    self._notes.add((entry["id"], entry) for entry in event.json())
                elif event.event == "control":
                    self._go_on(event.json()["streamNextOffset"])


# Webhooks -----------------------------------------------------------------------------------------


def receive(port: int, path: Path) -> None:
    """Receive the events of a webhook."""
    notes, webhook = Notes(path), Webhook(os.environ["WEBHOOK_SECRET"])
    count = 0

    class Receives(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal count
            count += 1
            status = 503 if count % FAILURE == 0 else 204
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            notes.add([(headers["webhook-id"], webhook.verify(body, headers))])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Receives).serve_forever()


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "feed":
        FeedReader(rest[0], Path(rest[2])).run(rest[1])
    else:
        receive(int(rest[0]), Path(rest[1]))
