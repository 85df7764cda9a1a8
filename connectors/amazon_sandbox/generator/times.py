"""Moments in seconds since 1970, as days and as text."""

from datetime import UTC, date, datetime

HOUR = 3_600
DAY = 24 * HOUR


def day(seconds: float) -> date:
    """The UTC day of a moment."""
    return datetime.fromtimestamp(int(seconds), UTC).date()


def timestamp(seconds: float) -> str:
    """A moment as the API writes it: UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
