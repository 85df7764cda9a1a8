"""Times as Amazon's parameters and records carry them."""

from datetime import UTC, datetime, timedelta

SETTLED = timedelta(minutes=2, seconds=5)
"""Amazon requires every "before" to be over two minutes ago; the rest allows for clock drift."""


def stamp(moment: datetime) -> str:
    """The time as text in UTC, with a Z. The plus sign of an offset would arrive as a space."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: datetime) -> datetime | None:
    """The time in UTC; a time without an offset is already UTC. None if it is out of range."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None
