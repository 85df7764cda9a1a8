"""Processes that are forked from one that has imported the service.

An import costs more processor time than most tests; the process that runs afterwards is as real as
one that was started by `python -m service`: with its own memory, files, signals and death."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

IMPORTED = ("service.__main__", "connectors.amazon", "connectors.amazon_sandbox", "connectors.demo")
DRIVERS = ("asyncpg", "service.store.postgres", "service.runner.procrastinate", "redis.asyncio")


@cache
def _processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    drivers = DRIVERS if os.environ.get("BACKEND") == "postgres" else ()
    context.set_forkserver_preload([*IMPORTED, *drivers])
    return context


class Fork:
    """`python -m MODULE …`, with the methods of subprocess.Popen that the tests use."""

    def __init__(
        self,
        module: str,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        log: Path,
    ) -> None:
        log.touch()  # it is read before the process writes
        arguments = (module, list(command), str(folder), dict(environ), str(log))
        self._process = _processes().Process(target=_run, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("service", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        # It may die meanwhile; the process that forked it then knows first.
        with suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(module: str, command: list[str], folder: str, environ: dict[str, str], log: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for target in (1, 2):
        os.dup2(output, target)
    os.close(output)
    sys.argv = [module, *command]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
