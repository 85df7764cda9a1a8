"""The contract at /openapi.json: whole, of one piece, and of what the service really does."""

import re
from pathlib import Path

import msgspec
import pytest
from starlette.routing import Route

from service.api.routes import CALLS, routes
from service.errors import ServiceError
from tests.contract import DOCUMENT
from tests.serving import Serving, read, serve

pytestmark = pytest.mark.anyio

PAGES = {"/", "/docs"}


async def test_everybody_can_read_the_contract(service: Serving) -> None:
    async with service.anonymous() as client:
        told = read(await client.get("/openapi.json"))
    assert told["components"] == DOCUMENT["components"]
    (dataset,) = (
        each
        for each in told["paths"]["/api/data/{dataset}"]["get"]["parameters"]
        if each["in"] == "path"
    )
    assert {"orders", "inventory", "transactions"} <= set(dataset["schema"]["enum"])


async def test_the_contract_tells_every_route(service: Serving) -> None:
    real = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route) and route.path not in PAGES
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = DOCUMENT["paths"]
    assert {(path, method) for path in paths for method in paths[path]} == real
    names = [each["operationId"] for path in paths.values() for each in path.values()]
    assert len(names) == len(set(names)) == len(CALLS)
    assert all(each["summary"] for path in paths.values() for each in path.values())


async def test_whatever_the_contract_points_to_is_there() -> None:
    whole = msgspec.json.encode(DOCUMENT).decode()
    pointers = set(re.findall(r'"\$ref":"#/components/(\w+)/([^"]+)"', whole))
    assert len(pointers) > 50
    for kind, name in pointers:
        assert name in DOCUMENT["components"][kind], name
    for kind in ("schemas", "responses"):
        assert {name for each, name in pointers if each == kind} == set(
            DOCUMENT["components"][kind]
        )


async def test_a_refusal_is_told_by_its_code_and_in_words() -> None:
    told = {
        code
        for each in DOCUMENT["components"]["responses"].values()
        for code in each["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"][
            "code"
        ]["enum"]
    }
    # Faults of ours; and what comes before it is known which call is meant.
    never = {"internal_error", "illegal_move"}
    never |= {"bad_request", "head_too_large", "method_not_allowed"}
    never |= {"request_timeout", "too_many_connections"}
    assert told == {each.code for each in _kinds(ServiceError)} - never
    assert all(each.words() for each in _kinds(ServiceError))


def _kinds(base: type[ServiceError]) -> list[type[ServiceError]]:
    below = [each for each in base.__subclasses__() if each.__module__ == "service.errors"]
    return [base, *(deeper for each in below for deeper in _kinds(each))]


async def test_in_demo_mode_nobody_is_asked_who_he_is(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, AUTH_MODE="demo") as service,
        service.anonymous() as client,
    ):
        told = read(await client.get("/openapi.json"))
    assert "securitySchemes" not in told["components"]
    assert not [
        each for path in told["paths"].values() for each in path.values() if each["security"]
    ]
