"""The service and the sandbox as separate processes that can be killed."""

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
    """The process was killed before it could answer."""


class Process:
    """`python -m service …`. Its log is a file: a pipe that nobody reads would fill up."""

    def __init__(self, url: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.popen = popen
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self, seconds: float) -> int:
        """Send SIGTERM and return the exit code. Raises TimeoutExpired."""
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
        _wait_until_it_answers(process)
        yield process
    finally:
        if popen.poll() is None:
            process.kill()


@contextmanager
def sandbox(folder: Path, port: int, orders: int, speed: float, *options: str) -> Iterator[Process]:
    command = ["sandbox", "--port", str(port), "--orders", str(orders), "--speed", str(speed)]
    command += options
    with running(command, f"http://127.0.0.1:{port}", folder / "sandbox.log", {}) as process:
        yield process


class Restarting:
    """A process that can be killed and started again with the same command, on the same port."""

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
        """Start the process and wait until it answers."""
        self._process = self._stack.enter_context(self._start())

    def kill(self) -> None:
        self.kills += 1
        self._process.kill()
        self._stack.close()


def demo(
    folder: Path, port: int, orders: int, speed: float, *options: str
) -> AbstractContextManager[Process]:
    """`make run` over `folder/data`: the service and its sandbox in one process."""
    command = ["demo", "--port", str(port), "--data", str(folder / "data"), "--no-browser"]
    command += ["--orders", str(orders), "--speed", str(speed), *options]
    return running(command, f"http://127.0.0.1:{port}", folder / "demo.log", {})


def dying_service(folder: Path, port: int, **environ: str) -> AbstractContextManager[Process]:
    """The service, which kills itself at the point that DIE_AT names."""
    return service(folder, port, "tests.journeys.dying", **environ)


def service(
    folder: Path, port: int, module: str = "service", **environ: str
) -> AbstractContextManager[Process]:
    """The service with `folder/sync.db`; started again, it continues with the same database."""
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


def _wait_until_it_answers(process: Process) -> None:
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
