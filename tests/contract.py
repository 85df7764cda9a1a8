"""Every answer that any test gets is held against `/openapi.json`: see `promised`."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import msgspec

from service.api.routes import CALLS
from service.wire.openapi import document

DOCUMENT = msgspec.json.decode(msgspec.json.encode(document(CALLS, demo=False, names={})))
Json = dict[str, Any]


async def promised(answer: httpx.Response) -> None:
    """A response hook of httpx: an answer must be one that the contract tells of, in the shape that
    it says. Faults of ours, which some tests provoke, are in no contract."""
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
    told = operations[method]["responses"].get(str(answer.status_code))
    assert told is not None, f"{what}: not in the contract: {(await answer.aread())[:500]!r}"
    if "$ref" in told:
        told = DOCUMENT["components"]["responses"][told["$ref"].rpartition("/")[2]]
    content = told.get("content", {})
    assert kind in content or not (kind or content), f"{what}: {kind!r} is none of {list(content)}"
    if kind.endswith("json") and request.method != "HEAD":
        body = msgspec.json.decode(await answer.aread())
        wrong = [f"{each.instance_path}: {each.message}" for each in _wrong(body, content[kind])]
        assert not wrong, f"{what}: {wrong}"


def fits(body: Any, name: str) -> bool:
    """Whether something has the shape of that name."""
    return bool(_validator(name).is_valid(body))


def _wrong(body: Any, content: Json) -> Iterator[Any]:
    yield from _of(msgspec.json.encode(content["schema"])).iter_errors(body)


@cache
def _validator(name: str) -> Any:
    return _of(msgspec.json.encode({"$ref": f"#/components/schemas/{name}"}))


@cache
def _of(schema: bytes) -> Any:
    whole = msgspec.json.decode(schema) | {"components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Words of a path before its parameters: /api/sync/status is no /api/sync/{something}."""
    paths = sorted(DOCUMENT["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\?{\w+\\?}", "[^/]+", re.escape(path))), path) for path in paths]


def _operations(asked: str) -> tuple[str | None, Json]:
    for pattern, path in _patterns():
        if pattern.fullmatch(asked):
            return path, DOCUMENT["paths"][path]
    return None, {}
