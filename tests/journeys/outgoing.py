"""The processes of the story of what goes out: the service, whatever reads from it, and kills.

With SQLite one process is the service, publishes to Redis and sends webhooks. With PostgreSQL these
are one web process and two workers, of which one publishes."""

import os
import subprocess
import sys
from collections import ChainMap, Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import httpx

from tests.databases import DATABASES, ON_POSTGRES
from tests.journeys.dying import OUTGOING
from tests.journeys.groups import reader
from tests.journeys.process import ROOT, Died, Process, Restarting, free_port, service, worker
from tests.serving import PATIENCE, token

DATASETS = ("orders", "inventory")
SOURCE = {"DEMO_ORDERS": "300", "DEMO_PAGE": "20", "DEMO_PAUSE": "0.5"}
RECORDS = 315
"""Records of a user: 300 orders, 15 of inventory."""
RETRIES = ",".join(["0.2"] * 8 + ["5"] * 12)
"""Webhooks are sent again for a minute and more: receivers that were killed are back by then."""
READERS = ("change reader", "event reader", "receiver", "group of orders", "group of inventory")
VICTIMS = ("relay", "change reader", "receiver", "service", *READERS[3:], "event reader")
AT_MOST = {"published": 4, "delivered": 4, "handled": 120, "noted": 4}
"""The greatest number that is drawn for a point; 60 for the others."""

_DYING = "tests.journeys.dying"


class Outgoing:
    """Everything that runs, and the users whose syncs are kept running."""

    def __init__(self, folder: Path, syncs: int, seed: int) -> None:
        self.folder = folder
        self._database: Any = None
        self._http = httpx.Client(timeout=PATIENCE)
        self.environ = DATABASES.publishing(folder)
        self.kills: Counter[str] = Counter()
        #: How many entries a reader has seen again.
        self.repeated: Counter[str] = Counter()
        #: Users whose sync was started: 0, 1, 2, …
        self.users = 0
        self._syncs = syncs
        self._random = Random(seed)
        self._port, self._hooks = free_port(), free_port()
        self._secret = ""
        #: By process, its variable that says where it dies: after a kill and a start, it once kills
        #: itself at a point.
        self._deaths = defaultdict[str, dict[str, str]](dict)
        #: The same as shown in the figures.
        self._points: dict[str, str] = {}
        self._nodes: dict[str, Restarting] = {}
        self._readers: dict[str, Restarting] = {}
        self._cancelled: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def running(self) -> Iterator["Outgoing"]:
        """Everything runs until the end."""
        with ExitStack() as stack:
            for name in ("web", "first worker", "second worker") if ON_POSTGRES else ("service",):
                node = Restarting(lambda name=name: self._node(name))  # type: ignore[misc]
                self._nodes[name] = stack.enter_context(node)
            stack.enter_context(self._http)
            self._database = stack.enter_context(DATABASES.opened(self.folder))
            self._secret = self._webhook()
            for name in READERS[:3]:
                one = Restarting(lambda name=name: self._program(name))  # type: ignore[misc]
                self._readers[name] = stack.enter_context(one)
            for dataset in DATASETS:
                name = f"group of {dataset}"
                environ = ChainMap(self._deaths[name], self.environ)
                self._readers[name] = stack.enter_context(reader(self.folder, environ, dataset))
            yield self

    def file(self, name: str) -> Path:
        """What a reader has noted."""
        return self.folder / f"{name.replace(' ', '-')}.seen"

    def rows(self, sql: str) -> list[Any]:
        """What a statement returns from the database."""
        return list(self._database.execute(sql).fetchall())

    def feed(self, name: str) -> list[Any]:
        """All entries of a feed, read again from its beginning."""
        found: list[Any] = []
        params = {"all": "true", "offset": "-1", "limit": "1000"}
        while True:
            answer = self._call("GET", f"/api/{name}", "operator", params=params)
            found += answer.json()
            params["offset"] = answer.headers["stream-next-offset"]
            if "stream-up-to-date" in answer.headers:
                return found

    def _call(self, method: str, path: str, user: str, *known: int, **more: Any) -> httpx.Response:
        """The answer, 2xx or one of the known statuses. The operator is a user, too."""
        claims = {"role": "operator"} if user == "operator" else {"tenant": user}
        headers = {"Authorization": f"Bearer {token(user, **claims)}"}
        answer = self._http.request(method, self.url + path, headers=headers, **more)
        assert answer.is_success or answer.status_code in known, answer.text
        return answer

    # Processes --------------------------------------------------------------------------------

    def _node(self, name: str) -> AbstractContextManager[Process]:
        chosen = {**SOURCE, **self.environ, "MAX_RUNNING_SYNCS": "40", "STREAM_LENGTH": "1000000"}
        chosen |= {"WEBHOOKS_PRIVATE": "1", "WEBHOOKS_SCHEDULE": RETRIES}
        chosen |= self._deaths[name]
        if name.endswith("worker"):
            return worker(self.folder, _DYING, **chosen)
        role = {"ROLE": "web"} if name == "web" else {}
        return service(self.folder, self._port, _DYING, **chosen, **role)

    @contextmanager
    def _program(self, name: str) -> Iterator[Process]:
        arguments = {
            "change reader": ("feed", f"{self.url}/api/changes", "long-poll"),
            "event reader": ("feed", f"{self.url}/api/events", "sse"),
            "receiver": ("hooks", str(self._hooks)),
        }[name]
        command = [sys.executable, "-m", "tests.journeys.readers", *arguments]
        secrets = {"TOKEN": token("operator", role="operator"), "WEBHOOK_SECRET": self._secret}
        log = self.file(name).with_suffix(".log")
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [*command, str(self.file(name))],
                cwd=ROOT,
                env={**os.environ, **secrets, **self._deaths[name]},
                stdout=output,
                stderr=output,
            )
        process = Process("", popen, log)
        try:
            yield process
        finally:
            process.kill()

    def _webhook(self) -> str:
        body = {"url": f"http://127.0.0.1:{self._hooks}/", "types": ["*"], "all": True}
        return str(self._call("POST", "/api/webhooks", "operator", json=body).json()["secret"])

    # Kills ------------------------------------------------------------------------------------

    def kill_all(self, kills: int) -> None:
        """Kill one after the other while something goes out, until there were so many kills."""
        for victim in cycle(VICTIMS):
            if self.kills.total() >= kills:
                return
            before = self._entries()
            self.until(lambda before=before: self._entries() > before, keep_syncing=True)  # type: ignore[misc]
            sleep(self._random.random() / 2)
            self._kill(victim)

    def _kill(self, victim: str) -> None:
        if victim in READERS:
            point = "handled" if victim.startswith("group") else "noted"
            self._restart(victim, victim, self._readers[victim], point)
        else:
            relay = victim == "relay"
            name = self._publishing() if relay else self._random.choice(list(self._nodes))
            point = "published" if relay else self._random.choice(OUTGOING)
            self._restart(victim, name, self._nodes[name], point)

    def _restart(self, victim: str, name: str, process: Restarting, point: str) -> None:
        """Kill and start again a process, which then dies at a point."""
        number = self._random.randint(1, AT_MOST.get(point, 60))
        self._deaths[name]["DIE_AT"] = f"{point}:{number}"
        self._points[name] = f"{victim}, {point}"
        if process.alive:
            self.kills[victim] += 1
            process.kill()
        sleep(self._random.random())
        with suppress(Died):  # `_revive` starts it again
            process.start()

    def _publishing(self) -> str:
        """The process that publishes, or did so last."""
        for (node,) in self.rows("SELECT node FROM outbox_relay"):
            for name, process in self._nodes.items():
                if str(process.pid) == node.rpartition(":")[2]:
                    return name
        return next(iter(self._nodes))

    def _revive(self) -> None:
        """Start again what has died at its point."""
        for name, process in {**self._nodes, **self._readers}.items():
            if not process.alive:
                assert process.killed, f"{name}: {process.log[-3000:]}"
                self.kills[self._points[name]] += 1
                self._deaths[name].clear()
                process.restart()

    def until(
        self,
        condition: Callable[[], object],
        keep_syncing: bool = False,
        seconds: float = 6 * PATIENCE,
    ) -> None:
        """Wait until it is true; meanwhile revive the dead, and keep syncs running if wanted."""
        end = monotonic() + seconds
        while True:
            self._revive()
            with suppress(httpx.TransportError):  # killed meanwhile: the next round tries again
                self._go_on(keep_syncing)
            if condition():
                return
            assert monotonic() < end, "the condition did not come true"
            sleep(0.1)

    def _entries(self) -> int:
        return int(self.rows("SELECT COUNT(*) FROM outbox")[0][0])

    # Syncs ------------------------------------------------------------------------------------

    def _go_on(self, keep_syncing: bool) -> None:
        """Start syncs of new users until enough run; every third one is cancelled and resumed."""
        syncs = self.rows("SELECT id, tenant_id, status FROM sync_progress")
        for sync_id, user, status in syncs:  # each user is a tenant of the same name
            if int(user) % 3 == 2 and status == "in_progress" and sync_id not in self._cancelled:
                self._call("POST", f"/api/sync/cancel/{sync_id}", user, 409)  # 409: it has ended
                self._cancelled.add(sync_id)
            elif status == "cancelled":
                self._call("POST", f"/api/sync/resume/{sync_id}", user, 409)
        live = sum(status != "complete" for _, _, status in syncs)
        for _ in range(live, self._syncs if keep_syncing else 0):
            self._start(str(self.users))
            self.users += 1

    def _start(self, user: str) -> None:
        if not self._call("GET", "/api/connections", user).json()["connections"]:
            body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
            self._call("POST", "/api/connections", user, json=body)
        self._call("POST", "/api/sync/start", user, json={"onConflict": "attach"})

    def all_complete(self) -> bool:
        statuses = self.rows("SELECT DISTINCT status FROM sync_progress")
        return [status for (status,) in statuses] == ["complete"]
