"""Determines what a reconnecting client has missed, from the id of its last event."""

from enum import Enum, auto

from service.model import Sync


class Resume(Enum):
    """The first thing that a client with a last event receives."""

    #: The client has an older version or none: it receives the current status.
    OLDER = auto()
    #: The client has the newest version: it receives nothing until the next one.
    NEWEST = auto()
    #: Its id is not a version of this sync: it receives `reset`, then the current status.
    UNKNOWN = auto()
    #: The client has seen the end of the sync: it receives nothing.
    OVER = auto()


def resumed_from(last_id: str, sync: Sync) -> Resume:
    """`last_id` is the id of the last event; empty for a client without one."""
    if not last_id:
        return Resume.OLDER
    if not _is_version(last_id, sync):
        return Resume.UNKNOWN
    if int(last_id) < sync.version:
        return Resume.OLDER
    return Resume.NEWEST if sync.live else Resume.OVER


def _is_version(event_id: str, sync: Sync) -> bool:
    """Whether an ID is a version of the sync. After the end, any later ID is also accepted."""
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) < 12):
        return False
    return 1 <= int(event_id) <= sync.version or (not sync.live and int(event_id) > sync.version)
