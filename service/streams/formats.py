"""The formats in which the hub writes to a stream: Server-Sent Events, or messages of a
WebSocket."""

from enum import Enum, auto
from random import Random
from typing import Protocol

import msgspec
from starlette.types import Message

from service.model import Sync
from service.wire import frames, serialize
from service.wire.frames import CloseCode, close

RETRY = 3000
"""Milliseconds after which a client reconnects."""
EVICTED_RETRY = 60_000
EVICTED = "too many streams of this user"


class End(Enum):
    """The reason why the hub ends a stream."""

    #: The stream has sent the end of its sync.
    ENDED = auto()
    #: The credential has expired, or the stream has reached its maximum age.
    EXPIRED = auto()
    #: The user has opened too many newer streams.
    EVICTED = auto()
    #: The service is shutting down.
    SHUTDOWN = auto()


class Format(Protocol):
    """Creates the messages for the server's `send`."""

    #: Sent on an idle connection to keep it open.
    idle: Message

    def event(self, sync: Sync, status: bytes, with_id: bool) -> Message:
        """A version of a sync. `status` is its status as JSON."""

    def end(self, reason: End) -> Message:
        """The last message."""


class Blocks:
    """Server-Sent Events."""

    def __init__(self) -> None:
        self.idle = _body(b":\n\n")
        self._random = Random()  # noqa: S311 - jitter, not secrecy

    def event(self, sync: Sync, status: bytes, with_id: bool) -> Message:
        return _body(serialize.event(sync, status, with_id))

    def end(self, reason: End) -> Message:
        """The last block. An eviction is sent as an event, since an EventSource does not reconnect
        after a status other than 200. At shutdown, a random `retry` spreads the reconnects."""
        block = b""
        if reason is End.EVICTED:
            data = msgspec.json.encode({"reason": EVICTED}).decode()
            block = serialize.block(event="evicted", data=data, retry=EVICTED_RETRY)
        elif reason is End.SHUTDOWN:
            block = serialize.block(retry=self._random.randint(RETRY // 3, RETRY * 2))
        return _body(block, more=False)


class Messages:
    """JSON messages of a WebSocket. The code of the close frame tells why the stream ended."""

    def __init__(self) -> None:
        self.idle = frames.PING
        self._ends = {
            End.ENDED: close(CloseCode.ENDED),
            End.EXPIRED: close(CloseCode.EXPIRED, "connect again"),
            End.EVICTED: close(CloseCode.EVICTED, EVICTED),
            End.SHUTDOWN: close(CloseCode.SHUTDOWN, "connect again"),
        }

    def event(self, sync: Sync, status: bytes, with_id: bool = True) -> Message:
        return self.message(sync.event, str(sync.version), status)

    def message(self, event: str, event_id: str, data: bytes) -> Message:
        head = f'{{"event":"{event}","id":"{event_id}","data":'
        return frames.text(head.encode() + data + b"}")

    def end(self, reason: End) -> Message:
        return self._ends[reason]


def _body(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


BLOCKS = Blocks()
MESSAGES = Messages()
