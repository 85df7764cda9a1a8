"""The base of every response shape, and the types of its fields.

The bounds describe the fields in /openapi.json; responses are not validated against them."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Out(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A response body, or a part of one. Its schema has the name of the class, without `Out`."""


def one_of(*values: str) -> Meta:
    """Describes text that has one of these values."""
    return Meta(extra_json_schema={"enum": values})


def at_least(minimum: int) -> Meta:
    return Meta(extra_json_schema={"minimum": minimum})


#: RFC 3339 in UTC.
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
#: A day, such as 2026-03-31.
Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]
#: A whole number from 0.
Count = Annotated[int, at_least(0)]
#: A whole number from 1.
Ordinal = Annotated[int, at_least(1)]
Percent = Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": 100})]
#: Seconds with a fraction; whole seconds are a `Count`.
Seconds = Annotated[float, at_least(0)]
#: A decimal number as text, with an ISO 4217 currency in a field beside it.
Amount = Annotated[str, Meta(extra_json_schema={"pattern": r"^-?\d+(\.\d+)?$"})]
