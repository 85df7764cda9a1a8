"""Calls to a source while a user waits: their time limit, and the problems for their errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import anyio

from connectors.base import ConnectorError, InvalidConnection, Misconfigured, Retryable
from service.connection_settings import SettingsType
from service.errors import ConnectionRefused, ConnectorMisconfigured, Invalid, SourceUnavailable
from service.intake import fit_text, reason

SOURCE_TIMEOUT = 50.0
"""Maximum seconds of a call to a source while a user waits, to connect or to consent."""


@contextmanager
def calling_source(settings: SettingsType) -> Iterator[None]:
    """Limit the time of a call that a user waits for, and turn its errors into problems."""
    try:
        with anyio.fail_after(SOURCE_TIMEOUT):
            yield
    except (ConnectorError, TimeoutError) as error:
        raise _refusal(error, settings.secret) from error


async def refuse_to_wait(until: datetime, why: str) -> None:
    """A `Waiting` that raises Retryable: the user who connects must not wait for a quota."""
    raise Retryable(f"Busy: waiting for {why}. Try again after {until:%H:%M:%S} UTC.")


def _refusal(error: ConnectorError | TimeoutError, secret: Sequence[str]) -> Exception:
    """The problem for an error of the source. A refusal of the account names the secret fields."""
    match error:
        case TimeoutError():
            return SourceUnavailable(
                f"The source did not answer within {SOURCE_TIMEOUT:,.0f} s. Try again later.",
                headers={"Retry-After": "60"},
            )
        case InvalidConnection(fields=fields):
            return Invalid(
                reason(error),
                errors=[{"field": k, "message": fit_text(v)} for k, v in fields.items()],
            )
        case Retryable():
            return SourceUnavailable(reason(error), headers={"Retry-After": "60"})
        case Misconfigured():
            return ConnectorMisconfigured(reason(error))
        case _:
            errors = [{"field": name, "message": reason(error)} for name in secret]
            return ConnectionRefused(reason(error), errors=errors)
