"""The contract as an OpenAPI 3.1 document, made of the table of calls and the shapes they name."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec.structs import fields

from service.wire import shapes
from service.wire.connector_fields import ConnectorFields
from service.wire.contract import JSON, Call, Refusal
from service.wire.reading import parameters

TICKETED = "/api/sse/sync-progress/{sync_id}"
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/{name}"
TITLE, VERSION = "Seller sync", "1"
"""Of the contract: it grows, but what it has once promised stays."""
ABOUT = (
    "Starts, shows and resumes imports of a seller's account, and says what money is owed. JSON is "
    "camelCase, times are RFC 3339 in UTC, an unknown number is null. Refusals are RFC 9457 "
    "problems: `detail` says what to do, `code` is for programs. Somebody else's things are 404."
)
HEADERS = {
    "Idempotency-Key": (
        "For a day the same key and body are the same sync.",
        {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    ),
    "If-None-Match": ("The ETag that is known.", {"type": "string"}),
    "Last-Event-ID": ("The id of the last event that was seen.", {"type": "string"}),
}
TOLD = {
    "ETag": "Changes with every version of the sync.",
    "Location": "Where it is.",
    "Retry-After": "Seconds after which it may be worth while.",
}
MAKES = (
    ("/api/sync/start", "202", "sync_id", "syncId"),
    ("/api/connections", "201", "connection_id", "id"),
)
"""Which calls make what others are about: with which status, for which parameter, in which field.
"""
IDENTITIES: Any = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "HS256, RS256 or ES256. `sub` and `exp` are required; `tenant` is the `sub` "
        "if it is missing, and both together are the user.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "The same token, put there by POST /api/session; for pages of this origin.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "Of POST /api/sse/ticket: good for the stream of one sync.",
    },
}

Json = dict[str, Any]
Names = Mapping[str, Sequence[str]]


def document(
    calls: Sequence[Call], demo: bool, names: Names, settings: Sequence[type[msgspec.Struct]]
) -> Json:
    """All of it; `names` are those that a word of a path may be, `settings` what each connector
    needs. In demo mode nobody is asked who he is."""
    components: Json = {"schemas": {}, "responses": {}}
    _schema(shapes.Problem, components)
    paths: Json = {}
    connector_fields = ConnectorFields(settings)
    for call in calls:
        told = _call(call, components, names, connector_fields)
        told["security"] = [] if demo else [{way: []} for way in _ways(call)]
        paths.setdefault(call.path, {})[call.method.lower()] = told
    connector_fields.add_to(components["schemas"])
    for path, status, name, field in MAKES:
        given = {"parameters": {name: f"$response.body#/{field}"}}
        users = [_name(call) for call in calls if name in call.words]
        links = {each: {"operationId": each, **given} for each in users}
        paths[path]["post"]["responses"][status]["links"] = links
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components | ({} if demo else {"securitySchemes": IDENTITIES}),
    }


def _ways(call: Call) -> Sequence[str]:
    """To say who asks: any of these; nobody needs to where there is none."""
    if not call.private:
        return ()
    return ("bearer", "session", "ticket") if call.path == TICKETED else ("bearer", "session")


def _schema(shape: Any, components: Json) -> Json:
    """The schema of a shape; what it is made of is put among the components."""
    (schema,), parts = msgspec.json.schema_components([shape], ref_template=SCHEMAS)
    components["schemas"].update(parts)
    return schema


def _call(call: Call, components: Json, names: Names, connector_fields: ConnectorFields) -> Json:
    text = " ".join((inspect.getdoc(call.endpoint) or "").split())
    summary, _, description = text.partition(". ")
    told: Json = {
        "operationId": _name(call),
        "tags": [call.path.split("/")[2] if call.private else "operations"],
        "summary": summary.rstrip("."),
        "description": description,
        "parameters": list(_parameters(call, names, connector_fields)),
        "responses": _answers(call, components),
    }
    if call.body is not None:
        content = {JSON: {"schema": _schema(call.body, components)}}
        if call.takes_too:
            content[call.takes_too] = {"schema": {"type": "string"}}
        told["requestBody"] = {"content": content, "required": not call.optional}
    return told


def _name(call: Call) -> str:
    """Unique and speakable: getSyncHistory, postSyncStart, …"""
    words = re.findall(r"\w+", call.path.removeprefix("/api").replace("_", " "))
    return call.method.lower() + "".join(word.title() for word in words)


def _parameters(call: Call, names: Names, connector_fields: ConnectorFields) -> Iterator[Json]:
    for name in call.words:
        known = {"enum": names[name]} if name in names else {}
        schema: Json = {"type": "string", **known}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if call.query:
        required = {each.encode_name for each in fields(call.query) if each.required}
        for name, field in connector_fields.parameters(call.query.__name__):
            yield {"name": name, "in": "query", "required": False, "schema": field}
        for name, shape in parameters(call.query).items():
            said = _said(shape)
            yield {"name": name, "in": "query", "required": name in required, "schema": said}
    for name in call.headers:
        description, schema = HEADERS[name]
        yield {"name": name, "in": "header", "description": description, "schema": schema}


def _said(schema: Mapping[str, Any]) -> Json:
    """Of a parameter: null cannot be said in an address, it is left out."""
    if "anyOf" not in schema:
        return dict(schema)
    return next(dict(each) for each in schema["anyOf"] if each.get("type") != "null")


def _answers(call: Call, components: Json) -> Json:
    answers: Json = {str(call.status): {"description": HTTPStatus(call.status).phrase}}
    if call.gives is not None:
        content = {call.media: {"schema": _schema(call.gives, components)}}
        if call.gives_too:
            content[call.gives_too] = {"schema": {"type": "string"}}
        answers[str(call.status)]["content"] = content
    for status, description in call.also.items():
        answers[str(status)] = {"description": description}
    for answer in answers.values():
        if call.tells:
            answer["headers"] = {name: _header(name) for name in call.tells}
    by_status: dict[int, list[Refusal]] = {}
    for refusal in call.refusals:
        by_status.setdefault(refusal.status, []).append(refusal)
    for status, refusals in sorted(by_status.items()):
        answers[str(status)] = _refusal(refusals, components)
    return answers


def _refusal(refusals: Sequence[Refusal], components: Json) -> Json:
    """Many calls refuse alike: it is told once."""
    codes = sorted({each.code for each in refusals})
    name = ".".join(codes)
    schema = {
        "allOf": [
            {"$ref": SCHEMAS.format(name="Problem")},
            {"properties": {"code": {"enum": codes}}},
        ]
    }
    told: Json = {
        "description": " ".join(f"`{each.code}`: {each.words()}" for each in refusals),
        "content": {PROBLEM: {"schema": schema}},
    }
    if any(each.status in (429, 503) for each in refusals):
        told["headers"] = {"Retry-After": _header("Retry-After")}
    components["responses"][name] = told
    return {"$ref": f"#/components/responses/{name}"}


def _header(name: str) -> Json:
    return {"description": TOLD[name], "schema": {"type": "string"}}
