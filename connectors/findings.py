"""What a connector finds when it checks its operator's settings: an optional part of a connector.

A connector that can check them without an account also has `examine`."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """The result of one check, for `service doctor`."""

    #: What was checked, in one or two words.
    name: str
    #: One sentence.
    text: str
    #: What the operator should do; empty if nothing needs to be done.
    remedy: str = ""
    #: No account can be read until it is repaired.
    serious: bool = False


class Examining(Protocol):
    """Implemented as well by a connector that can check its operator's settings."""

    async def examine(self) -> Sequence[Finding]:
        """Check the settings at the source, within seconds. Changes nothing there."""
