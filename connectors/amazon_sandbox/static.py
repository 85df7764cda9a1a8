"""Amazon's static sandbox: responses to a few literal requests; all others are rejected.

Parameters and fields that a case does not name are ignored.
"""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.examples import CASES
from connectors.amazon_sandbox.responses import ApiError, Reply, invalid


def answer(operation: str, parameters: Mapping[str, str], body: bytes) -> object:
    """The response of the first matching case."""
    decoded = _json(body)
    for case in CASES:
        if (
            case.operation == operation
            and case.parameters.items() <= parameters.items()
            and _matches(case.body, decoded)
        ):
            if case.error:
                raise ApiError(400, *case.error)
            return Reply(case.status, case.response)
    raise invalid("Could not match input arguments")


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body) if body else {}
    except (ValueError, RecursionError):
        return None


def _matches(expected: object, actual: object) -> bool:
    """Whether `actual` contains `expected` at every depth. Lists must have equal length."""
    if isinstance(expected, Mapping):
        return isinstance(actual, Mapping) and all(
            name in actual and _matches(value, actual[name]) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(map(_matches, expected, actual))
        )
    return expected == actual
