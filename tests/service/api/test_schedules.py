"""The preview of a schedule."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cases import each
from tests.service.api.answers import problem
from tests.serving import Serving, read, serve

pytestmark = pytest.mark.anyio

PREVIEW = "/api/schedules/preview"


async def test_the_next_five_runs_are_previewed_in_the_time_zone(service: Serving) -> None:
    query = {"cron": "30 6 * * 1-5", "timezone": "Europe/Berlin"}
    runs = read(await service.user().get(PREVIEW, params=query))["nextRuns"]
    times = [datetime.fromisoformat(run) for run in runs]
    assert len(times) == 5 and times == sorted(times)
    assert all(
        time.weekday() < 5 and (time.hour, time.minute) in ((4, 30), (5, 30)) for time in times
    )


async def test_a_preview_shows_the_runs_that_the_saved_schedule_has(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        schedule = {"cron": "0 */6 * * *", "timezone": "UTC"}
        path = f"/api/connections/{connection}/schedule"
        preview = read(await ann.get(PREVIEW, params=schedule))["nextRuns"]
        saved = read(await ann.http.put(path, json=schedule))["schedule"]["nextRuns"]
        shift = datetime.fromisoformat(saved[0]) - datetime.fromisoformat(preview[0])
        assert shift in (timedelta(0), timedelta(hours=6)), "the hour may end in between"
        assert len(saved) == 2 and (shift or saved == preview[:2])


@each(
    "query, field",
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 2 * *"}, "cron"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "timezone"),
        ({"cron": "0 2 * * *", "zone": "UTC"}, "zone"),
        ({}, "cron"),
    ],
)
async def test_a_schedule_that_is_not_valid_is_refused_by_field(
    service: Serving, query: dict[str, str], field: str
) -> None:
    answer = await service.user().get(PREVIEW, params=query)
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == field
