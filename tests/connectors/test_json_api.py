"""Calls of a JSON API: what its refusals become, and the fake API of conformance cases."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connectors.base import ConnectionLost, ConnectorError, QuotaReason, Retryable
from connectors.conformance import FakeApi, Stand
from connectors.json_api import MAX_REFUSALS, JsonApi, RefusedCall, open_json_api

from .clocks import JumpingClock
from .serving import serving

pytestmark = pytest.mark.anyio

Body = dict[str, str]


class Caller:
    """A client of a source that answers with `response`, five times a minute."""

    def __init__(self, api: JsonApi, clock: JumpingClock) -> None:
        self.api = api
        self.clock = clock
        self.waits: list[tuple[float, str]] = []

    async def waiting(self, until: datetime, why: str) -> None:
        assert isinstance(why, QuotaReason) and why.operation == "/things"
        self.waits.append(((until - self.clock.now()).total_seconds(), why))

    async def call(self) -> Body:
        return await self.api.get("/things", {"a": "1"}, "token", self.waiting, Body)


@asynccontextmanager
async def calling(response: Response, calls: int = 5) -> AsyncIterator[Caller]:
    def respond(request: Request, records: Mapping[str, object]) -> Response:
        assert request.headers["authorization"] == "Bearer token"
        assert (request.url.path, request.query_params["a"]) == ("/things", "1")
        return response

    clock = JumpingClock()
    fake = FakeApi(variable="URL", records=lambda now: {}, respond=respond, calls=calls)
    async with (
        fake(Stand(clock, serving), False) as environ,
        open_json_api(clock, "The shop", environ["URL"] + "/") as api,
    ):
        yield Caller(api, clock)


async def test_a_call_waits_as_long_as_retry_after_says() -> None:
    async with calling(JSONResponse({"id": "1"})) as caller:
        for _ in range(6):
            assert await caller.call() == {"id": "1"}
        assert caller.waits == [(60.0, "The shop, which limits calls")]
        assert caller.clock.slept == [60.0]


async def test_without_retry_after_the_pauses_grow_and_the_call_can_be_retried_later() -> None:
    async with calling(Response(status_code=429), calls=1000) as caller:
        with pytest.raises(Retryable, match="The shop accepts no calls"):
            await caller.call()
        assert len(caller.clock.slept) == MAX_REFUSALS
        assert caller.clock.slept == sorted(caller.clock.slept)
        assert len(caller.waits) == len([pause for pause in caller.clock.slept if pause > 1])


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(status_code=401), ConnectionLost),
        (Response(status_code=403), ConnectionLost),
        (Response(status_code=503), Retryable),
        (Response(status_code=404), RefusedCall),
        (Response(b"<html>"), Retryable),
        (Response(b"\xff"), Retryable),
        (Response(b"[" * 100_000), Retryable),
        (JSONResponse(["not", "a", "mapping"]), Retryable),
    ],
    ids=lambda value: str(getattr(value, "status_code", "")),
)
async def test_what_a_source_refuses_is_an_error_with_a_remedy(
    response: Response, kind: type[ConnectorError]
) -> None:
    async with calling(response, calls=1000) as caller:

        async def waiting(until: datetime, why: str) -> None:
            """The HTTP client announces its own pauses after 5xx."""

        with pytest.raises(kind, match="The shop") as caught:
            await caller.api.get("/things", {"a": "1"}, "token", waiting, Body)
        assert "token" not in str(caught.value)
        if isinstance(caught.value, RefusedCall):
            assert caught.value.status == response.status_code


async def test_the_fake_api_refuses_calls_until_its_minute_is_over() -> None:
    async with calling(JSONResponse({}), calls=2) as caller:
        for _ in range(5):
            await caller.call()
        assert caller.clock.slept == [60.0, 60.0]
