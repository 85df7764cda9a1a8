"""Processes of a cluster that start before their servers, and before the migration."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import anyio
import httpx
import pytest

import service.backends
from service.errors import StartupError
from service.settings import Settings, read_settings
from service.store.migrations import newest
from tests.databases import ON_POSTGRES
from tests.journeys.process import Process, started
from tests.journeys.test_cluster import start, until_ended
from tests.servers import postgres, program, redis
from tests.serving import KEY, PATIENCE, SECRET, token

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]


@contextmanager
def waiting(command: str, folder: Path, environ: dict[str, str]) -> Iterator[Process]:
    """A process that need not be ready, and waits long for its database."""
    log = folder / f"{command}-{len(list(folder.iterdir()))}.log"
    popen = started([command], log, {**os.environ, **environ}, "tests.journeys.patient")
    try:
        yield Process(f"http://127.0.0.1:{environ['PORT']}", popen, log)
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()


def until_logged(text: str, *processes: Process) -> None:
    until = monotonic() + 120
    for process in processes:
        while text not in process.log:
            assert process.popen.poll() is None and monotonic() < until, process.log
            sleep(0.05)


def until_answered(url: str) -> None:
    until = monotonic() + 120
    while monotonic() < until:
        try:
            assert httpx.get(f"{url}/readyz", timeout=PATIENCE).status_code == 200
            return
        except httpx.ConnectError:  # not accepted, so that a proxy asks another process
            sleep(0.05)
    raise AssertionError(url)


def refusal(settings: Settings) -> str:
    """Why a process with these settings does not start."""

    async def open_and_close() -> None:
        async with service.backends.open_database(settings):
            raise AssertionError("it started")

    with pytest.raises(StartupError) as caught:
        anyio.run(open_and_close)
    return str(caught.value.detail)


def test_web_and_worker_start_before_postgresql_the_migration_and_redis(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("initdb", "redis-server"):
        program(name)  # skips the test if it is missing
    ports = [free_port() for _ in range(3)]
    environ = {
        "AUTH_SECRET": SECRET,
        "CONNECTORS": "amazon,demo",
        "SECRETS_KEYS": KEY,
        "PORT": str(ports[0]),
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{ports[1]}/postgres",
        "REDIS_URL": f"redis://127.0.0.1:{ports[2]}/0",
    }
    settings = read_settings(environ)
    with ExitStack() as stack:
        web = stack.enter_context(waiting("serve", tmp_path, {**environ, "ROLE": "web"}))
        worker, other = (stack.enter_context(waiting("work", tmp_path, environ)) for _ in range(2))
        until_logged("waiting_for_database", web, worker, other)
        assert other.terminate(30) == -signal.SIGTERM, "a signal does not wait for the database"

        stack.enter_context(postgres(ports[1]))
        until_logged("no schema", web, worker)
        monkeypatch.setattr(service.backends, "PATIENCE", 0.3)
        assert "python -m service migrate" in refusal(settings)
        migrate = stack.enter_context(waiting("migrate", tmp_path, environ))
        assert migrate.popen.wait(240) == 0, migrate.log
        assert f"schema {newest()}" in migrate.log

        until_answered(web.url)
        until_logged('"working"', worker)
        until_logged("redis_away", web, worker)
        stack.enter_context(redis(port=ports[2]))
        until_logged("redis_back", web, worker)
        headers = {"Authorization": f"Bearer {token('ann')}"}
        with httpx.Client(base_url=web.url, headers=headers, timeout=PATIENCE) as ann:
            assert until_ended(ann, start(ann))["status"] == "complete"
        assert [process.terminate(60) for process in (web, worker)] == [0, 0]
        for process in (web, worker):
            assert "Traceback" not in process.log
