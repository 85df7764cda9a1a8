"""Tokens 2021-03-01: restricted tokens, which give access to buyers' personal data."""

from typing import Annotated, Literal

import msgspec

from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.responses import ApiError

_LIFETIME = 3_600


class _RestrictedResource(msgspec.Struct, rename="camel"):
    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    data_elements: list[str] | None = None


class _TokenRequest(msgspec.Struct, rename="camel"):
    restricted_resources: Annotated[
        list[_RestrictedResource], msgspec.Meta(min_length=1, max_length=50)
    ]
    target_application: str | None = None


def create_restricted_data_token(call: Call) -> object:
    try:
        call.decode(_TokenRequest)
    except ApiError as error:
        raise ApiError(400, "InvalidRequest", error.message) from None
    return {
        "restrictedDataToken": call.issue_restricted_token(),
        "expiresIn": int(call.lifetime(_LIFETIME)),
    }


OPERATIONS = (
    ApiOperation(
        "createRestrictedDataToken",
        "POST",
        "/tokens/2021-03-01/restrictedDataToken",
        1,
        10,
        create_restricted_data_token,
    ),
)
