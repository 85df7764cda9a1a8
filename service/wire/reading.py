"""Read requests: bodies and query parameters. Errors name the invalid field."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request

from service.errors import BodyTooLarge, Invalid, InvalidJSON

LARGEST_BODY = 1024 * 1024
#: A larger body is read up to this size and discarded, so that its sender receives the response.
MAX_DISCARDED = 8 * LARGEST_BODY
#: The years that a client may send. Times can be added and subtracted without an overflow.
EARLIEST, LATEST = 1970, 9000
NEEDS_TIME_ZONE = "Must have a time zone: 2026-01-15T12:00:00Z."
GIVEN_TWICE = "Must be given only once."

T = TypeVar("T")
#: A time in a body, to be passed to `in_utc`.
Moment = Annotated[datetime, Meta(tz=True)]


class In(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A request body. Unknown fields and wrong types are refused."""


class Query(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The query parameters of a call, each at most once; an empty one counts as missing. Unknown
    parameters are refused, since a misspelt filter would otherwise select everything."""


Q = TypeVar("Q", bound=Query)


# Bodies ---------------------------------------------------------------------------------------


async def read_body(request: Request, shape: type[T], empty: T | None = None) -> T:
    """The body as a value; `empty` for no body. Raises InvalidJSON, Invalid or BodyTooLarge."""
    raw = await read_bytes(request)
    if not raw.strip() and empty is not None:
        return empty
    return _decode(raw, shape)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object, for `fit`. Raises InvalidJSON, Invalid or BodyTooLarge."""
    return _decode(await read_bytes(request), dict[str, Any])


def fit(values: Mapping[str, Any], shape: type[T]) -> T:
    """Convert the values of a JSON object to a shape. Raises Invalid, which names the field."""
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        raise _invalid(error, shape) from error


async def read_or_null(request: Request, shape: type[T]) -> T | None:
    """Like `read_body`; None if the body is `null`."""
    raw = await read_bytes(request)
    return None if raw.strip() == b"null" else _decode(raw, shape)


def _decode(raw: bytes, shape: type[T]) -> T:
    try:
        try:
            body = msgspec.json.decode(raw, type=shape)
        except msgspec.ValidationError as error:
            msgspec.json.decode(raw)  # a syntax error further on takes precedence
            raise _invalid(error, shape) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJSON(f"The body is not valid JSON: {error}. Send one JSON object.") from error
    # For a duplicate name, msgspec uses the last value and other parsers use the first.
    json.loads(raw, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    return body


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise Invalid.field(name, GIVEN_TWICE)
        fields[name] = value
    return fields


async def read_bytes(request: Request) -> bytes:
    """The whole body. Raises BodyTooLarge, or InvalidJSON if the client disconnects."""
    body = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= LARGEST_BODY:
                body += chunk
            elif size > MAX_DISCARDED:
                raise BodyTooLarge(headers={"Connection": "close"})
    except ClientDisconnect as error:  # no client receives this, but the log has no traceback
        raise InvalidJSON("The body is incomplete.") from error
    if size > LARGEST_BODY:
        raise BodyTooLarge
    return bytes(body)


def _invalid(error: msgspec.ValidationError, shape: Any) -> Invalid:
    """The field and the message of msgspec's error, without the value, which may be a secret in the
    wrong field."""
    text = str(error)
    message, at, path = text.rpartition(" - at `")
    if not at:
        message, path = text, ""
    field = path.removesuffix("`").removeprefix("$").removeprefix(".")
    if message.startswith("Invalid enum value"):
        choices = _choices(parameters(shape).get(field, {}))
        message = f"Must be one of {', '.join(choices)}." if choices else "Is not an allowed value."
    if message == "Expected `datetime` with a timezone component":
        message = NEEDS_TIME_ZONE
    if named := re.search(r"(unknown|required) field `(.+?)`", message):
        if named[1] == "unknown" and not field and hasattr(shape, "__struct_encode_fields__"):
            message = f"Unknown field. The fields are: {', '.join(shape.__struct_encode_fields__)}."
        field = ".".join(part for part in (field, named[2]) if part)
    return Invalid.field(field or "body", message)


# Queries --------------------------------------------------------------------------------------


def read_query(request: Request, shape: type[Q]) -> Q:
    """The query as a value. Raises Invalid, which names the parameter."""
    query, allowed = request.query_params, parameters(shape)
    for name, text in query.items():
        if name not in allowed:
            names = ", ".join(allowed)
            raise Invalid.field(name, f"Unknown parameter. The parameters are: {names}.")
        if len(query.getlist(name)) > 1:
            raise Invalid.field(name, GIVEN_TWICE)
        number = allowed[name].get("type") == "integer"
        if number and not re.fullmatch("-?[0-9]{1,9}", text):
            raise Invalid.field(name, _requirement(allowed[name]))
    try:
        return msgspec.convert(dict(query), shape, strict=False)
    except msgspec.ValidationError as error:
        name = _invalid(error, shape).errors[0]["field"]
        raise Invalid.field(name, _requirement(allowed[name])) from error


@cache
def parameters(shape: type[msgspec.Struct]) -> Mapping[str, Mapping[str, Any]]:
    """The JSON Schema of each field, by its name on the wire."""
    _, components = msgspec.json.schema_components([shape])
    schemas: Mapping[str, Mapping[str, Any]] = components[shape.__name__]["properties"]
    return schemas


def _requirement(schema: Mapping[str, Any]) -> str:
    """A sentence that says what a value must be."""
    if choices := _choices(schema):
        return f"Must be one of {', '.join(choices)}."
    if "maxLength" in schema:
        return f"Must be at most {schema['maxLength']} characters long."
    if not {"minimum", "maximum"} <= schema.keys():
        return f"Must be a valid {schema.get('type', 'value')}."
    return f"Must be a whole number from {schema['minimum']} to {schema['maximum']}."


def _choices(schema: Mapping[str, Any]) -> Sequence[str]:
    """The values that a schema lists, without the empty one."""
    alternatives = (schema, *schema.get("anyOf", ()))
    return [value for choice in alternatives for value in choice.get("enum", ()) if value]


# Times ----------------------------------------------------------------------------------------


def moment(text: str | None, name: str) -> datetime | None:
    """The time in a query parameter. Raises Invalid for other text."""
    if text is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(text), name)
    except ValueError as error:
        raise Invalid.field(name, "Must be a time like 2026-01-15T12:00:00Z.") from error


def in_utc(moment: datetime, name: str) -> datetime:
    """A time from a client. Raises Invalid without a time zone, or outside the years allowed."""
    if moment.tzinfo is None:
        raise Invalid.field(name, NEEDS_TIME_ZONE)
    if not EARLIEST <= moment.year <= LATEST:
        raise Invalid.field(name, f"Must be in a year from {EARLIEST} to {LATEST}.")
    return moment.astimezone(UTC)
