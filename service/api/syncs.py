"""Start, show, cancel and resume a sync."""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.api.waiting import applied, preferred_wait, wait_until
from service.errors import Invalid
from service.model import Options, Status, Sync
from service.starting import StartRequest
from service.store.syncs import Key
from service.wire import responses, serialize
from service.wire.reading import In, Moment, in_utc, read_body


class StartIn(In, frozen=True):
    """The data that a sync reads, and how it reads. Every field is optional."""

    #: Required if the user has several connections.
    connection_id: str | None = None
    #: Names of the datasets to read; all of them by default.
    datasets: tuple[str, ...] | None = None
    since: Moment | None = None
    until: Moment | None = None
    #: Read and count, but store no records.
    dry_run: bool = False
    #: Read everything, and delete the records that the source no longer has.
    overwrite: bool = False
    #: Let `overwrite` delete more than a tenth of a dataset.
    allow_mass_delete: bool = False
    #: The order among the waiting syncs of the tenant, highest first.
    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 0
    #: Records whose outcome the history lists. The operator sets the default.
    items: Literal["failed", "all"] | None = None
    #: What to do if a sync is running: fail, or return that sync.
    on_conflict: Literal["reject", "attach"] = "reject"

    def request(self, key: str | None) -> StartRequest:
        since = in_utc(self.since, "since") if self.since else None
        until = in_utc(self.until, "until") if self.until else None
        if since and until and since >= until:
            raise Invalid.field("since", "Must be before until.")
        return StartRequest(
            connection_id=self.connection_id,
            options=Options(
                datasets=self.datasets,
                since=since,
                until=until,
                dry_run=self.dry_run,
                overwrite=self.overwrite,
                allow_mass_delete=self.allow_mass_delete,
                priority=self.priority,
                items=self.items or "",
            ),
            attach=self.on_conflict == "attach",
            key=None if key is None else Key(key, self._digest()),
        )

    def _digest(self) -> str:
        """A hash of the values, independent of the formatting of the body."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


# A repeated Idempotency-Key may return a sync that has ended.
_START_MESSAGES = dict.fromkeys((Status.PENDING, Status.IN_PROGRESS), "Sync started successfully")


def _key(request: Request) -> str | None:
    """The Idempotency-Key, if the request has one. Raises Invalid for a malformed one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise Invalid.field("Idempotency-Key", "Must be 1 to 255 visible ASCII characters.")
    return key


async def start(request: Request) -> Response:
    """Start a sync. The response is sent at once; the sync runs in the background. With `Prefer:
    wait=N`, the response is sent when the sync has ended or paused (200), or after N seconds."""
    caller, key = actor(request), _key(request)
    body = await read_body(request, StartIn, StartIn())
    sync = await parts(request).starter.start(caller, body.request(key))
    seconds = preferred_wait(request)
    if seconds is None:
        return _started(sync)
    sync = await wait_until(_rests, request, sync.id, seconds)
    return applied(_finished(request, sync) if _rests(sync) else _started(sync), seconds)


async def status(request: Request) -> Response:
    """Get the status of a sync. With If-None-Match, returns 304 if it has not changed. With
    `Prefer: wait=N` in addition, the response is sent when it has changed, or after N seconds."""
    registry, sync_id = parts(request).registry, request.path_params["sync_id"]
    known, seconds = _known_tags(request), preferred_wait(request)
    if seconds is None or not known or "*" in known:
        sync = await registry.get(actor(request), sync_id)
        return _status(request, sync, _tag(sync))
    sync = await wait_until(lambda sync: _tag(sync) not in known, request, sync_id, seconds)
    return applied(_status(request, sync, _tag(sync)), seconds)


async def current(request: Request) -> Response:
    """Get the status of the user's live sync, or of the newest one if none is live."""
    sync = await parts(request).registry.current(actor(request))
    # With the id, since a later current sync may have the same version.
    return _status(request, sync, f'"{sync.id}.{sync.version}"')


async def cancel(request: Request) -> Response:
    """Cancel a sync. It ends at once, even while it waits for a quota; stored records are kept."""
    sync = await parts(request).registry.cancel(actor(request), request.path_params["sync_id"])
    return responses.JSON(parts(request).encoder.status(sync))


async def resume(request: Request) -> Response:
    """Resume a paused, failed or cancelled sync from its checkpoints."""
    sync = await parts(request).registry.resume(actor(request), request.path_params["sync_id"])
    return _accepted(sync, "Sync resumed")


def _rests(sync: Sync) -> bool:
    """Whether the sync has ended, or waits for its user."""
    return sync.status not in _START_MESSAGES


def _started(sync: Sync) -> Response:
    return _accepted(sync, _START_MESSAGES.get(sync.status, f"This sync is {sync.status}"))


def _finished(request: Request, sync: Sync) -> Response:
    headers = {"Location": serialize.started(sync, "").status_url}
    return responses.JSON(parts(request).encoder.status(sync), headers=headers)


def _accepted(sync: Sync, message: str) -> Response:
    body = serialize.started(sync, sync.pause_notice if sync.status is Status.PAUSED else message)
    return responses.JSON(body, status_code=202, headers={"Location": body.status_url})


def _tag(sync: Sync) -> str:
    return f'"{sync.version}"'


def _known_tags(request: Request) -> Sequence[str]:
    """The ETags of If-None-Match."""
    header = request.headers.get("if-none-match", "")
    return [tag for part in header.split(",") if (tag := part.strip().removeprefix("W/"))]


def _status(request: Request, sync: Sync, tag: str) -> Response:
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = _known_tags(request)
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return responses.JSON(parts(request).encoder.status(sync), headers=headers)
