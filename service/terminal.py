"""The terminal client: starts a sync over HTTP and shows its progress."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import quote

from service.errors import ServiceError

TIMEOUT = 60.0
"""Seconds without a byte after which a stream counts as broken: the service sends a comment every
15 seconds."""
MAX_ATTEMPTS = 20
"""Consecutive attempts without a new event after which the client stops."""
PAUSE = 3.0
"""Seconds between two attempts: the `retry` that the service sends to browsers."""
ENDED = ("complete", "failed", "cancelled", "paused")

Status = dict[str, Any]
Sleep = Callable[[float], object]


class Unreachable(ServiceError):
    """The service is unreachable. Check its URL and whether it is running."""


def start(url: str, token: str, connection: str | None, sleep: Sleep = time.sleep) -> int:
    """Start a sync, or follow the running one. The exit code is 0 only if the sync completes."""
    body: Status = {"onConflict": "attach"}
    if connection:
        body["connectionId"] = connection
    with _open(url, token, "/api/sync/start", json.dumps(body).encode()) as response:
        try:
            sync_id = json.load(response)["syncId"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"The server at {url} is not this service. Check the URL.") from error
    return watch(url, token, sync_id, sleep)


def watch(url: str, token: str, sync_id: str, sleep: Sleep = time.sleep) -> int:
    """Follow a sync until it ends. The exit code is 0 only if the sync completes."""
    with ProgressBar() as show:
        status: Status = {}
        for status in _statuses(url, token, sync_id, sleep):
            show(status)
    for warning in status.get("warnings", ()):
        print(f"warning: {warning['message']}")
    print(f"{status.get('status', 'unknown')}: {status.get('message', '')}")
    return 0 if status.get("status") == "complete" else 1


def _statuses(url: str, token: str, sync_id: str, sleep: Sleep) -> Iterator[Status]:
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
            with _open(url, token, path, None, headers) as lines:
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


def _open(
    url: str, token: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
) -> Any:
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"{url} is not an http(s) URL. Check --url.")
    request = urllib.request.Request(url.rstrip("/") + path, data=body, headers=headers or {})  # noqa: S310
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - http(s), see above
    except urllib.error.HTTPError as error:
        raise ServiceError(_detail(error)) from error
    except ValueError as error:  # its text may contain the token
        raise Unreachable(
            "The URL or the token contains characters that are not valid. Check both."
        ) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{url} is unreachable: {reason}. Is the service running?") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return cast(str, json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The service responded with status {error.code}."


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
