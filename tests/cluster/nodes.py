"""The processes of a cluster, and their users."""

import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.databases import DATABASES
from tests.journeys.process import Process, free_port, service, worker
from tests.serving import User, token

TRACES = ("Traceback", "was never retrieved", '"level": "critical"')
"""What no log may contain."""


class Cluster:
    """Web processes and workers over one database of PostgreSQL."""

    def __init__(
        self, folder: Path, stack: ExitStack, webs: int = 2, workers: int = 2, /, **environ: str
    ) -> None:
        self.folder, self._stack = folder, stack
        self.environ = {**DATABASES.of_cluster(folder), **environ}
        self._logs: list[Process] = []
        self._engine_ids: dict[int, int] = {}
        self._connection = stack.enter_context(
            psycopg.connect(self.environ["DATABASE_URL"], autocommit=True, row_factory=dict_row)
        )
        self.web = [self.start_web() for _ in range(webs)]
        self.workers = [self.start_worker() for _ in range(workers)]

    # Processes --------------------------------------------------------------------------------

    def start_web(self, port: int | None = None) -> Process:
        """A web process, on a free port unless one is given. Add it to `web` yourself."""
        environ = {"ROLE": "web", **self.environ}
        return self._keep(service(self.folder, port or free_port(), **environ))

    def start_worker(self) -> Process:
        """A worker that accepts syncs. Add it to `workers` yourself."""
        before = self._engine_workers()
        process = self._keep(worker(self.folder, **self.environ))
        self.until(lambda: self._engine_workers() - before)
        (self._engine_ids[process.popen.pid],) = self._engine_workers() - before
        return process

    def restart_web(self, number: int) -> None:
        """SIGTERM, then another web process on the same port. Raises TimeoutExpired."""
        old = self.web[number]
        assert old.terminate(30) == 0, old.log
        self.web[number] = self.start_web(httpx.URL(old.url).port)

    def restart_worker(self, number: int) -> None:
        """SIGTERM, then another worker. Raises TimeoutExpired."""
        old = self.workers[number]
        assert old.terminate(30) == 0, old.log
        self.replace_worker(number)

    def replace_worker(self, number: int) -> Process:
        """Start another worker in the place of one that ended; returns the new one."""
        self.workers[number] = self.start_worker()
        return self.workers[number]

    def engine_id(self, process: Process) -> int:
        """The id under which the engine knows this worker."""
        return self._engine_ids[process.popen.pid]

    def _keep(self, opening: Any) -> Process:
        process: Process = self._stack.enter_context(opening)
        self._logs.append(process)
        return process

    def traces(self) -> list[str]:
        """The lines of all logs, also of ended processes, that contain one of TRACES."""
        logs = {process.path: process.log for process in self._logs}
        return [
            f"{path.name}: {line[:120]} … {line[-240:]}"
            for path, log in logs.items()
            for line in log.splitlines()
            if any(trace in line for trace in TRACES)
        ]

    # Users ------------------------------------------------------------------------------------

    def client(self, node: int, user: str, **claims: Any) -> httpx.Client:
        """A client of that user at one web process."""
        client = httpx.Client(
            base_url=self.web[node].url, headers=_headers(user, claims), timeout=20
        )
        return self._stack.enter_context(client)

    @asynccontextmanager
    async def users(self, names: Sequence[str], **claims: Any) -> AsyncIterator[list[User]]:
        """A client of each user; their web processes alternate."""
        async with AsyncExitStack() as stack:
            users = []
            for number, name in enumerate(names):
                url = self.web[number % len(self.web)].url
                users.append(await stack.enter_async_context(user_at(url, name, **claims)))
            yield users

    # The database -----------------------------------------------------------------------------

    def read(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a query; `%s` stands for a value."""
        return self._connection.execute(sql, values).fetchall()

    def live(self) -> int:
        (row,) = self.read("SELECT count(*) AS n FROM sync_progress WHERE status IN" + _LIVE)
        return int(row["n"])

    def _engine_workers(self) -> set[int]:
        return {row["id"] for row in self.read("SELECT id FROM procrastinate_workers")}

    def until(self, condition: Any, seconds: float = 60) -> None:
        """Wait until the condition returns something true."""
        ends = monotonic() + seconds
        while not condition():
            assert monotonic() < ends, "The condition does not become true."
            sleep(0.02)


_LIVE = " ('pending', 'in_progress', 'paused')"


@contextmanager
def cluster(webs: int = 2, workers: int = 2, /, **environ: str) -> Iterator[Cluster]:
    """A cluster in a temporary folder, over a database of its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Cluster(Path(folder), stack, webs, workers, **environ)
    DATABASES.take_back()


@asynccontextmanager
async def user_at(url: str, name: str, **claims: Any) -> AsyncIterator[User]:
    """A client of a user at one web process."""
    headers, limits = _headers(name, claims), httpx.Limits(max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=120, limits=limits, verify=False
    ) as http:
        yield User(http)


def _headers(user: str, claims: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}
