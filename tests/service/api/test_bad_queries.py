"""Invalid query parameters: the parameter is named, and nothing changes."""

import base64
import json
from typing import Any

import pytest

from tests.service.api.answers import (
    CONNECT,
    fields,
    problem,
    visible_state,
)
from tests.serving import User

pytestmark = pytest.mark.anyio


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


HISTORY: list[tuple[str, str]] = [
    *(
        (f"limit={value}", "limit")
        for value in (
            *("0", "-1", "101", "abc", "1e3", "1.0", "", "+5", "%2B5", "%205", "5%20", "5%0A"),
            *("0x5", "1_0", "٣", "５", "²", "%00", "9" * 400, "None", "true", "NaN"),  # noqa: RUF001
        )
    ),
    *((f"offset={value}", "offset") for value in ("-1", "10001", "x", "1e2", "9" * 30)),
    *(
        (f"cursor={value}", "cursor")
        for value in (
            *("", "x", "%00", "é", "====", "W10", "bnVsbA", cursor(), cursor("sync_x")),
            *(cursor("history"), cursor("history", 1), cursor("history", ""), cursor("data", "x")),
            *(cursor("history", "a", "b"), cursor("items", "a", "b"), "A" * 9000, "W1tb"),
        )
    ),
    ("offset=0&cursor=" + cursor("history", "sync_x"), "offset"),
    ("status=unknown", "status"),
    ("status=pending", "status"),
    ("status=COMPLETE", "status"),
    ("from=yesterday", "from"),
    ("from=2026-01-15", "from"),
    ("from=2026-01-15T12:00:00", "from"),
    ("to=", "to"),
    ("to=1767225600", "to"),
    ("from=0001-01-01T00:00:00%2B23:59", "from"),
    ("to=9999-12-31T23:59:59-23:59", "to"),
    ("from=2026-01-15T12:00:00+02:00", "from"),  # an unescaped plus is a space
    ("page=2", "page"),
    ("Limit=5", "Limit"),
    ("limit=5&limit=6", "limit"),
    ("conectionId=x", "conectionId"),
    ("%ff=1", "\ufffd"),
]


async def test_an_invalid_parameter_of_the_history_is_named(ann: User) -> None:
    for query, field in HISTORY:
        answer = await ann.get(f"/api/sync/history?{query}")
        assert answer.status_code == 422, query
        assert fields(problem(answer, 422, "invalid")) == [field], query


async def test_an_invalid_parameter_of_the_data_is_named(ann: User) -> None:
    for query, field in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=٣", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=" + cursor("items", "a", "b"), "cursor"),
        ("cursor=" + cursor("data", "a"), "cursor"),
        ("offset=1", "offset"),
        ("dataset=orders", "dataset"),
    ]:
        answer = await ann.get(f"/api/data/orders?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query
    problem(await ann.get("/api/data/nope"), 404, "not_found")
    problem(await ann.get("/api/data/claims"), 404, "not_found")
    problem(await ann.get("/api/data/orders?connectionId=nope"), 404, "not_found")


async def test_an_invalid_parameter_of_the_items_is_named(ann: User) -> None:
    path = f"/api/sync/history/{await ann.start()}/items"
    for query, field in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=" + cursor("data", "a", "b"), "cursor"),
        ("status=nope", "status"),
        ("offset=1", "offset"),
    ]:
        answer = await ann.get(f"{path}?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query
    assert (await ann.get(f"{path}?dataset=&status=")).status_code == 200
    assert (await ann.get(f"{path}?dataset=%00")).json()["items"] == []


async def test_a_delete_with_an_invalid_parameter_changes_nothing(ann: User) -> None:
    before = await visible_state(ann)
    path = f"{CONNECT}/{before[2]['connections'][0]['id']}"
    for query, field in [
        ("data=all", "data"),
        ("data=", "data"),
        ("data=keep&data=erase", "data"),
        ("date=erase", "date"),
    ]:
        answer = await ann.http.delete(f"{path}?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field]
    assert await visible_state(ann) == before
