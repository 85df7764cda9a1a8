"""Every hostile answer of every operation costs at most one dataset, without a traceback or a hang.

Each case is a seller of its own: all sellers of one operation sync beside honest ones. The suite
draws some of the cases; HOSTILE=all (`make hostile`) runs all of them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from connectors import calls, http
from connectors.amazon_sandbox import environ
from tests.databases import ON_POSTGRES
from tests.hostile.answers import ANSWERS
from tests.hostile.api import Case, hostile_api
from tests.hostile.honest import OPERATIONS, RECORDS, US
from tests.service.clocks import FastClock
from tests.serving import ENDED, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

#: How many answers of each operation the suite tries: a number, or `all`.
DRAWN = os.environ.get("HOSTILE", "4" if ON_POSTGRES else "8")
SPEED = 1000.0
#: Honest sellers beside the hostile ones.
HONEST = 2
#: Seconds of real time in which every sync of one operation ends.
BOUND = 900.0
#: Answers that give every record the same id, so that they count as one record.
ONE_ID = ("the same text everywhere", "text that is markup", "text that is a formula")
#: Such answers of single operations. A table has no types: all its cells become "null", or 12. The
#: half of the document of returns ends within its last cell, which nobody can tell from its end.
ONE_RECORD = {("download", name) for name in ("null in every field", "numbers for text")} | {
    ("download", "half of the body")
}
#: Warnings of an account without that inventory, and of a report without rows.
SAYS_THAT_IT_IS_EMPTY = ("do not use Fulfillment", "has no rows", "because there is no data")
CONNECTING = ("token", "getMarketplaceParticipations")
REFUSALS = (409, 422, 502, 503)


class Outcome(msgspec.Struct, frozen=True):
    """The result of one seller: the refusal of its connection, or its ended sync."""

    refused: Json | None = None
    sync: Json | None = None

    def datasets(self) -> Mapping[str, Json]:
        assert self.sync
        return {item["name"]: item for item in self.sync["datasets"] if item["name"] != "claims"}


def _drawn(operation: str) -> list[str]:
    names = list(ANSWERS)
    if DRAWN == "all":
        return names
    return sorted(Random(operation).sample(names, min(int(DRAWN), len(names))))


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call, or a piece of a document, may take two seconds of real time instead of sixty."""
    for module, name, seconds in (
        (calls, "DEADLINE", 2.0),
        (calls, "SLOW", 0.5),
        (http, "TIMEOUT", 2.0),
        (http, "PIECE_SECONDS", 2.0),
    ):
        monkeypatch.setattr(module, name, seconds)


@contextmanager
def _no_errors_logged() -> Iterator[None]:
    """Fails if an error or a traceback is logged."""
    with capture_logs() as logged:
        yield
    errors = [entry for entry in logged if entry["log_level"] in ("error", "critical")]
    assert not errors, errors[:5]


@pytest.mark.timeout(BOUND + 60)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_hostile_answer_costs_one_dataset_at_most(operation: str, tmp_path: Path) -> None:
    cases = {
        f"seller-{number}": Case(operation, name, ANSWERS[name])
        for number, name in enumerate(_drawn(operation))
    }
    honest = [f"honest-{number}" for number in range(HONEST)]
    outcomes: dict[str, Outcome] = {}
    with _no_errors_logged():
        async with (
            hostile_api(cases) as api,
            serve(tmp_path, FastClock(SPEED), **environ(api.address)) as service,
        ):
            with anyio.move_on_after(BOUND):
                async with anyio.create_task_group() as group:
                    for seller in (*cases, *honest):
                        group.start_soon(_one, service, seller, outcomes)
    wrong = {seller: _wrong("", outcomes.get(seller)) for seller in honest}
    wrong |= {
        case.name: _wrong(operation, outcomes.get(seller), _least(operation, case.name))
        for seller, case in cases.items()
    }
    assert not {seller: why for seller, why in wrong.items() if why}


async def _one(service: Serving, seller: str, outcomes: dict[str, Outcome]) -> None:
    """Connect a seller and sync it to its end."""
    user = service.user(seller, tenant=seller)
    user.http.timeout = httpx.Timeout(BOUND)
    body = {
        "connector": "amazon",
        "region": "NA",
        "environment": "production",
        "marketplaceIds": [US],
        "refreshToken": f"Atzr|{seller}",
        "skipHistoricalSync": True,
    }
    connected = await user.post("/api/connections", body)
    if connected.status_code != 201:
        outcomes[seller] = Outcome(refused=read(connected))
        return
    outcomes[seller] = Outcome(sync=await _ended(user))


async def _ended(user: User) -> Json:
    """A sync at its end. One request waits for it: polls would cost more than the sync."""
    answer = await user.post("/api/sync/start", {}, headers={"Prefer": "wait=60"})
    while read(answer)["status"] not in ENDED:
        await anyio.sleep(0.5)
        answer = await user.get("/api/sync/status")
    return read(answer)


def _least(operation: str, answer: str) -> int:
    """The fewest records of a dataset that is complete after this answer."""
    return 1 if answer in ONE_ID or (operation, answer) in ONE_RECORD else RECORDS


def _wrong(operation: str, outcome: Outcome | None, records: int = RECORDS) -> str:
    """Why an outcome is not acceptable; empty if it is. A dataset must have `records` at least."""
    if outcome is None:
        return "has not ended"
    if outcome.refused:
        return _wrongly_refused(operation, outcome.refused)
    sync = outcome.sync
    assert sync
    if "internal" in str(sync["error"]) + str(sync["warnings"]):
        return f"an internal error: {sync['error']} {sync['warnings']}"
    if sync["status"] != "complete":
        return _wrongly_ended(operation, sync)
    lost = [name for name, item in outcome.datasets().items() if item["status"] != "complete"]
    if [name for name in lost if name != OPERATIONS.get(operation)]:
        return f"more was lost than {OPERATIONS.get(operation)}: {lost}"
    if lost and not sync["warnings"]:
        return f"{lost} is lost without a warning"
    silent = [
        name
        for name, item in outcome.datasets().items()
        if item["status"] == "complete" and item["processed"] < records and not item["failed"]
    ]
    if len(silent) == 1 and any(text in str(sync["warnings"]) for text in SAYS_THAT_IT_IS_EMPTY):
        return ""
    return f"{silent} is complete without its records" if silent else ""


def _wrongly_refused(operation: str, problem: Json) -> str:
    if operation not in CONNECTING or problem["status"] not in REFUSALS:
        return f"refused: {problem}"
    return "" if problem["detail"] else "refused without a detail"


def _wrongly_ended(operation: str, sync: Json) -> str:
    """A sync may fail only if it cannot be known which account is connected."""
    if operation not in CONNECTING and not _connection_lost(sync):
        return f"{sync['status']}: {sync['error']}"
    return "" if sync["error"]["message"] else f"{sync['status']} without a message"


def _connection_lost(sync: Json) -> bool:
    """Amazon said that the connection was revoked, which affects every call."""
    error: dict[str, Any] = sync["error"] or {}
    return error.get("code") == "connection_lost"
