"""A start returns a new sync or that of its idempotency key, or is refused; also in a race."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.service.scripted import Script, scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number:02}" for number in range(30)))
    script.set_records("stock", "sku-1", "sku-2")
    return script


@pytest.fixture
async def service(tmp_path: Path, script: Script) -> AsyncIterator[Serving]:
    """The service over the scripted source."""
    async with serve(tmp_path) as serving:
        yield serving


async def connect_user(service: Serving) -> User:
    ann = service.user()
    await ann.connect()
    return ann


# Idempotency keys ------------------------------------------------------------------------------


async def start(user: User, key: str, **body: object) -> Json:
    answer = await user.post("/api/sync/start", body, headers={"Idempotency-Key": key})
    assert answer.status_code == 202, answer.text
    return read(answer)


async def test_the_same_key_starts_one_sync_also_after_its_end(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    first = await start(ann, "k-1")
    assert (await start(ann, "k-1")) == first
    await ann.until(first["syncId"])
    assert (await start(ann, "k-1"))["syncId"] == first["syncId"]
    assert (await start(ann, "k-2"))["syncId"] != first["syncId"]


async def test_a_key_cannot_be_reused_for_another_request(service: Serving, script: Script) -> None:
    ann = await connect_user(service)
    await ann.until((await start(ann, "k", datasets=["orders"]))["syncId"])
    headers = {"Idempotency-Key": "k"}
    answer = await ann.post("/api/sync/start", {"datasets": ["stock"]}, headers=headers)
    problem(answer, 422, "idempotency_key_reused")
    bob = service.user("bob")
    await bob.connect()
    assert (await start(bob, "k", datasets=["stock"]))["syncId"], "keys are separate for each user"


async def test_a_hundred_starts_at_once_with_one_key_start_one_sync(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    ids: list[str] = []

    async def start_with_key() -> None:
        ids.append((await start(ann, "k"))["syncId"])

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(start_with_key)
    assert len(set(ids)) == 1 and len(ids) == 100


async def test_a_start_returns_the_sync_that_its_key_started_meanwhile(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second start uses the key after the first start has found it unused."""
    ann = await connect_user(service)
    script.gates["orders"] = anyio.Event()
    used_key, looked_up, started = service.parts.store.used_key, anyio.Event(), anyio.Event()

    async def used_key_slowly(user: str, key: str, at: datetime) -> tuple[str, str] | None:
        used = await used_key(user, key, at)
        if not looked_up.is_set():
            looked_up.set()
            await started.wait()
        return used

    monkeypatch.setattr(service.parts.store, "used_key", used_key_slowly)
    late: list[str] = []

    async def start_late() -> None:
        late.append((await start(ann, "k"))["syncId"])

    async with anyio.create_task_group() as group:
        group.start_soon(start_late)
        await looked_up.wait()
        first = (await start(ann, "k"))["syncId"]
        started.set()
    assert late == [first]
    script.gates["orders"].set()


async def test_a_key_returns_the_sync_that_it_was_attached_to(
    tmp_path: Path, script: Script
) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = await connect_user(service)
        first = await start(ann, "k")
        await ann.until(first["syncId"])
        clock.jump(timedelta(hours=25))
        script.gates["orders"] = anyio.Event()
        running = await ann.start()
        for key in ("k", "new"):  # the first one has expired
            attached = await start(ann, key, onConflict="attach")
            assert attached["syncId"] == running
        headers = {"Idempotency-Key": "new"}
        answer = await ann.post("/api/sync/start", {"dryRun": True}, headers=headers)
        problem(answer, 422, "idempotency_key_reused")
        script.gates["orders"].set()
        await ann.until(running)
        for key in ("k", "new"):
            assert (await start(ann, key, onConflict="attach"))["syncId"] == running
        assert read(await ann.get("/api/sync/history"))["total"] == 2


async def test_a_key_expires_after_a_day(tmp_path: Path, script: Script) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = await connect_user(service)
        first = await start(ann, "k")
        await ann.until(first["syncId"])
        clock.jump(timedelta(hours=23))
        assert (await start(ann, "k"))["syncId"] == first["syncId"]
        clock.jump(timedelta(hours=2))
        assert (await start(ann, "k"))["syncId"] != first["syncId"]


async def test_a_refused_start_does_not_use_its_key(service: Serving, script: Script) -> None:
    ann = service.user()
    headers = {"Idempotency-Key": "k"}
    problem(await ann.post("/api/sync/start", {}, headers=headers), 409, "not_connected")
    await ann.connect()
    assert (await ann.post("/api/sync/start", {}, headers=headers)).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_an_invalid_key_is_refused(service: Serving, script: Script, key: str) -> None:
    ann = await connect_user(service)
    answer = await ann.post("/api/sync/start", {}, headers={"Idempotency-Key": key})
    problem(answer, 422, "invalid")
    assert read(await ann.get("/api/sync/history"))["total"] == 0


# Races -----------------------------------------------------------------------------------------


def before_next(
    monkeypatch: pytest.MonkeyPatch, store: Any, name: str, act: Callable[[], Awaitable[None]]
) -> None:
    """Call `act` once, just before the next call of this method of the store."""
    method = getattr(store, name)

    async def delayed(*args: Any) -> Any:
        monkeypatch.setattr(store, name, method)
        await act()
        return await method(*args)

    monkeypatch.setattr(store, name, delayed)


async def test_a_start_that_loses_a_race_is_refused_with_the_winner(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await connect_user(service)
    script.gates["orders"] = anyio.Event()
    winners: list[str] = []

    async def other_start() -> None:
        winners.append(await ann.start())

    before_next(monkeypatch, service.parts.store, "create", other_start)
    refusal = problem(await ann.post("/api/sync/start", {}), 409, "sync_already_running")
    assert [refusal["syncId"]] == winners
    assert read(await ann.get("/api/sync/history"))["total"] == 1


async def test_an_attach_that_loses_a_race_returns_the_winner_and_keeps_its_key(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await connect_user(service)
    script.gates["orders"] = anyio.Event()
    winners: list[str] = []

    async def other_start() -> None:
        winners.append(await ann.start())

    before_next(monkeypatch, service.parts.store, "create", other_start)
    attached = await start(ann, "k", onConflict="attach")
    assert [attached["syncId"]] == winners
    script.gates["orders"].set()
    await ann.until(attached["syncId"])
    assert (await start(ann, "k", onConflict="attach"))["syncId"] == attached["syncId"]


async def test_a_start_whose_key_starts_a_sync_in_a_race_returns_that_sync(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await connect_user(service)
    script.gates["orders"] = anyio.Event()
    winners: list[str] = []

    async def same_start() -> None:
        winners.append((await start(ann, "k"))["syncId"])

    before_next(monkeypatch, service.parts.store, "create", same_start)
    assert [(await start(ann, "k"))["syncId"]] == winners
    assert read(await ann.get("/api/sync/history"))["total"] == 1


async def test_an_attach_whose_key_is_used_for_another_request_in_a_race_is_refused(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await connect_user(service)
    script.gates["orders"] = anyio.Event()
    await ann.start()

    async def other_attach() -> None:
        await start(ann, "k", onConflict="attach", dryRun=True)

    before_next(monkeypatch, service.parts.store, "keep_key", other_attach)
    headers = {"Idempotency-Key": "k"}
    answer = await ann.post("/api/sync/start", {"onConflict": "attach"}, headers=headers)
    problem(answer, 422, "idempotency_key_reused")


async def test_a_start_that_loses_a_race_to_a_sync_that_has_ended_may_be_repeated(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await connect_user(service)

    async def other_sync() -> None:
        await ann.whole_sync()

    before_next(monkeypatch, service.parts.store, "create", other_sync)
    problem(await ann.post("/api/sync/start", {}), 409, "overtaken")
    assert (await ann.whole_sync())["status"] == "complete"
