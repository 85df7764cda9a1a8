"""The emptiness of a dataset, which a connection remembers from one sync to the next."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

DAY = timedelta(days=1)
"""Report spans start on whole days, so a later report may span up to one day less."""


class Emptiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """The evidence from reports without rows. The field names are stored with the connection.

    One such report may be wrong: its emptiness is confirmed by a second one, requested when Amazon
    makes another report of the type."""

    #: When the first and the last of these reports were made.
    first: Moment
    last: Moment
    #: The id of the last one, its marketplaces and its span.
    report: str
    marketplaces: tuple[str, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    confirmed: bool = False

    def after(self, before: "Emptiness | None", interval: timedelta) -> "Emptiness":
        """The evidence after this report, if `before` was the evidence until then."""
        if before is None or not before._includes(self):
            return self  # no earlier report covered as much
        if not self._includes(before) or self.last <= before.last:
            return before  # this report covers less, or is the same one again
        confirmed = before.confirmed or self.last - before.first >= interval
        return msgspec.structs.replace(self, first=before.first, confirmed=confirmed)

    def _includes(self, other: "Emptiness") -> bool:
        """Whether the report covers the marketplaces of another one and as many days."""
        places = set(self.marketplaces) >= set(other.marketplaces)
        return places and self._span >= other._span - DAY

    @property
    def _span(self) -> timedelta:
        return self.until - self.since if self.since and self.until else timedelta(0)

    @property
    def description(self) -> str:
        """The text for the details of a claim that relies on it."""
        text = f"none in Amazon's report of {_minute(self.first)}"
        if self.confirmed:
            return f"{text}, nor in that of {_minute(self.last)}"
        return f"{text}, which no later report has confirmed yet"


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def empty_key(dataset: str, marketplace: str = "") -> str:
    """The key under which a connection remembers that a dataset is empty; of one marketplace, if
    each has a report of its own."""
    return ":".join(filter(None, ("empty", dataset, marketplace)))


def read_emptiness(learned: Mapping[str, str], key: str) -> Emptiness | None:
    """The remembered emptiness; None if the dataset had rows, or nothing is known."""
    try:
        return msgspec.json.decode(learned.get(key, ""), type=Emptiness)
    except ValueError:  # empty, or stored by another version
        return None
