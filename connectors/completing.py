"""What other datasets show that one lacks: an optional part of a connector. Nothing here does
I/O."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Literal, Protocol

import msgspec

from connectors.base import Connection, Page, Records, Waiting, Window

DayState = Literal["confirmed", "single_sourced", "short"]
"""A second source agrees with a day of a dataset, no other source is known, or a second source
shows records that the dataset lacks."""


class Gap(msgspec.Struct, frozen=True):
    """A record that a dataset lacks although other datasets show that it exists."""

    #: The record's id; if that is unknown (see `identified`), a name of the gap. The same at every
    #: comparison.
    key: str
    #: The day on which the other datasets show it.
    day: date
    #: The datasets that show it.
    witnesses: Sequence[str]
    #: Whether `key` is the record's id.
    identified: bool = True


class DatasetDay(msgspec.Struct, frozen=True):
    """One UTC day of a dataset."""

    day: date
    state: DayState
    #: The stored records of that day.
    records: int = 0
    #: The gaps of that day.
    missing: int = 0


class Gaps(msgspec.Struct, frozen=True):
    """A dataset compared with all others."""

    dataset: str
    #: Every day of which the dataset was read, in order.
    days: Sequence[DatasetDay]
    #: The oldest first. There may be more (see `missing`): a later comparison lists the rest.
    gaps: Sequence[Gap] = ()

    @property
    def missing(self) -> int:
        return sum(day.missing for day in self.days)


class Completing(Protocol):
    """Implemented as well by a connector whose datasets confirm one another."""

    def complete(
        self,
        connection: Connection,
        records: Records,
        windows: Mapping[str, Window],
        closed: Mapping[str, AbstractSet[str]],
    ) -> Sequence[Gaps]:
        """Compare the stored records. `windows` are the spans of time of which datasets were read
        without a gap. `closed` are the keys, by dataset, of gaps for which the source has no record
        (`Page.absent`). Pure: no network, no clock."""

    def fill(self, connection: Connection, gaps: Gaps, waiting: Waiting) -> AsyncIterator[Page]:
        """Read the records of gaps, by as few calls as the quotas make fastest, and never by more
        than the quotas of an hour. The pages have no cursor: what was stored is no longer a
        gap."""
