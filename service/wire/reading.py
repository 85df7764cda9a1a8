"""What comes in: bodies, queries, cursors, each refused with the field that is wrong."""

import base64
import binascii
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
MOST_DISCARDED = 8 * LARGEST_BODY
"""A body over the limit is read so far, so that its sender gets to see the answer."""
EARLIEST, LATEST = 1970, 9000
"""Years that a client may name: there is room to add and to subtract."""

T = TypeVar("T")
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time in a query; `moment` reads it."""
Moment = Annotated[datetime, Meta(tz=True)]
"""A time in a body; `in_utc` looks at it."""


class In(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A body: unknown fields and wrong types are refused."""


class Query(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """The parameters of a query, each at most once. Unknown ones are refused: a misspelt filter
    must not pass for none. An empty word is none."""


Q = TypeVar("Q", bound=Query)


class Paged(Query, frozen=True):
    """A list, page by page: `cursor` is the last answer's nextCursor."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None


# Bodies ---------------------------------------------------------------------------------------


async def read_body(request: Request, shape: type[T], empty: T | None = None) -> T:
    """The body as a value. Raises InvalidJSON, Invalid or BodyTooLarge: nothing has changed."""
    raw = await read_bytes(request)
    if not raw.strip() and empty is not None:
        return empty
    return _decoded(raw, shape)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object, for `fit`. Raises InvalidJSON, Invalid or BodyTooLarge."""
    return _decoded(await read_bytes(request), dict[str, Any])


def fit(values: Mapping[str, Any], shape: type[T]) -> T:
    """Values of a JSON object as a shape. Raises Invalid naming the field."""
    try:
        return msgspec.convert(values, shape)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error


async def read_or_null(request: Request, shape: type[T]) -> T | None:
    """Like read_body, where null means something."""
    raw = await read_bytes(request)
    return None if raw.strip() == b"null" else _decoded(raw, shape)


def _decoded(raw: bytes, shape: type[T]) -> T:
    try:
        try:
            found = msgspec.json.decode(raw, type=shape)
        except msgspec.ValidationError as error:
            msgspec.json.decode(raw)  # it may be no JSON either, further on: that comes first
            raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJSON(f"The body is not valid JSON: {error}. Send one JSON object.") from error
    # Of a name given twice msgspec takes the last, others the first: what was meant?
    json.loads(raw, object_pairs_hook=_each_once, parse_int=str, parse_float=str)
    return found


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Invalid.field(name, "Give it once.")
        found[name] = value
    return found


async def read_bytes(request: Request) -> bytes:
    """The whole body. Raises BodyTooLarge, or InvalidJSON for one that broke off."""
    body = bytearray()
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size <= LARGEST_BODY:
                body += chunk
            elif size > MOST_DISCARDED:
                raise BodyTooLarge(headers={"Connection": "close"})
    except ClientDisconnect as error:  # nobody hears it, but the log need not show a trace
        raise InvalidJSON("The body broke off.") from error
    if size > LARGEST_BODY:
        raise BodyTooLarge
    return bytes(body)


def _invalid(text: str) -> Invalid:
    """msgspec's words, sorted into the field and what is wrong with it; but not the value, which
    may be a secret in the wrong place."""
    message, at, path = text.rpartition(" - at `")
    if not at:
        message, path = text, ""
    if message.startswith("Invalid enum value"):
        message = "Is none of the values that there are."
    if message == "Expected `datetime` with a timezone component":
        message = "Must have a time zone: 2026-01-15T12:00:00Z."
    field = path.removesuffix("`").removeprefix("$").removeprefix(".")
    if named := re.search(r"(?:unknown|required) field `(.+?)`", message):
        field = ".".join(part for part in (field, named[1]) if part)
    return Invalid.field(field or "body", message)


# Queries --------------------------------------------------------------------------------------


def read_query(request: Request, shape: type[Q]) -> Q:
    """The query as a value. Raises Invalid naming the parameter that is wrong."""
    given, allowed = request.query_params, parameters(shape)
    for name, text in given.items():
        if name not in allowed:
            raise Invalid.field(name, f"Unknown parameter. There are: {', '.join(allowed)}.")
        if len(given.getlist(name)) > 1:
            raise Invalid.field(name, "Give it once.")
        number = allowed[name].get("type") == "integer"
        if number and not re.fullmatch("-?[0-9]{1,9}", text):
            raise Invalid.field(name, _wanted(allowed[name]))
    try:
        return msgspec.convert(dict(given), shape, strict=False)
    except msgspec.ValidationError as error:
        name = _invalid(str(error)).errors[0]["field"]
        raise Invalid.field(name, _wanted(allowed[name])) from error


@cache
def parameters(shape: type[Query]) -> Mapping[str, Mapping[str, Any]]:
    """The JSON Schema of each parameter, by its name."""
    _, components = msgspec.json.schema_components([shape])
    found: Mapping[str, Mapping[str, Any]] = components[shape.__name__]["properties"]
    return found


def _wanted(schema: Mapping[str, Any]) -> str:
    """What a parameter may be, in words."""
    if "enum" in schema:
        return f"Must be one of {', '.join(filter(None, schema['enum']))}."
    if "maxLength" in schema:
        return f"Must be at most {schema['maxLength']} characters long."
    if not {"minimum", "maximum"} <= schema.keys():
        return f"Must be a valid {schema.get('type', 'value')}."
    return f"Must be a whole number from {schema['minimum']} to {schema['maximum']}."


def moment(text: str | None, name: str) -> datetime | None:
    """A time in a query. Raises Invalid for what is none."""
    if text is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(text), name)
    except ValueError as error:
        raise Invalid.field(name, "Must be a time like 2026-01-15T12:00:00Z.") from error


def in_utc(moment: datetime, name: str) -> datetime:
    """A time that a client gave. Raises Invalid for one that cannot be reckoned with."""
    if moment.tzinfo is None:
        raise Invalid.field(name, "Must have a time zone: 2026-01-15T12:00:00Z.")
    if not EARLIEST <= moment.year <= LATEST:
        raise Invalid.field(name, f"Must be in a year from {EARLIEST} to {LATEST}.")
    return moment.astimezone(UTC)


def cursor(of: str, *parts: str) -> str:
    """Where a list goes on, in a form that a client need not understand."""
    raw = msgspec.json.encode((of, *parts))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(text: str | None, of: str, parts: int) -> Sequence[str] | None:
    """What `cursor` was made of. Raises Invalid for another list's, and for what is none."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=list[str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        found = []
    if len(found) != parts + 1 or found[0] != of or not all(found):
        raise Invalid.field(
            "cursor", "Not a cursor of this list. Use the last answer's nextCursor."
        )
    return found[1:]
