"""Random bodies and queries never cause an internal error."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.service.api.answers import (
    CONNECT,
    START,
    TINY,
    problem,
    send,
)
from tests.serving import User, serve

pytestmark = pytest.mark.anyio

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=st.none() | zones | st.just(UTC)).map(datetime.isoformat)
starts = st.fixed_dictionaries(
    {},
    optional={
        "connectionId": anything,
        "datasets": st.lists(st.sampled_from(["orders", "inventory", "x"]), max_size=3) | anything,
        "since": moments | anything,
        "until": moments | anything,
        "onConflict": st.sampled_from(["reject", "attach"]) | anything,
    },
)
connects = st.fixed_dictionaries(
    {"connector": st.sampled_from(["demo", "amazon"]) | anything, "refreshToken": anything},
    optional={
        "region": anything,
        "marketplaceIds": st.lists(st.text(max_size=9), max_size=3) | anything,
        "environment": anything,
        "skipHistoricalSync": st.booleans() | anything,
        "x": anything,
    },
)
FEW_EXAMPLES = hypothesis_settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def tiny(tmp_path: Path) -> AsyncIterator[User]:
    async with serve(tmp_path, **TINY) as service:
        user = service.user()
        await user.connect()
        yield user


def no_internal_error(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem(answer, answer.status_code, answer.json()["code"])


@FEW_EXAMPLES
@given(body=starts | anything)
async def test_no_body_of_a_start_is_an_internal_error(tiny: User, body: Any) -> None:
    no_internal_error(await send(tiny, START, json.dumps(body).encode()))


@FEW_EXAMPLES
@given(body=connects | anything)
async def test_no_body_of_a_connect_is_an_internal_error(tiny: User, body: Any) -> None:
    if isinstance(body, dict) and body.get("connector") == "amazon":
        body["refreshToken"] = None  # so that no request goes to Amazon
    no_internal_error(await send(tiny, CONNECT, json.dumps(body).encode()))


@FEW_EXAMPLES
@given(body=st.binary(max_size=200))
async def test_no_bytes_are_an_internal_error(tiny: User, body: bytes) -> None:
    no_internal_error(await send(tiny, START, body))
    no_internal_error(await send(tiny, CONNECT, body))


@FEW_EXAMPLES
@given(
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "offset", "status", "connector", "from", "to", "x"]),
        st.text(max_size=30) | st.integers().map(str) | moments,
        max_size=3,
    )
)
async def test_no_query_is_an_internal_error(tiny: User, query: dict[str, str]) -> None:
    for path in ("/api/sync/history", "/api/data/orders"):
        no_internal_error(await tiny.get(path, params=query))
