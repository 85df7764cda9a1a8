"""A case of the static sandbox, and the errors that several cases share."""

from collections.abc import Mapping

import msgspec

US, UK, JAPAN, BRAZIL, GERMANY, MEXICO, TURKEY = (
    "ATVPDKIKX0DER",
    "A1F83G8C2ARO7P",
    "A1VC38T7YXB528",
    "A2Q3Y263D00KWC",
    "A1PA6795UKMFR9",
    "A1AM78C64UM0Y8",
    "A33AVAJ2PDY3EV",
)

ErrorBody = tuple[str, str, str]
"""Code, message and details of a 400."""

INVALID: ErrorBody = ("InvalidInput", "Invalid Input", "Invalid Input")
BAD_REPORT: ErrorBody = ("400", "Invalid input", "Invalid input")
BAD_SHIPMENT: ErrorBody = ("Invalid Input", "Data is invalid. Please check.", "")
BAD_MARKETPLACE: ErrorBody = ("InvalidInput", "Incorrect Marketplace identifier.", "")
NO_START: ErrorBody = ("InvalidInput",) + ("Start date cannot be null",) * 2
NO_RESOURCE: ErrorBody = (
    "InvalidRequest",
    "Request is missing or has invalid parameters",
    "Resource not provided.",
)


class StaticCase(msgspec.Struct, frozen=True):
    """A request, and its response or error."""

    operation: str
    #: The parameters of path and query.
    parameters: Mapping[str, str] = {}
    response: object = None
    #: The fields that the request body must have.
    body: object = {}
    #: The status of the response.
    status: int = 200
    error: ErrorBody | None = None
