"""The service and the sandbox as processes of their own, to be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx

from tests.serving import KEY, SECRET

ROOT = Path(__file__).parents[2]


class Died(Exception):
    """It was killed before it could answer."""


class Process:
    """`python -m service …`, once it answers. Its log is in a file, so no pipe can fill up."""

    def __init__(self, url: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.popen = popen
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """kill -9: no time to tidy up."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self, seconds: float) -> int:
        """SIGTERM; the exit code, within that time."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)


@contextmanager
def running(
    command: list[str], url: str, log: Path, environ: Mapping[str, str], module: str = "service"
) -> Iterator[Process]:
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, *command],
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    process = Process(url, popen, log)
    try:
        _until_it_answers(process)
        yield process
    finally:
        if popen.poll() is None:
            process.kill()


@contextmanager
def sandbox(folder: Path, port: int, orders: int, speed: float, *more: str) -> Iterator[Process]:
    command = ["sandbox", "--port", str(port), "--orders", str(orders), "--speed", str(speed)]
    command += more
    with running(command, f"http://127.0.0.1:{port}", folder / "sandbox.log", {}) as process:
        yield process


class Restarting:
    """A process that is killed and started again with the same command, on the same port."""

    def __init__(self, start: Callable[[], AbstractContextManager[Process]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._process: Process
        self.kills = 0

    def __enter__(self) -> "Restarting":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return self._process.url

    def start(self) -> None:
        """Returns when the process answers."""
        self._process = self._stack.enter_context(self._start())

    def kill(self) -> None:
        self.kills += 1
        self._process.kill()
        self._stack.close()


def demo(folder: Path, port: int, orders: int, speed: float) -> AbstractContextManager[Process]:
    """`make run` over `folder/data`: the service and its sandbox in one process."""
    command = ["demo", "--port", str(port), "--data", str(folder / "data"), "--no-browser"]
    command += ["--orders", str(orders), "--speed", str(speed)]
    return running(command, f"http://127.0.0.1:{port}", folder / "demo.log", {})


def dying_service(folder: Path, port: int, **environ: str) -> AbstractContextManager[Process]:
    """The service that kills itself where DIE_AT says."""
    return service(folder, port, "tests.journeys.dying", **environ)


def service(
    folder: Path, port: int, module: str = "service", **environ: str
) -> AbstractContextManager[Process]:
    """The service over `folder/sync.db`; again and again over the same, as after a crash."""
    return running(
        ["serve"],
        f"http://127.0.0.1:{port}",
        folder / "service.log",
        {
            "PORT": str(port),
            "AUTH_SECRET": SECRET,
            "SECRETS_KEYS": KEY,
            "DATABASE_URL": f"sqlite:///{folder / 'sync.db'}",
            **environ,
        },
        module,
    )


def _until_it_answers(process: Process) -> None:
    until = monotonic() + 20
    while monotonic() < until:
        if process.popen.poll() == -signal.SIGKILL:
            raise Died
        if process.popen.poll() is not None:
            raise RuntimeError(f"It exited with {process.popen.returncode}: {process.log}")
        try:
            httpx.get(process.url + "/healthz", timeout=5)
            return
        except httpx.TransportError:
            sleep(0.02)
    raise RuntimeError(f"It does not answer: {process.log}")
