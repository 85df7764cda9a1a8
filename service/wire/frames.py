"""The frames that the service sends on a WebSocket, and the codes of its end (RFC 6455)."""

from enum import IntEnum

from starlette.types import Message
from websockets.frames import Frame, Opcode

from service.errors import ServiceError

FRAME = "service.frame"
"""The type of a message with an encoded frame, for any number of sockets. ASGI has none for this,
and none for a ping."""

MAX_REASON = 123
"""Bytes of the reason in a close frame."""


class CloseCode(IntEnum):
    """The reason why the service closes a WebSocket."""

    #: The sync has ended. Do not connect again.
    ENDED = 1000
    #: The client has sent too much.
    TOO_LARGE = 1009
    #: The service failed. The cause is in its log.
    FAILED = 1011
    #: The service stops. Connect again at once.
    SHUTDOWN = 1012
    #: The service is busy. Connect again later.
    TRY_LATER = 1013
    #: No identity, or an invalid credential.
    UNAUTHENTICATED = 4401
    #: A page of another origin has sent the cookie.
    FORBIDDEN = 4403
    #: The user has no such sync.
    UNKNOWN = 4404
    #: The credential has expired, or the socket has reached its maximum age. Connect again.
    EXPIRED = 4408
    #: The user has too many streams and sockets. Connect again later.
    EVICTED = 4429


CODES = {
    401: CloseCode.UNAUTHENTICATED,
    403: CloseCode.FORBIDDEN,
    404: CloseCode.UNKNOWN,
    429: CloseCode.TRY_LATER,
    503: CloseCode.TRY_LATER,
}
"""The codes of errors, by their HTTP status. Others are FAILED."""


def _frame(opcode: Opcode, data: bytes) -> Message:
    return {"type": FRAME, "frame": Frame(opcode, data).serialize(mask=False)}


PING = _frame(Opcode.PING, b"")


def text(data: bytes) -> Message:
    """A message that sends a text, encoded as UTF-8."""
    return _frame(Opcode.TEXT, data)


def close(code: CloseCode, reason: str = "") -> Message:
    """A message that closes a socket. A reason that is too long is cut."""
    encoded = reason.encode()
    if len(encoded) > MAX_REASON:
        reason = encoded[: MAX_REASON - len("…".encode())].decode(errors="ignore") + "…"
    return {"type": "websocket.close", "code": code, "reason": reason}


def close_for(error: ServiceError) -> Message:
    """A message that closes a socket for an error. A close frame has no Retry-After."""
    seconds = error.headers.get("Retry-After")
    reason = f"{error.title}. Try again in {seconds} s." if seconds else error.detail
    return close(CODES.get(error.status, CloseCode.FAILED), reason)
