"""Tickets: each opens only one stream of one user, for 15 minutes."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.fernet import Fernet

from service.credentials import read_keys
from service.edge.tickets import Ticket, Tickets
from service.users import Actor
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import SLOW, TINY, connection_to, problem, visible_state
from tests.service.api.streams import data, stream, until_streams
from tests.serving import KEY, YEAR_2100, Serving, User, read, serve, token

pytestmark = pytest.mark.anyio

PATH = "/api/sse/ticket"


async def ticket(user: User, sync_id: str) -> str:
    answer = await user.post(PATH, {"syncId": sync_id})
    assert answer.status_code == 200, answer.text
    text: str = read(answer)["ticket"]
    return text


async def follow(service: Serving, sync_id: str, text: str) -> httpx.Response:
    """The response; if the stream opens, only its head."""
    path = f"/api/sse/sync-progress/{sync_id}"
    async with service.anonymous() as client:
        async with client.stream("GET", path, params={"ticket": text}) as answer:
            if answer.status_code != 200:
                await answer.aread()
        return answer


async def start_sync(service: Serving, user: User) -> str:
    await user.connect()
    return await user.start()


async def test_a_ticket_opens_the_stream_of_its_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        sync_id = await start_sync(service, ann)
        answer = await ann.post(PATH, {"syncId": sync_id})
        assert answer.headers["cache-control"] == "no-store"
        body = read(answer)
        assert set(body) == {"ticket", "expiresIn"} and 895 <= body["expiresIn"] <= 900
        anonymous = User(service.anonymous())
        path = f"/api/sse/sync-progress/{sync_id}?ticket={body['ticket']}"
        async with anonymous.http, stream(anonymous, path) as opened:
            first = await opened.event()
            assert (first["event"], data(first)["syncId"]) == ("progress", sync_id)
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert (await opened.rest())[-1]["event"] == "cancelled"
        async with service.anonymous() as client:
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
            version = (await ann.status(sync_id))["version"]
            answer = await client.get(path, headers={"Last-Event-ID": str(version)})
            assert answer.status_code == 204


async def test_a_ticket_needs_no_escaping_in_a_url(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user("änn & co?#", tenant="ten=ant")
        await ann.connect()
        done = await ann.whole_sync()
        text = await ticket(ann, done["syncId"])
        assert httpx.URL(f"http://x/?ticket={text}").params["ticket"] == text
        assert re.fullmatch("[A-Za-z0-9_-]+", text)
        assert (await follow(service, done["syncId"], text)).status_code == 200


async def test_a_ticket_opens_no_other_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        first, second = await ann.whole_sync(), await ann.whole_sync()
        await bob.connect()
        other_users = await bob.whole_sync()
        text = await ticket(ann, first["syncId"])
        assert (await follow(service, first["syncId"], text)).status_code == 200
        for other in (second["syncId"], other_users["syncId"], "sync_x"):
            problem(await follow(service, other, text), 401, "unauthenticated")


async def test_a_ticket_requires_a_sync_of_the_user(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann, bob = service.user("ann"), service.user("bob", tenant="ann")
        sync_id = await start_sync(service, ann)
        for requested in (sync_id, "sync_x", "", "\0", "x" * 5000):
            problem(await bob.post(PATH, {"syncId": requested}), 404, "not_found")
        async with service.anonymous() as client:
            answer = await client.post(PATH, json={"syncId": sync_id})
            problem(answer, 401, "unauthenticated")
            answer = await client.post(f"{PATH}?ticket={await ticket(ann, sync_id)}")
            problem(answer, 401, "unauthenticated")


async def test_an_invalid_body_gets_no_ticket(service: Serving) -> None:
    ann = service.user()
    for body in (
        b"{}",
        b'{"syncId":1}',
        b'{"syncId":null}',
        b'{"syncId":"x","a":1}',
        b"[]",
        b"null",
    ):
        problem(await ann.http.post(PATH, content=body), 422, "invalid")
    problem(await ann.http.post(PATH, content=b""), 400, "invalid_json")


async def test_a_forged_ticket_opens_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        sync_id = await start_sync(service, service.user())
        valid = await ticket(service.user(), sync_id)
        claims = Ticket("ann", "ann", "", sync_id, YEAR_2100)
        padded = valid + "=" * (-len(valid) % 4)
        forged = {
            "none": "",
            "a word": "ticket",
            "not ASCII": "é€",
            "null": "\0",
            "far too long": "A" * 20_000,
            "truncated": valid[:-4],
            "extended": valid + "AAAA",
            "a different first letter": "h" + valid[1:],
            "of another service": Tickets(Fernet.generate_key().decode()).write(claims),
            "encrypted with the key of the credentials": read_keys(KEY)
            .encrypt(b'["ann"]')
            .decode(),
            "encrypted with that key, with all claims": read_keys(KEY)
            .encrypt(msgspec.json.encode(claims))
            .decode(),
            "a token": token(),
            "credentials at rest": (await _credentials(service))[0],
        }
        forged |= {
            f"letter {place} replaced": valid[:place]
            + ("A" if valid[place] != "A" else "B")
            + valid[place + 1 :]
            for place in range(12, len(padded) - 4, 7)
        }
        for name, text in forged.items():
            answer = await follow(service, sync_id, text)
            assert answer.status_code == 401, name
            body = problem(answer, 401, "unauthenticated")
            assert "/api/sse/ticket" in body["detail"]
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert service.parts.hub.count == 0
        assert (await follow(service, sync_id, valid)).status_code == 200


async def _credentials(service: Serving) -> list[str]:
    connections = await service.parts.connections.list(Actor("ann", "ann"))
    return [str(connection.credentials) for connection in connections]


async def test_a_ticket_takes_precedence_over_a_token(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        path = f"/api/sse/sync-progress/{done['syncId']}"
        problem(await ann.get(path, params={"ticket": "made up"}), 401, "unauthenticated")
        bob = service.user("bob")
        params = {"ticket": await ticket(ann, done["syncId"])}
        assert (await bob.get(path, params=params)).status_code == 200


async def test_a_ticket_is_valid_for_15_minutes(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **TINY) as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        text = await ticket(ann, done["syncId"])
        clock.advance(minutes=14, seconds=50)
        assert (await follow(service, done["syncId"], text)).status_code == 200
        clock.advance(10)
        problem(await follow(service, done["syncId"], text), 401, "unauthenticated")


async def test_a_ticket_expires_with_the_token_that_requested_it(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **TINY) as service:
        await service.user().connect()
        done = await service.user().whole_sync()
        headers = {"Authorization": f"Bearer {token(exp=time.time() + 60)}"}
        async with service.anonymous(headers=headers) as client:
            answer = await client.post(PATH, json={"syncId": done["syncId"]})
        assert 50 <= read(answer)["expiresIn"] <= 60
        assert (await follow(service, done["syncId"], read(answer)["ticket"])).status_code == 200
        clock.advance(61)
        answer = await follow(service, done["syncId"], read(answer)["ticket"])
        problem(answer, 401, "unauthenticated")


async def test_a_stream_ends_with_its_ticket(tmp_path: Path) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock, **SLOW) as service:
        ann = service.user()
        headers = {"Authorization": f"Bearer {token(exp=time.time() + 60)}"}
        sync_id = await start_sync(service, ann)
        async with service.anonymous(headers=headers) as client:
            text = read(await client.post(PATH, json={"syncId": sync_id}))["ticket"]
        anonymous = User(service.anonymous())
        path = f"/api/sse/sync-progress/{sync_id}?ticket={text}"
        async with anonymous.http, stream(anonymous, path) as opened:
            assert await opened.block() == {"retry": "3000"}
            await opened.event()
            clock.advance(58)
            await until_streams(service, 1)
            clock.advance(2)
            await opened.rest(5)
        await until_streams(service, 0)


@pytest.mark.parametrize("mode", ["jwt", "demo"])
async def test_a_ticket_is_valid_after_a_restart_and_a_change_of_keys(
    tmp_path: Path, mode: str
) -> None:
    newer = Fernet.generate_key().decode()
    environ: Any = {"AUTH_MODE": mode, **TINY}
    async with serve(tmp_path, **environ) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        text = await ticket(ann, sync_id)
    for keys, status in ((KEY, 200), (f"{newer}, {KEY}", 200), (newer, 401)):
        async with serve(tmp_path, SECRETS_KEYS=keys, **environ) as service:
            assert (await follow(service, sync_id, text)).status_code == status, keys


async def test_demo_mode_without_keys_issues_tickets(tmp_path: Path) -> None:
    environ: Any = {"AUTH_MODE": "demo", "SECRETS_KEYS": "", **TINY}
    async with serve(tmp_path, **environ) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        assert (await follow(service, sync_id, await ticket(ann, sync_id))).status_code == 200
        problem(await follow(service, sync_id, "made up"), 401, "unauthenticated")


async def test_requesting_tickets_changes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        before = await visible_state(ann)
        tickets = {await ticket(ann, sync_id) for _ in range(5)}
        assert len(tickets) == 5
        assert await visible_state(ann) == before


async def test_an_undecodable_ticket_gets_401(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service, connection_to(service) as raw:
        await raw.send(
            b"GET /api/sse/sync-progress/x?ticket=%ff%fe&ticket=%00 HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert (await raw.receive()).startswith(b"HTTP/1.1 401 ")


def test_only_the_service_can_read_a_ticket() -> None:
    ticket = Ticket(sub="ann", tenant="acme", plan="gold", sync_id="sync_1", expires=12345.5)
    tickets = Tickets(KEY)
    assert tickets.read(tickets.write(ticket)) == ticket
    assert ticket.until == datetime.fromtimestamp(12345.5, UTC)
    with pytest.raises(ValueError):
        Tickets(Fernet.generate_key().decode()).read(tickets.write(ticket))
