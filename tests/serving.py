"""The real service in this process, with real uvicorn and SQLite, and clients that call it."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse
from joserfc import jwt
from joserfc.jwk import OctKey

import connectors
from connectors.base import Clock, SystemClock
from service.api.parts import Parts
from service.app import create_app, open_parts
from service.edge.limits import DEFAULT, Limits
from service.server import Server, address, listen
from service.settings import Settings, read_settings
from tests.contract import check_documented, matches_schema
from tests.databases import DATABASES

SECRET = "a secret that only the tests know, long enough"
KEY = b64encode(b"a key that only the tests know..").decode()
YEAR_2100 = 4102444800
PATIENCE = 300.0
"""Seconds until a condition that does not come true fails a test; for busy machines."""
ENDED = ("complete", "failed", "cancelled", "paused")

HOOKS: Any = {"response": [check_documented]}

# A connector that is opened reads the certificates of all authorities, which takes as long as all
# the rest of the start.
setattr(httpx, "create_ssl_context", cache(httpx.create_ssl_context))  # noqa: B010

Json = dict[str, Any]


def token(user: str = "ann", **claims: Any) -> str:
    """A JWT as an identity provider would make it."""
    body = {"sub": user, "exp": YEAR_2100, **claims}
    return jwt.encode({"alg": "HS256"}, body, OctKey.import_key(SECRET))


def settings(folder: Path, **environ: str) -> Settings:
    names = connectors.names()
    return read_settings(
        {
            "AUTH_SECRET": SECRET,
            "SECRETS_KEYS": KEY,
            "CONNECTORS": ",".join(names),
            **DATABASES.environ(folder),
            "PORT": "0",
            **environ,
        },
        names,
    )


class User:
    """A client of one user. It waits for conditions, never for a fixed time."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.http = client

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.post(path, json=body, **options)

    async def connect(self, **fields: Any) -> Json:
        """Connect to the demo source, without the automatic first sync."""
        body = {
            "connector": "demo",
            "refreshToken": "good",
            "skipHistoricalSync": True,
            **fields,
        }
        answer = await self.post("/api/connections", body)
        assert answer.status_code == 201, answer.text
        return read(answer)

    async def start(self, **body: Any) -> str:
        answer = await self.post("/api/sync/start", body)
        assert answer.status_code == 202, answer.text
        sync_id: str = answer.json()["syncId"]
        return sync_id

    async def status(self, sync_id: str) -> Json:
        answer = await self.get(f"/api/sync/status/{sync_id}")
        assert answer.status_code == 200, answer.text
        return read(answer)

    async def until(self, sync_id: str, *statuses: str, seconds: float = PATIENCE) -> Json:
        """Wait until the sync has one of these statuses; without any, until it has ended."""
        pause = 0.01
        with anyio.fail_after(seconds):
            while True:
                status = await self.status(sync_id)
                if status["status"] in (statuses or ENDED):
                    return status
                await anyio.sleep(pause)
                pause = min(1.2 * pause, 0.1)  # each answer is checked, which takes time

    async def until_processed(self, sync_id: str, dataset: str, count: int) -> Json:
        with anyio.fail_after(PATIENCE):
            while True:
                status = await self.status(sync_id)
                datasets = {item["name"]: item for item in status["datasets"]}
                if datasets[dataset]["processed"] >= count:
                    return status
                await anyio.sleep(0.01)

    async def whole_sync(self, **body: Any) -> Json:
        return await self.until(await self.start(**body))

    async def events(self, sync_id: str, last: str | None = None) -> AsyncIterator[ServerSentEvent]:
        headers = {"Last-Event-ID": last} if last else {}
        path = f"/api/sse/sync-progress/{sync_id}"
        async with aconnect_sse(self.http, "GET", path, headers=headers) as source:
            async for event in source.aiter_sse():
                if event.data:  # httpx-sse also yields the block that only sets `retry`
                    assert event.event == "reset" or matches_schema(event.json(), "SyncStatus")
                    yield event

    async def records(self, dataset: str) -> list[Json]:
        """Every stored record of a dataset."""
        records: list[Json] = []
        params: Json = {"limit": 1000}
        while True:
            answer = (await self.get(f"/api/data/{dataset}", params=params)).json()
            records += answer["records"]
            if answer["nextCursor"] is None:
                return records
            params["cursor"] = answer["nextCursor"]


class Serving:
    """A running service."""

    def __init__(
        self, url: str, parts: Parts, users: dict[str, User], connections: Any = ()
    ) -> None:
        self.url = url
        self.parts = parts
        #: The open connections of the server.
        self.connections = connections
        self._users = users

    def user(self, name: str = "ann", **claims: Any) -> User:
        """The same client for the same name and claims."""
        key = f"{name} {claims}" if claims else name
        if key not in self._users:
            headers = {"Authorization": f"Bearer {token(name, **claims)}"}
            client = httpx.AsyncClient(
                base_url=self.url,
                headers=headers,
                verify=False,
                trust_env=False,
                event_hooks=HOOKS,
                timeout=PATIENCE,
            )
            self._users[key] = User(client)
        return self._users[key]

    async def settled(self) -> None:
        """Wait until the feeds show all that is stored: PostgreSQL shows a row once all older
        transactions, also those of other tests, have ended."""
        with anyio.fail_after(PATIENCE):
            while await self.parts.changes.unsettled():
                await anyio.sleep(0.01)

    def anonymous(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, event_hooks=HOOKS, **options)


class BodyError:
    """Carries an error out of task groups, which would wrap it in one ExceptionGroup each.

    `caught` goes around a `yield` inside the groups, `raised` around the groups."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        try:
            yield
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            self._error = error

    @contextmanager
    def raised(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._error:
                raise self._error


def serve(
    folder: Path, clock: Clock | None = None, **environ: str
) -> AbstractAsyncContextManager[Serving]:
    """Start and stop the service as the command line does."""
    return serve_within(DEFAULT, folder, clock, **environ)


@asynccontextmanager
async def serve_within(
    limits: Limits, folder: Path, clock: Clock | None = None, **environ: str
) -> AsyncIterator[Serving]:
    """`serve` with other limits of its connections."""
    chosen = settings(folder, **environ)
    DATABASES.prepare(folder)
    bound = listen(chosen.host, 0)
    users: dict[str, User] = {}
    body = BodyError()
    with body.raised(), closing(bound):
        async with open_parts(chosen, clock or SystemClock()) as parts:
            app = create_app(parts, chosen)
            server = Server(app, parts.hub, signals=False, allowed=limits)
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: server.serve(sockets=[bound]))
                with anyio.fail_after(PATIENCE):
                    while not server.started:
                        await anyio.sleep(0.005)
                try:
                    connections = server.server_state.connections
                    with body.caught():
                        yield Serving(address(bound), parts, users, connections)
                finally:
                    with anyio.CancelScope(shield=True):
                        for user in users.values():
                            await user.http.aclose()
                        server.should_exit = True


def read(answer: httpx.Response) -> Json:
    return msgspec.json.decode(answer.content, type=Json)


def json_of(event: ServerSentEvent) -> Json:
    return msgspec.json.decode(event.data, type=Json)
