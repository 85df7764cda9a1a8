"""Streams of Redis while the service and readers are killed: nothing is lost, the order holds, and
what comes twice has the same id. The readers run the code of docs/feeds.md."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import httpx
from redis import Redis

from tests.databases import DATABASES
from tests.journeys.groups import block, handled, here, key_of, published, reader
from tests.journeys.process import Restarting, service
from tests.servers import program
from tests.serving import PATIENCE, token

KILLS = int(os.environ.get("KILLS", "8"))
USERS = 6
SOURCE = {"DEMO_ORDERS": "1200", "DEMO_PAGE": "20", "DEMO_PAUSE": "0.05"}
SEED = 20261129


def until(condition: Callable[[], object], seconds: float = 4 * PATIENCE) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "the condition did not come true"
        sleep(0.05)


def client(url: str, user: str, **claims: Any) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token(user, **claims)}"}
    return httpx.Client(base_url=url, headers=headers, timeout=PATIENCE)


def start(url: str, user: str) -> None:
    body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
    with client(url, user, tenant=user) as http:
        assert http.post("/api/connections", json=body).status_code == 201
        assert http.post("/api/sync/start", json={}).status_code == 202


def is_complete(url: str, user: str) -> bool:
    with client(url, user, tenant=user) as http:
        (sync,) = http.get("/api/sync/history").json()["syncs"]
    return bool(sync["status"] == "complete")


def feed(url: str, **params: str) -> list[dict[str, Any]]:
    """All changes of everybody, as the API returns them."""
    found: list[dict[str, Any]] = []
    offset = "-1"
    with client(url, "operator", role="operator") as http:
        while True:
            answer = http.get("/api/changes", params={"all": "true", "offset": offset, **params})
            found, offset = found + answer.json(), answer.headers["stream-next-offset"]
            if "stream-up-to-date" in answer.headers:
                return found


def whole_feed(url: str, users: Sequence[str]) -> list[dict[str, Any]]:
    """All changes of orders, once the feed shows every stored order: PostgreSQL shows an entry when
    all older transactions of its server, also those of other tests, have ended."""
    records = {(user, record) for user in users for record in stored(url, user)}
    until(lambda: records <= {(e["user"], e["recordId"]) for e in feed(url, dataset="orders")})
    return feed(url, dataset="orders")


def stored(url: str, user: str) -> set[str]:
    ids, cursor = set[str](), None
    with client(url, user, tenant=user) as http:
        while True:
            params = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
            answer = http.get("/api/data/orders", params=params).json()
            ids |= {record["id"] for record in answer["records"]}
            cursor = answer["nextCursor"]
            if cursor is None:
                return ids


def test_kills_of_service_and_readers_lose_nothing_and_keep_the_order(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    environ, port, random = DATABASES.publishing(tmp_path), free_port(), Random(SEED)
    users = [f"user-{number}" for number in range(USERS)]
    chosen = {**SOURCE, **environ, "MAX_RUNNING_SYNCS": "20"}
    with (
        Restarting(lambda: service(tmp_path, port, **chosen)) as node,
        reader(tmp_path, environ) as consumer,
        Redis.from_url(environ["REDIS_URL"]) as redis,
    ):
        for user in users:
            start(node.url, user)
        for number in range(KILLS):
            before = redis.xlen(key_of(environ))
            until(lambda before=before: _more(redis, environ, before) or _ended(node, users))  # type: ignore[misc]
            sleep(random.random() / 2)
            victim = (node, consumer)[number % 2]
            victim.kill()
            victim.start()
        for user in users:
            until(lambda user=user: is_complete(node.url, user))  # type: ignore[misc]
        expected = whole_feed(node.url, users)
        until(lambda: len(dict(published(redis, key_of(environ)))) >= len(expected))
        entries = published(redis, key_of(environ))
        until(lambda: len(handled(tmp_path)) >= len(expected))

        once = dict(entries)
        assert list(once.values()) == expected, "each change once, in the order of the feed"
        for change, event in entries:
            assert event == once[change] and event["id"] == change
        assert handled(tmp_path) == {event["id"]: event["recordId"] for event in expected}
        for user in users:
            ids = [event["recordId"] for event in expected if event["user"] == user]
            assert len(ids) == len(set(ids)) and set(ids) == stored(node.url, user)
    print(f"{KILLS} kills: {len(entries)} entries, {len(entries) - len(once)} repeated")


def _more(redis: Redis, environ: dict[str, str], before: Any) -> bool:
    return bool(redis.xlen(key_of(environ)) > before)


def _ended(node: Restarting, users: list[str]) -> bool:
    return all(is_complete(node.url, user) for user in users)


def test_the_commands_of_the_page_read_with_a_group(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    environ = DATABASES.publishing(tmp_path)
    path = f"{Path(program('redis-cli')).parent}:{os.environ['PATH']}"
    with (
        service(tmp_path, free_port(), **SOURCE | {"DEMO_PAUSE": "0"}, **environ) as node,
        Redis.from_url(environ["REDIS_URL"]) as redis,
    ):
        start(node.url, "ann")
        until(lambda: redis.xlen(key_of(environ)) >= int(SOURCE["DEMO_ORDERS"]))
        answer = subprocess.run(
            ["/bin/sh", "-e"],
            input=here(block("sh"), environ),
            env={**environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    out = answer.stdout.split("\n")
    assert out[0] == "OK" and "ERR" not in answer.stdout, answer.stdout
    assert answer.stdout.count('"recordId":"') == 20, "ten read, and ten taken over"
    assert "lag" in out, answer.stdout


def test_a_reader_that_was_too_slow_notices_and_goes_on_with_the_feed(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    environ = DATABASES.publishing(tmp_path) | {"STREAM_LENGTH": "100"}
    with (
        service(tmp_path, free_port(), **SOURCE | {"DEMO_PAUSE": "0"}, **environ) as node,
        Redis.from_url(environ["REDIS_URL"]) as redis,
    ):
        start(node.url, "ann")
        until(lambda: is_complete(node.url, "ann"))
        expected = whole_feed(node.url, ["ann"])
        last = expected[-1]["id"].encode()

        def newest() -> bytes:
            found: Any = redis.xrevrange(key_of(environ), count=1)
            return found[0][1][b"change"] if found else b""

        until(lambda: newest() == last)
        code: dict[str, Any] = {}
        os_environ = {**os.environ}
        os.environ["REDIS_URL"] = environ["REDIS_URL"]
        try:
            exec(here(block("python"), environ), code)  # noqa: S102 - the page's own code
        finally:
            os.environ.clear()
            os.environ.update(os_environ)
        assert code["was_trimmed"](expected[10]["id"]) and not code["was_trimmed"](last.decode())
        with client(node.url, "operator", role="operator") as http:
            params = {"all": "true", "dataset": "orders", "offset": expected[10]["id"]}
            answer = http.get("/api/changes", params=params)
        later = answer.json()
        assert later == expected[11 : 11 + len(later)] and later
        code["redis"].close()
