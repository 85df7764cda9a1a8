"""Checks every response that a test receives against `/openapi.json`."""

import re
from functools import cache, lru_cache
from typing import Any

import httpx
import jsonschema_rs
import msgspec

import connectors
from connectors.base import ConnectionSettings
from service.api.routes import CALLS
from service.wire.openapi import document


def declared_settings() -> list[type[ConnectionSettings]]:
    """The settings of every connector, which importing its package declares."""
    packages = [connectors.find(name).__module__.rpartition(".")[0] for name in connectors.names()]
    return [
        struct
        for package in packages
        for struct in ConnectionSettings.__subclasses__()
        if struct.__module__.startswith(f"{package}.")
    ]


DOCUMENT = msgspec.json.decode(
    msgspec.json.encode(document(CALLS, demo=False, names={}, settings=declared_settings()))
)
Json = dict[str, Any]


async def check_documented(answer: httpx.Response) -> None:
    """A response hook of httpx: a response must be documented and match its schema. Internal
    errors, which some tests provoke, are not documented."""
    request = answer.request
    path, operations = _operations(request.url.path)
    method = request.method.lower().replace("head", "get")
    if path is None or method == "options" or answer.status_code == 500:
        return
    what = f"{request.method} {path} -> {answer.status_code}"
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if method not in operations:
        assert answer.status_code in (401, 405, 503), what
        return
    response = operations[method]["responses"].get(str(answer.status_code))
    assert response is not None, f"{what}: not in the contract: {(await answer.aread())[:500]!r}"
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {})
    assert kind in content or not (kind or content), (
        f"{what}: {kind!r} is not one of {list(content)}"
    )
    if kind.endswith(("/json", "+json")) and request.method != "HEAD":
        body = msgspec.json.decode(await answer.aread())
        validator = _validator_of(msgspec.json.encode(content[kind]["schema"]))
        if not validator.is_valid(body):
            errors = [f"{e.instance_path}: {e.message}" for e in validator.iter_errors(body)]
            raise AssertionError(f"{what}: {errors}")


def matches_schema(body: Any, name: str) -> bool:
    """Whether a value matches the schema of that name."""
    return bool(_validator(name).is_valid(body))


@cache
def _validator(name: str) -> Any:
    return _validator_of(msgspec.json.encode({"$ref": f"#/components/schemas/{name}"}))


@cache
def _validator_of(schema: bytes) -> Any:
    resolvable = msgspec.json.decode(schema) | {"components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(resolvable, validate_formats=True)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Patterns of the paths; those without parameters first, since /api/sync/status would also
    match /api/sync/{something}."""
    paths = sorted(DOCUMENT["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\?{\w+\\?}", _segment, re.escape(path))), path) for path in paths]


def _segment(parameter: re.Match[str]) -> str:
    """The pattern of a path parameter. Only the id of a record may contain slashes."""
    return "(?s:.+)" if "record_id" in parameter[0] else "[^/]+"


@lru_cache(1000)
def _operations(requested: str) -> tuple[str | None, Json]:
    for pattern, path in _patterns():
        if pattern.fullmatch(requested):
            return path, DOCUMENT["paths"][path]
    return None, {}
