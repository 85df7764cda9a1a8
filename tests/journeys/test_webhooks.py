"""Webhooks of whole processes: kills between a commit and what follows, a cluster, and receivers in
other languages, which run the snippets of `docs/webhooks.md`."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from tests.databases import ON_POSTGRES
from tests.journeys.process import Died, Process, dying_service, free_port, service, worker
from tests.service.hooks import receivers
from tests.service.hooks.receivers import HOOKS_SETTINGS, Received, Receiver, receiving
from tests.serving import ENDED, PATIENCE, Json, User, serve, token

pytestmark = pytest.mark.anyio

CLIENTS = Path(__file__).parents[1] / "clients"
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
SETTINGS: dict[str, Any] = {
    **HOOKS_SETTINGS,
    **{"WEBHOOKS_SCHEDULE": ",".join(["0.5"] * 20), "DEMO_ORDERS": "20", "DEMO_PAGE": "10"},
}
KILLED_AFTER = (4, 6, 8, 11, 14)
"""The numbers of the writes after whose commit the service is killed."""


@asynccontextmanager
async def ann_of(process: Process) -> AsyncIterator[User]:
    bearer = {"Authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=process.url, headers=bearer, timeout=PATIENCE) as client:
        yield User(client)


async def set_up(process: Process, receiver: Receiver) -> str:
    """Connect an account and create a webhook; returns its secret."""
    async with ann_of(process) as ann:
        await ann.connect()
        answer = await ann.post("/api/webhooks", {"url": receiver.url, "types": ["*"]})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])


async def until_taken(user: User, receiver: Receiver) -> list[Json]:
    """Wait until every event of the feed was taken; returns them."""
    with anyio.fail_after(3 * PATIENCE):  # on PostgreSQL, the claim of a dead process lasts a while
        while True:
            events: list[Json] = (await user.get("/api/events")).json()
            ids = {event["id"] for event in events}
            if events and ids == {request.id for request in receiver.taken}:
                return events
            await anyio.sleep(0.1)


def check_order(receiver: Receiver, events: list[Json]) -> None:
    """Of each sync, the events came first in the order of the feed."""
    expected, seen = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for event in events:
        expected[event["data"].get("syncId", "")].append(event["id"])
    for request in receiver.taken:
        if request.id not in seen[request.sync]:
            seen[request.sync].append(request.id)
    assert seen == expected


# Kills --------------------------------------------------------------------------------------------


async def test_a_kill_while_a_delivery_is_under_way_loses_nothing(tmp_path: Path) -> None:
    port = free_port()
    async with receiving() as receiver:
        receiver.misbehave = receivers.never
        with service(tmp_path, port, **SETTINGS) as process:
            await set_up(process, receiver)
            async with ann_of(process) as ann:
                await ann.whole_sync()
            await receiver.until_asked(1)
            process.kill()
        receiver.misbehave = None
        with service(tmp_path, port, **SETTINGS) as process:
            async with ann_of(process) as ann:
                events = await until_taken(ann, receiver)
        assert [event["type"] for event in events] == ["sync.started", "sync.completed"]
        check_order(receiver, events)


async def test_kills_after_each_commit_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    """The service dies after the writes of a start and its moves, after the one that stores the
    deliveries, after a claim, and before the result of an attempt is stored."""
    port, kills = free_port(), 0
    async with receiving() as receiver:
        with service(tmp_path, port, **SETTINGS) as process:
            await set_up(process, receiver)
        for number in KILLED_AFTER:
            with (
                suppress(Died),
                dying_service(
                    tmp_path, port, DIE_AT=f"after_commit:{number}", **SETTINGS
                ) as process,
            ):
                await sync_until_death(process)
                kills += process.popen.wait() == -signal.SIGKILL
        assert kills > len(KILLED_AFTER) // 2
        with service(tmp_path, port, **SETTINGS) as process:
            async with ann_of(process) as ann:
                await ann.until((await ann.get("/api/sync/status")).json()["syncId"])
                events = await until_taken(ann, receiver)
        assert len(events) >= 2
        check_order(receiver, events)


async def sync_until_death(process: Process) -> None:
    """Sync again and again until the process has died."""
    async with ann_of(process) as ann:
        with anyio.fail_after(PATIENCE):
            while process.popen.poll() is None:
                with suppress(httpx.TransportError):
                    answer = await ann.post("/api/sync/start", {})
                    if answer.status_code == 202:
                        await until_ended(ann, answer.json()["syncId"])
                await anyio.sleep(0.02)


async def until_ended(user: User, sync_id: str) -> None:
    while (await user.status(sync_id))["status"] not in ENDED:
        await anyio.sleep(0.02)


@pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres")
async def test_the_workers_of_a_cluster_deliver_and_take_over_from_one_that_dies(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        with (
            service(tmp_path, free_port(), ROLE="web", **SETTINGS) as web,
            worker(tmp_path, **SETTINGS) as first,
        ):
            await set_up(web, receiver)
            receiver.misbehave = receivers.never
            async with ann_of(web) as ann:
                await ann.whole_sync()
                await receiver.until_asked(1)
                first.kill()
                receiver.misbehave = None
                with worker(tmp_path, **SETTINGS):
                    await ann.whole_sync()
                    check_order(receiver, await until_taken(ann, receiver))


# Other languages ----------------------------------------------------------------------------------


def snippet(language: str, containing: str) -> str:
    """The code of the page in a language."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if containing in block]
    return str(found)


def in_python(secret: str, request: Received) -> bool:
    names: dict[str, Any] = {}
    exec(snippet("python", "Webhook"), names)  # noqa: S102 - our own page
    os.environ["WEBHOOK_SECRET"] = secret
    try:
        assert names["read_event"](request.raw, request.headers) == request.body
        return True
    except names["Webhook"].verify.__globals__["WebhookVerificationError"]:
        return False
    finally:
        del os.environ["WEBHOOK_SECRET"]


def in_javascript(secret: str, request: Received) -> bool:
    if not (shutil.which("node") and (CLIENTS / "node_modules").is_dir()):
        reason = "the clients are not installed: make tests/clients/node_modules"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    code = snippet("js", "Webhook") + (
        'import { readFileSync } from "node:fs";\n'
        "const { body, headers } = JSON.parse(readFileSync(0));\n"
        "try { console.log(JSON.stringify(readEvent(body, headers))); }\n"
        "catch (error) { console.log(error.message); process.exit(9); }\n"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        input=json.dumps({"body": request.raw.decode(), "headers": request.headers}),
        env={**os.environ, "WEBHOOK_SECRET": secret},
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode in (0, 9), done.stderr
    assert done.returncode == 9 or json.loads(done.stdout) == request.body
    return done.returncode == 0


def in_shell(secret: str, request: Received, folder: Path) -> bool:
    (folder / "body.json").write_bytes(request.raw)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name.upper().replace("-", "_"): request.headers[name] for name in names}
    done = subprocess.run(
        ["sh", "-c", snippet("sh", "openssl")],
        env={**os.environ, **headers, "WEBHOOK_SECRET": secret},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) in ((0, "genuine\n"), (1, "refused\n")), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("language", ["python", "javascript", "shell"])
async def test_the_page_verifies_events_in_other_languages_also_after_a_rotation(
    tmp_path: Path, language: str
) -> None:
    async with receiving() as receiver, serve(tmp_path, **SETTINGS) as running:
        ann = running.user()
        body = {"url": receiver.url, "types": ["*"], "description": "Größe"}
        webhook = (await ann.post("/api/webhooks", body)).json()
        path = f"/api/webhooks/{webhook['id']}"
        rotated = (await ann.post(f"{path}/rotate")).json()
        await ann.post(f"{path}/test")
        (taken,) = await receiver.until(1)

    def check(secret: str, request: Received) -> bool:
        if language == "shell":
            return in_shell(secret, request, tmp_path)
        return {"python": in_python, "javascript": in_javascript}[language](secret, request)

    for secret in (webhook["secret"], rotated["secret"]):
        assert await anyio.to_thread.run_sync(check, secret, taken)
    changed = taken._replace(raw=taken.raw.replace(b"webhook.test", b"webhook.fake"))
    assert not await anyio.to_thread.run_sync(check, webhook["secret"], changed)
    other = "whsec_" + "A" * 43 + "="
    assert not await anyio.to_thread.run_sync(check, other, taken)
