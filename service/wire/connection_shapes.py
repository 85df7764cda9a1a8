"""Response shapes of connections, their schedules and their stored data."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import msgspec

from service.model import Fault
from service.wire.fields import Count, Out, Time, one_of
from service.wire.sync_shapes import Addresses, CompletenessOut, ShownStatus


class ScheduleOut(Out, frozen=True):
    """The schedule of a connection's automatic syncs."""

    cron: str
    timezone: str
    #: A disabled schedule starts no syncs.
    enabled: bool
    #: The next two runs; none of a disabled schedule.
    next_runs: Sequence[Time]
    #: The first of `nextRuns`.
    next_run_at: Time | None


class SchedulePreview(Out, frozen=True):
    """The runs of a schedule that is not saved."""

    #: The next five runs; fewer if the expression matches fewer times.
    next_runs: Sequence[Time]


class LastEnded(Out, frozen=True):
    """The last sync of a connection that has ended."""

    sync_id: str
    status: ShownStatus
    completed_at: Time | None


class Connection(Out, frozen=True):
    """An authorised account, without its credentials. It also has each of its `settings` as a field
    of its own."""

    id: str
    connector: str
    #: The source's id of the account; null until the source has returned it.
    account_id: str | None
    #: The name that the user gave, else the name of the account at the source.
    name: str
    #: The public settings of the connector.
    settings: Mapping[str, Any]
    #: The titles of the settings that have choices; for a list, the titles of its items.
    settings_titles: Mapping[str, str | Sequence[str]]
    status: Annotated[str, one_of("connected", "lost")]
    #: When the connection was lost; else when it was created, reconnected or last recovered.
    status_since: Time | None
    #: The reason why the connection is lost.
    status_reason: str | None
    #: The same as `statusReason`.
    reason: str | None
    created_at: Time
    checked_at: Time | None
    #: When the authorisation ends; null if the source does not report it.
    authorised_until: Time | None
    schedule: ScheduleOut | None
    #: The number of stored records.
    records: Count
    last_sync: LastEnded | None
    live_sync_id: str | None


class ConnectionsOut(Out, frozen=True):
    """The user's connections."""

    connections: Sequence[Connection]


class Connected(Connection, frozen=True):
    """A connection, and the sync that was started or resumed on it."""

    sync: Addresses | None
    #: The reason why no sync was started or resumed.
    warning: str | msgspec.UnsetType = msgspec.UNSET


class Estimate(Out, frozen=True):
    """The estimated duration of a sync, as far as the connector knows it without a call."""

    seconds: Count | None
    #: The number of calls to the source. An unknown number of pages counts as one, and a report as
    #: its fewest calls.
    calls: Count | None


class DayOut(Out, frozen=True):
    """A UTC day of a dataset, compared with other datasets."""

    day: date
    #: A second source agrees, none is known yet, or other datasets show records that are missing.
    state: Annotated[str, one_of("confirmed", "single_sourced", "short")]
    records: Count
    missing: Count
    #: Records that reports lacked and that were fetched because other datasets showed them.
    fetched: Count


class LandedOut(Out, frozen=True):
    """The stored records of a dataset."""

    name: str
    records: Count
    #: Everything from this time to `watermark` has been read.
    read_since: Time | None
    watermark: Time | None
    #: The sync that last read the dataset.
    sync_id: str | None
    #: Its days, the oldest first; empty if it cannot be compared with other datasets.
    days: Sequence[DayOut]


class ErasingOut(Out, frozen=True):
    """A forgotten connection whose data is still being erased."""

    id: str
    status: Annotated[str, one_of("erasing")]
    message: str


class LastSync(Out, frozen=True):
    """The last sync of a connection, and its end."""

    sync_id: str
    status: ShownStatus
    started_at: Time
    completed_at: Time | None
    error: Fault | None


class Freshness(Out, frozen=True):
    """The stored data of a connection, and whether a new sync is needed."""

    connection_id: str
    datasets: Sequence[LandedOut]
    #: Counts of the days of all datasets; null if none has been compared.
    completeness: CompletenessOut | None
    last_complete_sync: LastSync | None
    last_sync: LastSync | None
    schedule: ScheduleOut | None
    sync_needed: bool
    #: The reason why a sync is needed or not, for programs.
    reason: str
    #: The reason as a sentence for people.
    message: str
