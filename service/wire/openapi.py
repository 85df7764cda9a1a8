"""The OpenAPI 3.1 document, generated from the table of calls and their shapes."""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec.structs import fields

from service.model import Fault, Options
from service.wire import shapes
from service.wire.connector_fields import ConnectorFields
from service.wire.contract import EVENTS, JSON, Call, ErrorType
from service.wire.examples import add_examples
from service.wire.fields import Out
from service.wire.outgoing import webhooks
from service.wire.preferences import MAX_WAIT
from service.wire.reading import In, Query, parameters

TICKETED = ("/api/sse/sync-progress/{sync_id}", "/ws/sync-progress/{sync_id}")
PROBLEM = "application/problem+json"
SCHEMAS = "#/components/schemas/{name}"
TITLE = "Seller sync"
#: The version of the API. Later releases only add to it.
VERSION = "1"
ABOUT = (
    "Imports a seller's account, shows the progress live, and lists the money that is owed. JSON "
    "is camelCase, times are RFC 3339 in UTC, an unknown number is null. Errors are RFC 9457 "
    "problems: `detail` says what to do, `code` is for programs. Resources of another user are "
    "404."
)
REQUEST_HEADERS: Mapping[str, tuple[str, Any]] = {
    "Idempotency-Key": (
        "For a day, the same key with the same body returns the same sync.",
        {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    ),
    "If-None-Match": ("The ETag of the last response.", {"type": "string"}),
    "Last-Event-ID": ("The id of the last event received.", {"type": "string"}),
    "Prefer": (
        f"`wait=N` (RFC 7240): wait up to N seconds, at most {MAX_WAIT}, for the sync to end, or "
        "for its version to differ from If-None-Match. A malformed value is ignored.",
        {"type": "string", "examples": ["wait=30"]},
    ),
    "X-Signature": (
        "`sha256=` and the HMAC-SHA256 of the body with NOTIFICATIONS_SECRET, in hexadecimal.",
        {"type": "string", "pattern": "^sha256=[0-9a-f]{64}$"},
    ),
}
RESPONSE_HEADERS = {
    "Content-Disposition": "The name of a download.",
    "ETag": "Changes whenever the response changes.",
    "Location": "The address of the result.",
    "Preference-Applied": f"`wait=N`, if it was applied: the seconds, at most {MAX_WAIT}.",
    "Retry-After": "Seconds to wait before the next request.",
    "Stream-Cursor": "For live reads: send it as `cursor` with the next read.",
    "Stream-Next-Offset": "The offset of the next read.",
    "Stream-Up-To-Date": "`true` if nothing follows yet.",
    "X-Request-Id": (
        "The id of the request in the logs: the one that the client sent in a header of this name, "
        "if it is 1 to 128 visible ASCII characters, or else a new one."
    ),
    "RateLimit-Policy": (
        'If requests are limited: `"default";q=Q;w=60`. A user may make Q requests a minute.'
    ),
    "RateLimit": (
        'If requests are limited: `"default";r=R;t=T`. The user may make R requests in the next T '
        "seconds."
    ),
}
#: The headers of every response.
ALWAYS = ("X-Request-Id",)
#: The headers of every response to an identified caller.
LIMITED = ("RateLimit-Policy", "RateLimit")
#: The calls that create a resource: path, status, and the path parameter of other calls that takes
#: this field of the response.
LINKS = (
    ("/api/sync/start", "202", "sync_id", "syncId"),
    ("/api/connections", "201", "connection_id", "id"),
    ("/api/webhooks", "201", "webhook_id", "id"),
)
SECURITY_SCHEMES: Any = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "HS256, RS256 or ES256. `sub` and `exp` are required. `tenant` defaults to "
        "`sub`; both together identify the user.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "The same token, set by POST /api/session, for pages of this origin.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "From POST /api/sse/ticket, for the stream or WebSocket of one sync.",
    },
}

_CLASS_OR_COMMENT = re.compile(r"(?m)^class (\w+)|^((?:    #: .+\n)+)    (\w+):")

Json = dict[str, Any]
Names = Mapping[str, Sequence[str]]


def document(
    calls: Sequence[Call], demo: bool, names: Names, settings: Sequence[type[msgspec.Struct]]
) -> Json:
    """The whole document. `names` lists the values of path parameters with a fixed set of values,
    `settings` the settings of each connector. In demo mode, requests are not authenticated."""
    components: Json = {"schemas": {}, "responses": {}, "headers": {}}
    for name in (*ALWAYS, *LIMITED):
        components["headers"][name] = _header(name)
    _schema(shapes.Problem, components)
    paths: Json = {}
    connector_fields = ConnectorFields(settings)
    for call in calls:
        operation = _operation(call, components, names, connector_fields)
        operation["security"] = [] if demo else [{scheme: []} for scheme in _security(call)]
        paths.setdefault(call.path, {})[call.method.lower()] = operation
    connector_fields.add_to(components["schemas"])
    for path, status, name, field in LINKS:
        link = {"parameters": {name: f"$response.body#/{field}"}}
        users = [_operation_id(call) for call in calls if name in call.path_parameters]
        links = {user: {"operationId": user, **link} for user in users}
        paths[path]["post"]["responses"][status]["links"] = links
    made: Json = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "webhooks": webhooks(lambda shape: _schema(shape, components)),
        "components": components | ({} if demo else {"securitySchemes": SECURITY_SCHEMES}),
    }
    describe_defaults(made)
    add_examples(made, connector_fields.by_connector(names.get("connector", ())))
    return made


def _security(call: Call) -> Sequence[str]:
    """The security schemes that a call accepts; none for a public one."""
    if not call.private:
        return ()
    return ("bearer", "session", "ticket") if call.path in TICKETED else ("bearer", "session")


# Operations -----------------------------------------------------------------------------------


def _operation(
    call: Call, components: Json, names: Names, connector_fields: ConnectorFields
) -> Json:
    text = " ".join((inspect.getdoc(call.endpoint) or "").split())
    summary, _, description = text.partition(". ")
    operation: Json = {
        "operationId": _operation_id(call),
        "tags": [_tag(call)],
        "summary": summary.rstrip("."),
        "description": description,
        "parameters": list(_parameters(call, names, connector_fields)),
        "responses": _responses(call, components),
    }
    if call.body is not None:
        content = _content(JSON, call.body, call.also_accepts, components)
        operation["requestBody"] = {"content": content, "required": not call.body_optional}
    return operation


def _tag(call: Call) -> str:
    """The first word of a private path: /api/sync/start is under sync, /ws/… under ws."""
    return call.path.removeprefix("/api").split("/")[1] if call.private else "operations"


def _operation_id(call: Call) -> str:
    """For example: getSyncHistory, postSyncStart."""
    words = re.findall(r"\w+", call.path.removeprefix("/api").replace("_", " "))
    return call.method.lower() + "".join(word.title() for word in words)


def _parameters(call: Call, names: Names, connector_fields: ConnectorFields) -> Iterator[Json]:
    for name in call.path_parameters:
        values = {"enum": names[name]} if name in names else {}
        schema: Json = {"type": "string", **values}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if call.query:
        required = {field.encode_name for field in fields(call.query) if field.required}
        texts = _comments(call.query)
        for name, field in connector_fields.parameters(call.query.__name__):
            yield {"name": name, "in": "query", "required": False, "schema": field}
        for name, described in parameters(call.query).items():
            schema = _without_null(described)
            text = {"description": texts[name]} if name in texts else {}
            yield {
                "name": name,
                "in": "query",
                **text,
                "required": name in required,
                "schema": schema,
            }
    for name in call.request_headers:
        description, schema = REQUEST_HEADERS[name]
        yield {"name": name, "in": "header", "description": description, "schema": schema}


def _without_null(schema: Mapping[str, Any]) -> Json:
    """The schema without null: a query parameter is left out instead."""
    if "anyOf" not in schema:
        return dict(schema)
    return next(dict(choice) for choice in schema["anyOf"] if choice.get("type") != "null")


def _responses(call: Call, components: Json) -> Json:
    responses: Json = {str(call.status): {"description": HTTPStatus(call.status).phrase}}
    if call.response is not None:
        content = _content(call.media_type, call.response, call.also_returns, components)
        if call.events is not None:
            content[EVENTS] = {"schema": _schema(call.events, components)}
        responses[str(call.status)]["content"] = content
    for status, description in call.other_statuses.items():
        responses[str(status)] = {"description": description}
    for status, shape in call.other_responses.items():
        responses[str(status)]["content"] = {JSON: {"schema": _schema(shape, components)}}
    headers = {name: _header(name) for name in call.response_headers}
    for response in responses.values():
        response["headers"] = headers | _shared_headers(call.private)
    by_status: dict[int, list[ErrorType]] = {}
    for error in call.all_errors:
        by_status.setdefault(error.status, []).append(error)
    for status, errors in sorted(by_status.items()):
        responses[str(status)] = _error_response(errors, components)
    return responses


def _content(
    media_type: str, shape: Any, also: str | Sequence[str] | None, components: Json
) -> Json:
    content: Json = {media_type: {"schema": _schema(shape, components)}}
    others = [also] if isinstance(also, str) else also or ()
    return content | {other: {"schema": {"type": "string"}} for other in others}


def _error_response(errors: Sequence[ErrorType], components: Json) -> Json:
    """A reference to a shared response, since many calls have the same errors. All `errors` have
    the same status. There is one schema for all of them, so that generated clients have one type;
    the examples name the codes."""
    by_code = {error.code: error for error in sorted(errors, key=lambda error: error.code)}
    name = ".".join(by_code)
    schema = {"$ref": SCHEMAS.format(name="Problem")}
    examples = {code: {"value": _problem(error)} for code, error in by_code.items()}
    response: Json = {
        "description": " ".join(f"`{error.code}`: {error.default_text()}" for error in errors),
        "content": {PROBLEM: {"schema": schema, "examples": examples}},
    }
    response["headers"] = _shared_headers(limited=errors[0].status != 401)
    if errors[0].status in (429, 503):
        response["headers"]["Retry-After"] = _header("Retry-After")
    components["responses"][name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _problem(error: ErrorType) -> Json:
    named = {"type": f"urn:problem:{error.code}", "title": error.title, "status": error.status}
    return {**named, "detail": error.default_text(), "code": error.code}


def _header(name: str) -> Json:
    return {"description": RESPONSE_HEADERS[name], "schema": {"type": "string"}}


def _shared_headers(limited: bool) -> Json:
    """References to the headers that all responses have, or all of identified callers."""
    names = (*ALWAYS, *LIMITED) if limited else ALWAYS
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# Schemas --------------------------------------------------------------------------------------


def _schema(shape: Any, components: Json) -> Json:
    """The schema of a shape. Schemas that it refers to are added to the components."""
    schemas, referenced = msgspec.json.schema_components([shape], ref_template=SCHEMAS)
    for name, component in referenced.items():
        for field, text in _comments(_structs().get(name)).items():
            component["properties"][field]["description"] = text
        components["schemas"][name.removesuffix("Out")] = _renamed(component)
    schema: Json = _renamed(schemas[0])
    return schema


def _renamed(schema: Any) -> Any:
    """The schema without the suffix `Out` in its titles and references."""
    if isinstance(schema, Mapping):
        return {
            key: value.removesuffix("Out")
            if key in ("title", "$ref") and isinstance(value, str)
            else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(item) for item in schema] if isinstance(schema, list) else schema


def describe_defaults(node: Any) -> None:
    """Replace each `default` of a schema by a sentence: generated clients take a field with a
    default for one that is always present."""
    if isinstance(node, list):
        for item in node:
            describe_defaults(item)
    elif isinstance(node, dict):
        for schema in (node, node.get("schema", {})):  # a schema, or that of a parameter
            default = schema.get("default")
            if isinstance(default, dict):  # a response of this name
                continue
            schema.pop("default", None)
            if default not in (None, "", [], ()):
                text = f"By default `{msgspec.json.encode(default).decode()}`."
                node["description"] = f"{node.get('description', '')} {text}".strip()
        for value in node.values():
            describe_defaults(value)


@cache
def _structs() -> Mapping[str, type[msgspec.Struct]]:
    """The classes of the schemas, by name."""
    structs: list[type[msgspec.Struct]] = [In, Out, Query, Fault, Options]
    for struct in structs:  # the list grows while it is read
        structs += struct.__subclasses__()
    return {struct.__name__: struct for struct in structs}


@cache
def _comments(struct: type[msgspec.Struct] | None) -> Mapping[str, str]:
    """The `#:` comments of a struct's fields, by their names on the wire."""
    if struct is None:
        return {}
    texts: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        texts |= _source_comments(base.__module__).get(base.__name__, {})
    return {field.encode_name: texts[field.name] for field in fields(struct) if field.name in texts}


@cache
def _source_comments(module: str) -> Mapping[str, Mapping[str, str]]:
    """The `#:` comments in the source of a module, by class and field."""
    by_class: dict[str, dict[str, str]] = {}
    comments: dict[str, str] = {}
    source = inspect.getsource(sys.modules[module]) if module.startswith("service.") else ""
    for name, lines, field in _CLASS_OR_COMMENT.findall(source):
        if name:
            comments = by_class.setdefault(name, {})
        else:
            comments[field] = " ".join(line.removeprefix("    #: ") for line in lines.splitlines())
    return by_class
