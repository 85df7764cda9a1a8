"""Gaps of a dataset that other datasets show: an optional part of a connector. Nothing here does
I/O."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import Literal, Protocol

import msgspec

from connectors.base import Connection, Page, Record, Waiting, Window

DayState = Literal["confirmed", "single_sourced", "short"]
"""The state of a day of a dataset: a second source agrees, no other source is known, or a second
source shows records that the dataset lacks."""


class Gap(msgspec.Struct, frozen=True):
    """A record that a dataset lacks although other datasets show that it exists."""

    #: The record's id; if that is unknown (see `identified`), a name of the gap. It is the same at
    #: every comparison.
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
    #: The state once nothing is missing.
    filled: DayState = "confirmed"


class Gaps(msgspec.Struct, frozen=True):
    """A dataset compared with all others."""

    dataset: str
    #: Every day of which the dataset was read, in order.
    days: Sequence[DatasetDay]
    #: The gaps, the oldest first. If there are more (see `missing`), a later comparison lists the
    #: rest.
    gaps: Sequence[Gap] = ()

    @property
    def missing(self) -> int:
        return sum(day.missing for day in self.days)


class Compared(msgspec.Struct, frozen=True):
    """The last comparison of a dataset with all others."""

    #: Records that have not changed since then were compared.
    at: datetime
    #: The spans for which datasets had been read without a gap.
    windows: Mapping[str, Window]
    #: The days that it found.
    days: Sequence[DatasetDay]


class StoredRows(Protocol):
    """The stored records of a connection, read lazily and synchronously, for
    `Completing.complete`."""

    def compared(self, dataset: str) -> Compared | None:
        """The last comparison; None if everything must be compared."""

    def changed(self, dataset: str, since: datetime | None) -> Iterable[Record]:
        """The records that were stored or changed since then; all if None."""

    def between(self, dataset: str, since: datetime, until: datetime) -> Iterable[Record]:
        """The records with a time (`Record.at`) from `since` to `until`, both included."""

    def lacking(self, dataset: str, ids: Iterable[str]) -> AbstractSet[str]:
        """The ids that no stored record has."""

    def closed(self, dataset: str, keys: Iterable[str]) -> AbstractSet[str]:
        """The keys of gaps for which the source has no record (`Page.absent`)."""

    def per_day(self, dataset: str) -> Mapping[date, int]:
        """The number of records of each UTC day that has any."""


class Completing(Protocol):
    """Also implemented by a connector whose datasets confirm one another."""

    def complete(
        self,
        connection: Connection,
        stored: StoredRows,
        windows: Mapping[str, Window],
        datasets: AbstractSet[str],
    ) -> Sequence[Gaps]:
        """The days of these datasets, and their gaps. `windows` are the spans for which datasets
        were read without a gap. Only records that have changed since the last comparison, and short
        days, are compared again. Pure: no network, no clock."""

    def fill(self, connection: Connection, gaps: Gaps, waiting: Waiting) -> AsyncIterator[Page]:
        """Read the records of gaps in the way that the quotas make fastest, and never with more
        calls than the quotas of an hour. The pages have no cursor: a stored record is no longer a
        gap."""
