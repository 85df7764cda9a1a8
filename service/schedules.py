"""When syncs start by themselves: cron expressions in a time zone. No I/O."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from service.errors import Invalid
from service.store.connections import Schedule

LONGEST = 100


class WantedSchedule(msgspec.Struct, frozen=True):
    """What a user asks for: five fields of cron, and the name of a time zone of the IANA."""

    cron: str
    timezone: str = "UTC"

    def begun(self, now: datetime, plan: str) -> Schedule:
        """Raises Invalid naming the field that is wrong."""
        if len(self.cron.split()) != 5 or len(self.cron) > LONGEST:
            raise Invalid.field("cron", "Must have five fields, like `0 2 * * *` (daily at 02:00).")
        if _zone(self.timezone) is None:
            raise Invalid.field("timezone", "Must be a time zone's name, like Europe/Berlin.")
        try:
            return next_run(Schedule(self.cron, self.timezone, now, plan), now)
        except (CronSimError, StopIteration) as error:
            text = f"Not a cron expression that ever comes true ({error})."
            raise Invalid.field("cron", text) from error


def next_run(schedule: Schedule, now: datetime) -> Schedule:
    """The same, with the first time after now: runs that were missed are not made up one by one."""
    here = now.astimezone(_zone(schedule.timezone) or UTC)
    coming: datetime = next(CronSim(schedule.cron, here))
    return msgspec.structs.replace(schedule, next=coming.astimezone(UTC))


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # no such name, a path, a folder of zones
        return None
