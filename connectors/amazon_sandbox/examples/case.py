"""What a case of the static sandbox is, and the refusals that several cases share."""

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

Refusal = tuple[str, str, str]
"""Code, message and details of a 400."""

INVALID: Refusal = ("InvalidInput", "Invalid Input", "Invalid Input")
BAD_REPORT: Refusal = ("400", "Invalid input", "Invalid input")
BAD_SHIPMENT: Refusal = ("Invalid Input", "Data is invalid. Please check.", "")
BAD_MARKETPLACE: Refusal = ("InvalidInput", "Incorrect Marketplace identifier.", "")
NO_START: Refusal = ("InvalidInput",) + ("Start date cannot be null",) * 2
NO_RESOURCE: Refusal = (
    "InvalidRequest",
    "Request is missing or has invalid parameters",
    "Resource not provided.",
)


class Case(msgspec.Struct, frozen=True):
    """The parameters (of path and query) and fields of the body that a request must have, and what
    it is answered: `answer` under `status`, or a refusal."""

    operation: str
    parameters: Mapping[str, str] = {}
    answer: object = None
    body: object = {}
    status: int = 200
    refusal: Refusal | None = None
