"""Start, watch, cancel and resume a sync."""

import hashlib
import re
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.errors import Invalid
from service.model import Options, Status, Sync
from service.starting import StartRequest
from service.store.syncs import Key
from service.wire import responses, serialize
from service.wire.reading import In, Moment, in_utc, read_body


class StartIn(In, frozen=True):
    """The body of a start. Everything may be left out."""

    connection_id: str | None = None
    datasets: tuple[str, ...] | None = None
    since: Moment | None = None
    until: Moment | None = None
    dry_run: bool = False
    overwrite: bool = False
    allow_mass_delete: bool = False
    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 0
    items: Literal["failed", "all"] | None = None
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
        """The same for bodies that ask for the same, however they are written."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


_START_WORDS = dict.fromkeys((Status.PENDING, Status.IN_PROGRESS), "Sync started successfully")
"""Of what was started or runs already; a repeated Idempotency-Key may mean one that has ended."""


def _key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one. Raises Invalid for what cannot be one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise Invalid.field("Idempotency-Key", "Must be 1 to 255 visible ASCII characters.")
    return key


async def start(request: Request) -> Response:
    """Start a sync. The answer comes at once, the sync goes on by itself."""
    who, key = actor(request), _key(request)
    body = await read_body(request, StartIn, StartIn())
    sync = await parts(request).starter.start(who, body.request(key))
    return _accepted(sync, _START_WORDS.get(sync.status, f"This sync is {sync.status}"))


async def status(request: Request) -> Response:
    """One sync, from memory. If-None-Match with the version that is known spares the rest."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    return _status(request, sync, f'"{sync.version}"')


async def current(request: Request) -> Response:
    """The live sync, or the newest."""
    sync = await parts(request).registry.current(actor(request))
    return _status(request, sync, f'"{sync.id}.{sync.version}"')  # it may be another one next time


async def cancel(request: Request) -> Response:
    """End a sync at once, also while it sleeps for a quota. What was landed stays."""
    sync = await parts(request).registry.cancel(actor(request), request.path_params["sync_id"])
    return responses.JSON(parts(request).encoder.status(sync))


async def resume(request: Request) -> Response:
    """Let a paused, failed or cancelled sync go on from its checkpoints."""
    sync = await parts(request).registry.resume(actor(request), request.path_params["sync_id"])
    return _accepted(sync, "Sync goes on")


def _accepted(sync: Sync, message: str) -> Response:
    told = serialize.started(sync, sync.pause_notice if sync.status is Status.PAUSED else message)
    return responses.JSON(told, status_code=202, headers={"Location": told.status_url})


def _status(request: Request, sync: Sync, tag: str) -> Response:
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match")
    tags = [each.strip().removeprefix("W/") for each in known.split(",")] if known else []
    if tag in tags or "*" in tags:
        return Response(status_code=304, headers=headers)
    return responses.JSON(parts(request).encoder.status(sync), headers=headers)
