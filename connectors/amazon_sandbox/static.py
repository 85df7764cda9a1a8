"""Amazon's own static sandbox: an answer for a few literal requests, and a refusal for all others.

Parameters and fields that a case does not name do no harm.
"""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.answers import Answered, Refused, invalid
from connectors.amazon_sandbox.examples import CASES


def answer(operation: str, parameters: Mapping[str, str], body: bytes) -> object:
    """The answer to the first case that fits."""
    given = _json(body)
    for case in CASES:
        if (
            case.operation == operation
            and case.parameters.items() <= parameters.items()
            and _fits(case.body, given)
        ):
            if case.refusal:
                raise Refused(400, *case.refusal)
            return Answered(case.status, case.answer)
    raise invalid("Could not match input arguments")


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body) if body else {}
    except (ValueError, RecursionError):
        return None


def _fits(wanted: object, given: object) -> bool:
    """Whether all that is wanted is given, at any depth; lists must be as long."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            name in given and _fits(value, given[name]) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(given, list) and len(given) == len(wanted) and all(map(_fits, wanted, given))
        )
    return wanted == given
