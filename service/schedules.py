"""When scheduled syncs start: cron expressions in a time zone. No I/O."""

from datetime import UTC, datetime
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

    def to_schedule(self, now: datetime, plan: str) -> Schedule:
        """The schedule with its first run after `now`. Raises Invalid, which names the field."""
        if len(self.cron.split()) != 5 or len(self.cron) > LONGEST:
            raise Invalid.field("cron", "Must have five fields, like `0 2 * * *` (daily at 02:00).")
        if _zone(self.timezone) is None:
            text = "Must be the name of a time zone, like Europe/Berlin."
            raise Invalid.field("timezone", text)
        try:
            return next_run(Schedule(self.cron, self.timezone, now, plan), now)
        except (CronSimError, StopIteration) as error:
            text = f"Must be a valid cron expression that matches some date ({error})."
            raise Invalid.field("cron", text) from error


def next_run(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule with its first run after `now`; earlier runs are skipped, even missed ones."""
    local = now.astimezone(_zone(schedule.timezone) or UTC)
    run: datetime = next(CronSim(schedule.cron, local))
    return msgspec.structs.replace(schedule, next=run.astimezone(UTC))


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # an unknown name, a path, a folder of zones
        return None
