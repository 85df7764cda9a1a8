"""The service and the sandbox as separate processes that can be killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from urllib.parse import urlsplit

import httpx

from tests.databases import DATABASES
from tests.journeys.forks import Fork
from tests.serving import KEY, PATIENCE, SECRET

ROOT = Path(__file__).parents[2]
Popen = subprocess.Popen[bytes] | Fork


def free_port() -> int:
    """A port of this machine that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Died(Exception):
    """The process was killed before it could answer."""


class Process:
    """`python -m service …`. Its log is a file: a pipe that nobody reads would fill up."""

    def __init__(self, url: str, popen: Popen, log: Path) -> None:
        self.url = url
        self.popen = popen
        #: The file of its log.
        self.path = log

    @property
    def log(self) -> str:
        return self.path.read_text()

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
    popen = started(command, log, {**os.environ, **environ}, module)
    process = Process(url, popen, log)
    try:
        _wait_until_it_answers(process)
        yield process
    finally:
        if popen.poll() is None:
            process.kill()


def started(
    command: list[str], log: Path, environ: Mapping[str, str], module: str = "service"
) -> Popen:
    """A new process. What is measured starts without a fork, as does code of another folder."""
    if "PYTEST_CURRENT_TEST" in os.environ and "PYTHONPATH" not in environ:
        return Fork(module, command, ROOT, environ, log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *command],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )


@contextmanager
def sandbox(folder: Path, port: int, orders: int, speed: float, *options: str) -> Iterator[Process]:
    command = ["sandbox", "--port", str(port), "--orders", str(orders), "--speed", str(speed)]
    command += options
    with running(command, f"http://127.0.0.1:{port}", folder / "sandbox.log", {}) as process:
        yield process


def processor_seconds(process: Process) -> float:
    """The time of processors that a process has used."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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

    @property
    def pid(self) -> int:
        return self._process.popen.pid

    @property
    def alive(self) -> bool:
        return self._process.popen.poll() is None

    @property
    def killed(self) -> bool:
        return self._process.popen.poll() == -signal.SIGKILL

    @property
    def log(self) -> str:
        return self._process.log

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._process = self._stack.enter_context(self._start())

    def restart(self) -> None:
        """Start a process again that has died by itself."""
        self._stack.close()
        self.start()

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


@contextmanager
def worker(folder: Path, module: str = "service", **environ: str) -> Iterator[Process]:
    """A worker of the cluster over the database of this folder."""
    log = folder / f"worker-{token_hex(3)}.log"
    environ = {**os.environ, **_settings(folder), **environ}
    popen = started(["work"], log, environ, module)
    process = Process("", popen, log)
    try:
        until = monotonic() + 3 * PATIENCE  # many of them start at once
        while '"working"' not in process.log:
            if popen.poll() == -signal.SIGKILL:
                raise Died
            if popen.poll() is not None or monotonic() > until:
                raise RuntimeError(f"The worker does not start: {process.log}")
            sleep(0.02)
        yield process
    finally:
        if popen.poll() is None:
            process.kill()


def _settings(folder: Path) -> dict[str, str]:
    """With every connector, also the demo."""
    settings = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "CONNECTORS": "amazon,demo"}
    return {**settings, **DATABASES.environ(folder)}


def service(
    folder: Path, port: int, module: str = "service", **environ: str
) -> AbstractContextManager[Process]:
    """The service over the database of this folder; started again, it continues with it."""
    return running(
        ["serve"],
        f"http://127.0.0.1:{port}",
        folder / "service.log",
        {
            "PORT": str(port),
            **_settings(folder),
            **environ,
        },
        module,
    )


def _wait_until_it_answers(process: Process) -> None:
    until = monotonic() + 3 * PATIENCE  # many of them start at once
    while monotonic() < until:
        if process.popen.poll() == -signal.SIGKILL:
            raise Died
        if process.popen.poll() is not None:
            raise RuntimeError(f"It exited with {process.popen.returncode}: {process.log}")
        if _listens(process.url):
            with suppress(httpx.TransportError):
                httpx.get(process.url + "/healthz", timeout=PATIENCE, verify=False)
                return
        sleep(0.02)
    raise RuntimeError(f"It does not answer: {process.log}")


def _listens(url: str) -> bool:
    """Whether a process listens there: a start takes many looks, and a request costs far more."""
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0
