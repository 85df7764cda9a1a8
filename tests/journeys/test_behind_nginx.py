"""Two web processes behind nginx with its default buffering and time-outs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from service.streams.hub import SILENCE
from tests.databases import ON_POSTGRES
from tests.journeys.nginx import Nginx, nginx, require_nginx
from tests.journeys.process import Process, service, worker
from tests.serving import PATIENCE, token

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]
READ_TIMEOUT = 60
"""Seconds of silence after which nginx, by default, ends a response."""
#: A sync that lasts longer than any of these tests, with several events a second.
ENDLESS = {"DEMO_ORDERS": "1000000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.2"}


class Site:
    """Two web processes and a worker behind nginx."""

    def __init__(self, folder: Path, stack: ExitStack, free_port: Callable[[], int]) -> None:
        self._folder, self._stack = folder, stack
        self._ports = [free_port(), free_port()]
        self.web = [self._start(port) for port in self._ports]
        stack.enter_context(worker(folder, **ENDLESS))
        urls = [process.url for process in self.web]
        self.nginx: Nginx = stack.enter_context(nginx(folder / "nginx", free_port(), urls))
        # By HTTP/1.0, nginx's default, a response that may be buffered waits for a full buffer.
        self.plain = stack.enter_context(nginx(folder / "plain", free_port(), urls, http="1.0"))

    def _start(self, port: int) -> Process:
        return self._stack.enter_context(service(self._folder, port, ROLE="web", **ENDLESS))

    def restart(self, node: int) -> None:
        """Stop a web process by SIGTERM, start it again, and wait until it answers."""
        assert self.web[node].terminate(60) == 0
        self.web[node] = self._start(self._ports[node])

    def client(self, user: str, proxy: Nginx | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token(user)}"}
        url = (proxy or self.nginx).url
        return httpx.Client(base_url=url, headers=headers, timeout=PATIENCE)


@pytest.fixture
def site(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Site]:
    require_nginx()
    with ExitStack() as stack:
        yield Site(tmp_path, stack, free_port)


def start(client: httpx.Client) -> str:
    body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
    assert client.post("/api/connections", json=body).status_code == 201
    answer = client.post("/api/sync/start", json={})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["syncId"])


class Background:
    """Repeats a step in a thread until it is stopped; an error of the step is raised then."""

    def __init__(self, step: Callable[[httpx.Client], bool], client: httpx.Client) -> None:
        self._step, self._client = step, client
        self._stop = Event()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._client as client:
                while not self._stop.is_set() and self._step(client):
                    pass
        except Exception as error:
            self._error = error

    def end(self, stop: bool = True) -> None:
        if stop:
            self._stop.set()
        self._thread.join(300)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error


class Follower:
    """An EventSource: reconnects with the id of the last event until it gets the terminal one."""

    def __init__(self, sync_id: str) -> None:
        self._path = f"/api/sse/sync-progress/{sync_id}"
        self.events: list[ServerSentEvent] = []
        self.connects = 0

    @property
    def versions(self) -> list[int]:
        return [int(event.id) for event in self.events]

    def step(self, client: httpx.Client) -> bool:
        """One connection to its end; whether to connect again."""
        self.connects += 1
        headers = {"Last-Event-ID": self.events[-1].id} if self.events else {}
        with connect_sse(client, "GET", self._path, headers=headers) as source:
            assert source.response.status_code == 200, source.response.status_code
            for event in source.iter_sse():
                if event.data:  # a block with `retry:` alone has none
                    self.events.append(event)
        return self.events[-1].event == "progress"


def comment(client: httpx.Client) -> bool:
    """Open a stream of a user without syncs and wait for its first comment."""
    with client.stream("GET", "/api/sse/syncs") as stream:
        return not any(line.startswith(":") for line in stream.iter_lines())


def until(condition: Callable[[], bool]) -> None:
    ends = monotonic() + 240
    while not condition():
        assert monotonic() < ends
        sleep(0.05)


def test_a_stream_is_never_silent_for_as_long_as_nginx_waits() -> None:
    assert SILENCE.total_seconds() * 2 < READ_TIMEOUT


def test_web_processes_are_replaced_one_by_one_without_a_failed_request(site: Site) -> None:
    """Streams arrive unbuffered and in order, polls alternate, and no request fails."""
    codes: list[int] = []
    versions: list[int] = []

    def post(client: httpx.Client) -> bool:
        codes.append(client.post("/api/sync/start", json={}).status_code)
        return True

    def poll(client: httpx.Client) -> bool:
        answer = client.get(f"/api/sync/status/{sync_id}")
        codes.append(answer.status_code)
        versions.append(int(answer.headers["ETag"].strip('W/"')))
        return True

    with site.client("ann") as ann:
        sync_id = start(ann)
        # In a buffer of nginx, the few bytes of a quiet stream would stay until its end.
        for proxy in (site.plain, site.nginx):
            Background(comment, site.client("bob", proxy)).end(stop=False)
        follower = Follower(sync_id)
        following = Background(follower.step, site.client("ann"))
        loads = [Background(step, site.client("ann")) for step in (poll, post, post)]
        for node in (0, 1):
            more = len(codes) + 50
            until(lambda more=more: len(codes) > more)  # type: ignore[misc]
            site.restart(node)
        for load in loads:
            load.end()
        assert ann.post(f"/api/sync/cancel/{sync_id}").is_success
        following.end(stop=False)
    answered, passed_on = site.nginx.answered(), site.nginx.passed_on()
    print(f"{len(codes)} requests {answered}, {passed_on} passed on; {follower.connects} streams")
    assert set(codes) == {200, 409}
    assert len(answered) == 2 and min(answered.values()) > 50
    assert versions == sorted(versions), "a poll never shows an older version"
    assert follower.versions == sorted(set(follower.versions)), "no event comes twice"
    assert {event.event for event in follower.events[:-1]} == {"progress"}
    assert follower.events[-1].event == "cancelled"
    assert follower.connects > 1
