"""A sync in the terminal: start it, follow its stream with a progress bar. A plain HTTP client."""

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
"""Seconds of silence that a stream may have: the service sends a comment every 15."""
RECONNECTS = 20
"""How often in a row the stream may end without having told anything new."""
PAUSE = 3.0
"""Seconds before the stream is opened again: what the service itself asks of a browser."""
ENDED = ("complete", "failed", "cancelled", "paused")

Status = dict[str, Any]


class Unreachable(ServiceError):
    """The service cannot be reached."""


def start(url: str, token: str, connection: str | None) -> int:
    """Start a sync (or follow the one that runs); the exit code, 0 only if it became complete."""
    body: Status = {"onConflict": "attach"}
    if connection:
        body["connectionId"] = connection
    with _open(url, token, "/api/sync/start", json.dumps(body).encode()) as answer:
        try:
            sync_id = json.load(answer)["syncId"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"What answers at {url} is not this service.") from error
    return watch(url, token, sync_id)


def watch(url: str, token: str, sync_id: str) -> int:
    """Follow a sync to its end; the exit code."""
    with _bar() as show:
        last: Status = {}
        for last in _statuses(url, token, sync_id):
            show(last)
    for warning in last.get("warnings", ()):
        print(f"warning: {warning}")
    print(f"{last.get('status', 'unknown')}: {last.get('message', '')}")
    return 0 if last.get("status") == "complete" else 1


def _statuses(url: str, token: str, sync_id: str) -> Iterator[Status]:
    """Every status that the stream tells, across reconnects.

    A service that cannot be reached at all is an error at once; one that was is waited for."""
    last = ""
    vain = 0
    while vain < RECONNECTS:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        path = f"/api/sse/sync-progress/{quote(sync_id, safe='')}"
        vain += 1
        try:
            with _open(url, token, path, None, headers) as lines:
                if lines.status == 204:
                    return
                for number, status in _events(lines):
                    last, vain = number, 0
                    yield status
                    if status["status"] in ENDED:
                        return
        except Unreachable:
            if not last:
                raise
        except (OSError, HTTPException):
            pass  # broken off; the next stream begins where this one ended
        time.sleep(PAUSE)
    raise Unreachable(f"The stream broke off {RECONNECTS} times. Try `watch {sync_id}` later.")


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, Status]]:
    event = number = ""
    for raw in lines:
        name, _, value = raw.decode().rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            number = value
        elif name == "event":
            event = value
        elif name == "data" and event not in ("reset", "evicted"):
            yield number, json.loads(value)


def _open(
    url: str, token: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
) -> Any:
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"{url} is not an http address.")
    request = urllib.request.Request(url.rstrip("/") + path, data=body, headers=headers or {})  # noqa: S310
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - http(s), see above
    except urllib.error.HTTPError as error:
        raise ServiceError(_detail(error)) from error
    except ValueError as error:  # its words may hold the token
        raise Unreachable("The address or the token holds what cannot be sent.") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{url} cannot be reached: {reason}.") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return cast(str, json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The service answered {error.code}."


class _bar:
    """A rich progress bar where rich is installed, else a line for each change."""

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
