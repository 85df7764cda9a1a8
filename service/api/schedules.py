"""The runs of a schedule before it is saved."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import parts
from service.schedules import ScheduleRequest, next_runs
from service.wire import connection_shapes, responses
from service.wire.reading import Query, read_query
from service.wire.serialize import time

RUNS = 5


class PreviewQuery(Query, frozen=True):
    """The schedule to preview."""

    #: Five fields, as in a crontab.
    cron: str
    #: The IANA name of the time zone of `cron`.
    timezone: str = "UTC"


async def preview(request: Request) -> Response:
    """Preview the next five runs of a schedule. Nothing is saved."""
    query, now = read_query(request, PreviewQuery), parts(request).clock.now()
    schedule = ScheduleRequest(query.cron, query.timezone).to_schedule(now, "")
    runs = [time(run) for run in next_runs(schedule, now, RUNS)]
    return responses.JSON(connection_shapes.SchedulePreview(next_runs=runs))
