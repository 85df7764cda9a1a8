"""Starts a sync over HTTP and shows its progress."""

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import quote

from service.terminal.client import Client, Unreachable

MAX_ATTEMPTS = 20
"""Consecutive attempts without a new event after which the client stops."""
PAUSE = 3.0
"""Seconds between two attempts: the `retry` that the service sends to browsers."""
ENDED = ("complete", "failed", "cancelled", "paused")

Status = dict[str, Any]
Sleep = Callable[[float], object]


def start(
    client: Client, connection: str | None, as_json: bool = False, sleep: Sleep = time.sleep
) -> int:
    """Start a sync, or follow the running one. The exit code is 0 only if the sync completes."""
    body: Status = {"onConflict": "attach"}
    if connection:
        body["connectionId"] = connection
    sync_id = client.post("/api/sync/start", body).get("syncId")
    if not isinstance(sync_id, str):
        raise client.not_this_service()
    return watch(client, sync_id, as_json, sleep)


def watch(client: Client, sync_id: str, as_json: bool = False, sleep: Sleep = time.sleep) -> int:
    """Follow a sync until it ends. The exit code is 0 only if the sync completes. As JSON, each
    status is a line; otherwise there is a progress bar."""
    status: Status = {}
    if as_json:
        for status in _statuses(client, sync_id, sleep):
            print(json.dumps(status, ensure_ascii=False), flush=True)
    else:
        with ProgressBar() as show:
            for status in _statuses(client, sync_id, sleep):
                show(status)
        for warning in status.get("warnings", ()):
            print(f"warning: {warning['message']}")
        print(f"{status.get('status', 'unknown')}: {status.get('message', '')}")
    return 0 if status.get("status") == "complete" else 1


def _statuses(client: Client, sync_id: str, sleep: Sleep) -> Iterator[Status]:
    """Every status of the stream, across reconnects.

    If the first connection fails, raises at once; later failures are retried."""
    last_id = ""
    attempts = 0
    path = f"/api/sse/sync-progress/{quote(sync_id, safe='')}"
    while attempts < MAX_ATTEMPTS:
        headers = {"Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last_id} if last_id else {}
        attempts += 1
        try:
            with client.open(path, None, headers) as lines:
                if lines.status == 204:
                    return
                for event_id, status in _events(lines):
                    last_id, attempts = event_id, 0
                    yield status
                    if status["status"] in ENDED:
                        return
        except Unreachable:
            if not last_id:
                raise
        except (OSError, HTTPException):
            pass  # the connection broke; the next stream starts after the last event
        sleep(PAUSE)
    raise Unreachable(
        f"The stream ended {MAX_ATTEMPTS} times without a new event. Try `watch {sync_id}` later."
    )


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, Status]]:
    event = event_id = ""
    for raw in lines:
        name, _, value = raw.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "event":
            event = value
        elif name == "data" and event not in ("reset", "evicted"):
            yield event_id, json.loads(value)


class ProgressBar:
    """A progress bar if rich is installed; otherwise one line per change."""

    def __enter__(self) -> Callable[[Status], None]:
        try:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError:
            self._rich = None
            return lambda status: print(f"{status['progress']:3}%  {status['message']}")
        columns = [BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()]
        self._rich = Progress(*columns, TextColumn("{task.description}", markup=False))
        self._rich.start()
        bar, task = self._rich, self._rich.add_task("", total=100)
        return lambda status: bar.update(
            task, completed=status["progress"], description=status["message"]
        )

    def __exit__(self, *_: object) -> None:
        if self._rich:
            self._rich.stop()
