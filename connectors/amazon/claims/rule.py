"""A rule, and the cases that it finds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal
from urllib.parse import quote

import msgspec

from connectors.amazon.claims.credits import Offset
from connectors.amazon.claims.facts import Facts
from connectors.amazon.claims.values import Value
from connectors.amazon.claims.windows import ClaimWindow
from connectors.claims import ClosedReason

Confidence = Literal["high", "low"]
HIGH: Confidence = "high"
LOW: Confidence = "low"
MAX_EVIDENCE = 100
"""The most records of one dataset that a claim names as its evidence."""


class Case(msgspec.Struct, frozen=True):
    """A finding of a rule: units that Amazon owes, or owed and has paid for.

    Detection turns a case with open units into a claim, and reports a paid one as settled."""

    #: The natural key. The claim keeps its id from sync to sync because this does not change.
    key: str
    #: The SKU, or the FNSKU where no SKU is known, for the claim's title.
    product: str
    #: Units that are still owed; 0 if reimbursements cover all of them.
    units: int
    #: The day of the event that the window is counted from.
    base: date
    #: The country whose window applies; empty if the rows name none.
    place: str
    value: Value
    #: Ids of the records that prove it, by dataset.
    evidence: Mapping[str, Sequence[str]]
    details: Mapping[str, str] = {}
    #: Whether this case is less certain than the rule in general.
    low: bool = False


class ClosedCase(msgspec.Struct, frozen=True):
    """A case in which nothing is owed for a reason other than a payment."""

    #: The natural key, as that of a Case.
    key: str
    reason: ClosedReason
    #: Whether it has no valid payment, so that it is closed even if it was paid before.
    unpaid: bool = False


Event = Literal[
    "loss",
    "refund",
    "return",
    "replacement",
    "charge",
    "delivery",
    "reversal",
    "payment",
    "completion",
    "transfer",
    "shipment",
]
"""The events from which the days of a window are counted."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A claim rule. All that is shown of a rule, and its windows, are read from this value."""

    #: R1, R2, … without a gap: the beginning of its claims' ids, so it never changes.
    code: str
    #: The name in documents, such as LOST_WAREHOUSE.
    name: str
    #: A heading of a few words, for lists and filters.
    title: str
    #: One sentence for the seller: what is owed.
    sentence: str
    #: The title of a claim. `{units}` becomes "2 units of SKU-1", `{currency}` the currency of its
    #: value; any other name is one of the case's details.
    claim_title: str
    #: The public policy that it follows: a sentence that begins with "Amazon's".
    source: str
    #: Datasets that must be complete; otherwise the rule does not run.
    inputs: tuple[str, ...]
    #: Datasets that it reads if they are available, mostly to value units.
    optional: tuple[str, ...] = ()
    #: The event that the days of its window are counted from.
    counts_from: Event
    window: ClaimWindow
    confidence: Confidence = HIGH
    find: Callable[[Facts], Iterator[Case | ClosedCase]]


def key(*parts: str) -> str:
    """A natural key as text that is valid in a URL path."""
    return ":".join(quote(part, safe="", errors="replace") for part in parts).rstrip(":")


def evidence(*records: tuple[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Record ids by dataset: sorted, without duplicates, at most MAX_EVIDENCE of each dataset."""
    gathered: dict[str, set[str]] = {}
    for dataset, ids in records:
        gathered.setdefault(dataset, set()).update(ids)
    return {name: tuple(sorted(ids)[:MAX_EVIDENCE]) for name, ids in gathered.items() if ids}


def records_of(offsets: Iterable[Offset]) -> list[tuple[str, tuple[str]]]:
    """The records behind offsets, for `evidence`."""
    return [(offset.dataset, (offset.id,)) for offset in offsets]
