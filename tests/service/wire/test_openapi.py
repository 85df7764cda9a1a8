"""The document at /openapi.json is complete, consistent and correct."""

import re
from pathlib import Path

import msgspec
import pytest
from starlette.routing import Route

from service.api.routes import CALLS, routes
from service.errors import ServiceError
from service.wire.feed_shapes import EVENT_TYPES
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
        for code in response["content"]["application/problem+json"]["examples"]
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


async def test_no_schema_has_a_default() -> None:
    """Generated clients would take the field for one that is always present."""
    assert b'"default":' not in msgspec.json.encode(
        {"paths": DOCUMENT["paths"], "schemas": DOCUMENT["components"]["schemas"]}
    )
    fields = DOCUMENT["components"]["schemas"]["StartIn"]["properties"]
    assert fields["priority"]["description"].endswith("highest first. By default `0`.")
    assert fields["onConflict"]["description"].endswith('By default `"reject"`.')
    (limit,) = (
        parameter
        for parameter in DOCUMENT["paths"]["/api/sync/history"]["get"]["parameters"]
        if parameter["name"] == "limit"
    )
    assert "By default `20`." in limit["description"]


async def test_every_type_of_event_has_a_webhook_with_its_headers() -> None:
    hooks = DOCUMENT["webhooks"]
    assert set(EVENT_TYPES) < set(hooks)
    for kind, operations in hooks.items():
        request = operations["post"]
        assert [header["name"] for header in request["parameters"]] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ]
        body = request["requestBody"]["content"]["application/json"]
        assert body["schema"]["properties"]["type"]["enum"] == [kind]
        assert body["example"]["type"] == kind
    names = [operations["post"]["operationId"] for operations in hooks.values()]
    assert names[:2] == ["onSyncStarted", "onSyncCompleted"] and len(set(names)) == len(names)


async def test_the_event_streams_of_the_feeds_are_described() -> None:
    for path in ("/api/changes", "/api/events"):
        content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
        assert content["text/event-stream"]["schema"] == {"$ref": "#/components/schemas/FeedBlock"}
