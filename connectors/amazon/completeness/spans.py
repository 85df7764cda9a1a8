"""Days and stretches of days."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
FOREVER = datetime(9999, 12, 31, tzinfo=UTC)


def starts(at: date) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(at, time(), UTC)


def days_from(first: date, last: date) -> Iterator[date]:
    """All days from the first to the last."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def stretches(days: Iterable[date]) -> Iterator[tuple[date, date]]:
    """The first and the last day of each stretch of consecutive days."""
    first = last = None
    for at in sorted(days):
        if first and last and at > last + DAY:
            yield first, last
            first = None
        first, last = first or at, at
    if first and last:
        yield first, last
