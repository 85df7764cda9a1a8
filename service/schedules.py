"""When scheduled syncs start: cron expressions in a time zone. No I/O."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from service.errors import Invalid
from service.store.connections import Schedule

#: Characters of a cron expression.
LONGEST = 100


class ScheduleRequest(msgspec.Struct, frozen=True):
    """A schedule that a user requests."""

    #: A cron expression of five fields.
    cron: str
    #: The name of an IANA time zone.
    timezone: str = "UTC"
    enabled: bool = True

    def to_schedule(self, now: datetime, plan: str) -> Schedule:
        """The schedule with its first run after `now`; a disabled one has none. Raises Invalid,
        which names the field."""
        if len(self.cron.split()) != 5 or len(self.cron) > LONGEST:
            raise Invalid.field("cron", "Must have five fields, like `0 2 * * *` (daily at 02:00).")
        if _zone(self.timezone) is None:
            text = "Must be the name of a time zone, like Europe/Berlin."
            raise Invalid.field("timezone", text)
        try:
            schedule = Schedule(self.cron, self.timezone, None, plan)
            first = next_run(schedule, now)
        except (CronSimError, StopIteration) as error:
            text = f"Must be a valid cron expression that matches some date ({error})."
            raise Invalid.field("cron", text) from error
        return msgspec.structs.replace(schedule, next=first) if self.enabled else schedule


def next_run(schedule: Schedule, now: datetime) -> datetime:
    """The first time after `now` that the cron expression matches, in UTC."""
    return next(_times(schedule, now))


def next_runs(schedule: Schedule, now: datetime, count: int = 2) -> Sequence[datetime]:
    """The next runs in UTC, none of a disabled schedule. The first may have been postponed."""
    if schedule.next is None:
        return ()
    return [schedule.next, *islice(_times(schedule, max(now, schedule.next)), count - 1)]


def twice_missed(schedule: Schedule, last: datetime) -> datetime:
    """The time when two runs after `last` were missed and twice the interval of the schedule has
    passed. The intervals of a schedule may differ: a schedule for weekdays misses no run at the
    weekend."""
    first, second, third = islice(_times(schedule, last), 3)
    return max(second, last + (third - first))


def _times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    local = after.astimezone(_zone(schedule.timezone) or UTC)
    return (run.astimezone(UTC) for run in CronSim(schedule.cron, local))


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # an unknown name, a path, a folder of zones
        return None
