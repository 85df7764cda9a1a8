"""Response shapes of stored records."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from service.store.claim_orders import STATUSES
from service.wire.fields import Count, Out, Time, one_of


class RecordOut(Out, frozen=True):
    """A stored record."""

    id: str
    connection_id: str
    sync_id: str
    updated_at: Time
    #: As the source sent it.
    data: msgspec.Raw


class Records(Out, frozen=True):
    """A page of stored records, in the order of their connections and ids."""

    records: Sequence[RecordOut]
    next_cursor: str | None


class DatasetCount(Out, frozen=True):
    """A dataset of the user's connections, and how many of its records are stored."""

    dataset: str
    #: The name shown to users.
    label: str
    records: Count


class DatasetCounts(Out, frozen=True):
    """The datasets of the user's connections."""

    datasets: Sequence[DatasetCount]


class ProvenClaim(Out, frozen=True):
    """A claim that a record proves."""

    id: str
    rule: str
    status: Annotated[str, one_of(*STATUSES)]


class WholeRecord(RecordOut, frozen=True):
    """A stored record with its history. `syncId` last changed it, at `updatedAt`."""

    #: Null if it is unknown: an earlier version of the service stored the record.
    first_seen_at: Time | None
    #: The sync that first stored it; null if it is unknown.
    first_sync_id: str | None
    #: The claims that keep it as evidence, at most 1,000.
    claims: Sequence[ProvenClaim]
