"""Tokens 2021-03-01: a token that may see who the buyers are."""

from typing import Annotated, Literal

import msgspec

from connectors.amazon_sandbox.answers import Refused
from connectors.amazon_sandbox.operations.call import Call

_LIFE = 3_600


class _Resource(msgspec.Struct, rename="camel"):
    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    data_elements: list[str] | None = None


class _Wanted(msgspec.Struct, rename="camel"):
    restricted_resources: Annotated[list[_Resource], msgspec.Meta(min_length=1, max_length=50)]
    target_application: str | None = None


def create_restricted_data_token(call: Call) -> object:
    try:
        call.decode(_Wanted)
    except Refused as refused:
        raise Refused(400, "InvalidRequest", refused.message) from None
    return {"restrictedDataToken": call.give(), "expiresIn": int(call.life(_LIFE))}
