"""The document at /openapi.json is complete, consistent and correct."""

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


async def test_the_document_is_public(service: Serving) -> None:
    async with service.anonymous() as client:
        body = read(await client.get("/openapi.json"))
    assert body["components"] == DOCUMENT["components"]
    (dataset,) = (
        parameter
        for parameter in body["paths"]["/api/data/{dataset}"]["get"]["parameters"]
        if parameter["in"] == "path"
    )
    assert {"orders", "inventory", "transactions"} <= set(dataset["schema"]["enum"])


async def test_the_document_contains_every_route(service: Serving) -> None:
    real = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route) and route.path not in PAGES
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = DOCUMENT["paths"]
    assert {(path, method) for path in paths for method in paths[path]} == real
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(CALLS)
    assert all(operation["summary"] for path in paths.values() for operation in path.values())


async def test_every_reference_in_the_document_resolves() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    pointers = set(re.findall(r'"\$ref":"#/components/(\w+)/([^"]+)"', text))
    assert len(pointers) > 50
    for kind, name in pointers:
        assert name in DOCUMENT["components"][kind], name
    for kind in ("schemas", "responses"):
        assert {name for section, name in pointers if section == kind} == set(
            DOCUMENT["components"][kind]
        )


async def test_schemas_have_no_suffix_and_describe_their_fields() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"Dataset", "Recovery", "AuditEntry"} <= schemas.keys()
    assert not [name for name in schemas if name.endswith("Out")]
    assert not [schema for schema in schemas.values() if schema.get("title", "").endswith("Out")]
    described = schemas["Dataset"]["properties"]["processed"]["description"]
    assert described == "The sum of the other counts. A record that is read twice counts once."
    inherited = schemas["ProvenRecovery"]["properties"]["valuation"]["description"]
    assert inherited == schemas["Recovery"]["properties"]["valuation"]["description"]
    history = DOCUMENT["paths"]["/api/sync/history"]["get"]["parameters"]
    assert all(p["description"] for p in history if p["name"] in ("offset", "from", "to"))


async def test_every_error_is_documented_with_its_code_and_text() -> None:
    documented = {
        code
        for response in DOCUMENT["components"]["responses"].values()
        for code in response["content"]["application/problem+json"]["schema"]["allOf"][1][
            "properties"
        ]["code"]["enum"]
    }
    # Internal errors, and errors before the call is known.
    undocumented = {"internal_error", "illegal_move"}
    undocumented |= {"bad_request", "head_too_large", "method_not_allowed"}
    undocumented |= {"request_timeout", "too_many_connections"}
    assert documented == {error.code for error in _error_types(ServiceError)} - undocumented
    assert all(error.default_text() for error in _error_types(ServiceError))


def _error_types(base: type[ServiceError]) -> list[type[ServiceError]]:
    below = [
        subclass for subclass in base.__subclasses__() if subclass.__module__ == "service.errors"
    ]
    return [base, *(error for subclass in below for error in _error_types(subclass))]


async def test_in_demo_mode_the_document_has_no_security_schemes(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, AUTH_MODE="demo") as service,
        service.anonymous() as client,
    ):
        body = read(await client.get("/openapi.json"))
    assert "securitySchemes" not in body["components"]
    assert not [
        operation
        for path in body["paths"].values()
        for operation in path.values()
        if operation["security"]
    ]
