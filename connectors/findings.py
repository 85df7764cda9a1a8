"""The results of checking the operator's settings: an optional part of a connector.

A connector that can check these settings without an account implements `Examining`."""

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
    #: Whether no account can be read until the problem is solved.
    serious: bool = False


class Examining(Protocol):
    """Also implemented by a connector that can check the operator's settings."""

    async def examine(self) -> Sequence[Finding]:
        """Check the settings at the source, within seconds. Changes nothing there."""
