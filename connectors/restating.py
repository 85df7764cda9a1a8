"""Amounts that a source may change later: an optional part of a connector. No I/O."""

from typing import Protocol

from connectors.claims import Money


class Restating(Protocol):
    """Also implemented by a connector whose records have amounts that the source may restate."""

    def amount(self, dataset: str, data: bytes) -> Money | None:
        """The amount of a record, given by its JSON; None if it has none. Never raises."""
