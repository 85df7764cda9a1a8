"""A real process discloses no secret: not in its log, a response, an event or an error."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from connectors import amazon_sandbox as amazon
from service.api.routes import routes
from tests.databases import DATABASES
from tests.journeys.process import Process, service
from tests.journeys.test_amazon import local_sandbox
from tests.service.api.issuer import rsa, signed
from tests.serving import KEY, PATIENCE, SECRET, Json, User, token

pytestmark = pytest.mark.anyio

#: Part of every secret that a client sends.
MARK = "s3cr3t"
#: The beginning of Amazon's refresh and access tokens.
TOKENS = re.compile(r"Atz[ar]\|")
GOOD = {"connector": "demo", "skipHistoricalSync": True}
PARAMETERS = {"record_id": "unknown", "dataset": "orders", "connector": "amazon", "claim_id": "x"}


class Listener:
    """A client that records everything it receives: heads, bodies, events."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.received: list[str] = []

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with self.client.stream(method, path, **options) as answer:
            await answer.aread()
        self.received += [str(answer.headers), answer.text]
        return answer

    def everything(self, server: Process) -> str:
        return "\n".join([*self.received, server.log])


async def bad_tokens(ann: Listener) -> None:
    """Invalid tokens, in every place where a token may be."""
    bad = [
        f"{MARK}.{MARK}.{MARK}",
        token(MARK, exp=time.time() - 61),
        signed(rsa(), MARK),
        token(MARK, tenant=MARK * 99),
        token()[:-9] + MARK,
    ]
    for invalid in bad:
        for headers in (
            {"Authorization": f"Bearer {invalid}"},
            {"Authorization": f"Basic {invalid}"},
            {"Authorization": "", "Cookie": f"session={invalid}"},
        ):
            answer = await ann.request("GET", "/api/connections", headers=headers)
            assert answer.status_code == 401
        for path in ("/api/sse/sync-progress/x", "/api/sse/syncs", "/web/app.js", "/nowhere"):
            await ann.request(
                "GET", path, params={"ticket": invalid}, headers={"Authorization": ""}
            )


async def bad_bodies(ann: Listener) -> None:
    """Bodies with a secret in the wrong place, and bodies that are not JSON."""
    connect, start = "/api/connections", "/api/sync/start"
    wrong: list[Json] = [
        {**GOOD, "refreshToken": MARK, "note": MARK},
        {**GOOD, "refreshToken": [MARK]},
        {**GOOD, "refreshToken": {MARK: MARK}},
        {**GOOD, "refreshToken": MARK * 1000},
        {**GOOD, "refreshToken": MARK, "environment": MARK},
        {**GOOD, "refreshToken": MARK, "environment": f"{MARK} - at `$.{MARK}`"},
        {**GOOD, "refreshToken": MARK, "region": MARK * 20},
        {**GOOD, "refreshToken": MARK, "skipHistoricalSync": MARK},
        {**GOOD, "refreshToken": MARK, "marketplaceIds": MARK},
        {**GOOD, "refreshToken": MARK, "marketplaceIds": [MARK * 20]},
        {"refreshToken": MARK},
    ]
    for body in wrong:
        assert (await ann.request("POST", connect, json=body)).status_code == 422
    for field in ("since", "until", "datasets", "onConflict", "nope"):
        assert (await ann.request("POST", start, json={field: MARK})).status_code == 422
    whole = f'{{"connector": "demo", "refreshToken": "{MARK}"}}'.encode()
    for raw in (
        whole[:-1],
        whole[:-2],
        whole + b"x",
        whole.replace(b'"demo"', b"demo"),
        b"\xff" + whole,
    ):
        assert (await ann.request("POST", connect, content=raw)).status_code == 400
    assert (await ann.request("POST", connect, content=whole + b" " * 2**20)).status_code == 413
    await ann.request("PUT", "/api/costs", content=whole)
    await ann.request("POST", "/api/sse/ticket", json={"syncId": "x", "ticket": MARK})


async def consent(ann: Listener) -> None:
    """The code of a consent can be exchanged for a refresh token, so it is as secret."""
    begun = await ann.request("GET", "/api/connections/amazon/authorize?region=NA")
    state = httpx.URL(begun.headers["location"]).params["state"]
    for query in ({"state": state, "spapi_oauth_code": MARK}, {"state": MARK, "code": MARK}):
        answer = await ann.request("GET", "/api/connections/amazon/callback", params=query)
        assert "refused=" in answer.headers["location"]


async def whole_life(ann: Listener, seller: Json) -> str:
    """Connect, sync, follow by ticket, and call every GET endpoint; the ticket."""
    body = {**seller, "skipHistoricalSync": True}
    connection = await ann.request("POST", "/api/connections", json=body)
    assert connection.status_code == 201, connection.text
    user = User(ann.client)
    sync_id = await user.start()
    answer = await ann.client.post("/api/sse/ticket", json={"syncId": sync_id})
    ticket: str = answer.json()["ticket"]
    path = f"/api/sse/sync-progress/{sync_id}"
    nobody = {"Authorization": ""}
    stream = await ann.request(
        "GET", path, params={"ticket": ticket}, headers=nobody, timeout=PATIENCE
    )
    assert "event: complete" in stream.text
    refused = await ann.request("GET", path, params={"ticket": f"{ticket}{MARK}"}, headers=nobody)
    assert refused.status_code == 401
    await ann.request("GET", "/api/sse/syncs", params={"ticket": ticket}, headers=nobody)
    ids = {"sync_id": sync_id, "connection_id": connection.json()["id"], **PARAMETERS}
    ids |= {"webhook_id": "x", "delivery_id": "x"}
    for route in routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()) and "sse" not in route.path:
            await ann.request("GET", route.path.format_map(ids))
    return ticket


async def faults(ann: Listener, folder: Path) -> None:
    """Unexpected exceptions, with secrets in the local variables of every frame."""
    with DATABASES.opened(folder) as database:
        database.execute("ALTER TABLE records RENAME TO elsewhere")
    failed = await User(ann.client).whole_sync()
    ann.received.append(str(failed))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "internal_error")
    with DATABASES.opened(folder) as database:
        database.execute("ALTER TABLE connections RENAME TO nowhere")
    answer = await ann.request("POST", "/api/connections", json={**GOOD, "refreshToken": MARK})
    assert answer.status_code == 500
    for params in ({"ticket": MARK}, {"cursor": MARK}):
        assert (await ann.request("GET", "/api/connections", params=params)).status_code == 500


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_real_process_discloses_no_secret(
    tmp_path: Path, free_port: Callable[[], int], form: str
) -> None:
    async with local_sandbox(orders=20, speed=3000) as url:
        environ = {**amazon.environ(url), "AMAZON_CLIENT_SECRET": f"{MARK}-of-the-application"}
        with service(
            tmp_path, free_port(), LOG_LEVEL="debug", LOG_FORMAT=form, **environ
        ) as server:
            headers = {"Authorization": f"Bearer {token('ann', note=MARK)}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
                ann = Listener(client)
                await bad_tokens(ann)
                await bad_bodies(ann)
                await consent(ann)
                ticket = await whole_life(ann, amazon.connection(1, 20))
                at_rest = DATABASES.content(tmp_path)
                await faults(ann, tmp_path)
            assert server.terminate(10) == 0
            out = ann.everything(server)
    assert out.count("Traceback") >= 3, "the errors are in the log"
    assert len(out) > 20_000
    bearer = headers["Authorization"].removeprefix("Bearer ")
    for secret in (MARK, SECRET, KEY, bearer, bearer.rpartition(".")[2], ticket, ticket[-40:]):
        assert secret not in out, _around(out, secret)
    assert not TOKENS.search(out)
    for secret in (MARK, SECRET, KEY, bearer, ticket, "Atzr|", "Atza|"):
        assert secret.encode() not in at_rest


def _around(text: str, secret: str) -> str:
    place = text.index(secret)
    return text[max(0, place - 200) : place + 200]
