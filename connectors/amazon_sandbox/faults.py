"""Injected faults: which share of the calls fails, and how."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from connectors.amazon_sandbox.generator.randomness import digest, seeded_random
from connectors.amazon_sandbox.roles import Role

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
EventReport = Literal[
    "GET_LEDGER_DETAIL_VIEW_DATA",
    "GET_FBA_REIMBURSEMENTS_DATA",
    "GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA",
    "GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA",
    "GET_FBA_FULFILLMENT_REMOVAL_SHIPMENT_DETAIL_DATA",
]
"""The reports of events that a seller may not have."""


OrderReport = Literal[
    "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL",
    "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_ORDER_DATE_GENERAL",
]


class Storm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Throttles `length` calls in a row after every `every` calls."""

    every: Annotated[int, msgspec.Meta(ge=1)]
    length: Annotated[int, msgspec.Meta(ge=1)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The injected faults. A share is a number from 0 to 1."""

    #: Share of calls that fail with 500.
    error500: Share = 0.0
    #: Share of calls that fail with 429.
    throttle: Share = 0.0
    #: Throttled calls in a row.
    storm: Storm | None = None
    #: Delay of every response.
    slow: Seconds = 0.0
    #: Share of calls whose access token expires at once.
    expire_tokens: Share = 0.0
    #: Share of pages that are served twice, under two tokens.
    duplicate_pages: Share = 0.0
    #: Share of reports that end FATAL.
    fatal_reports: Share = 0.0
    #: Share of reports that end CANCELLED, because another application has requested the type.
    cancelled_reports: Share = 0.0
    #: Report types that have no rows, as for a seller without such events.
    reports_without_data: tuple[EventReport, ...] = ()
    #: Share of reports whose document has only its header.
    header_only_reports: Share = 0.0
    #: Share of reports in which every seventh row has too few cells.
    short_rows: Share = 0.0
    #: Share of orders whose rows every report of orders leaves out.
    hidden_rows: Share = 0.0
    #: The only types of reports that leave them out; all if empty.
    hidden_in: tuple[OrderReport, ...] = ()
    #: Share of the pages of orders that are left out of a list.
    hidden_pages: Share = 0.0
    #: Share of downloads that end in the middle of a row.
    truncated_downloads: Share = 0.0
    #: Share of downloads that are compressed without announcing it, and truncated.
    truncated_gzips: Share = 0.0
    #: Share of downloads that return an HTML page instead of the document.
    html_downloads: Share = 0.0
    #: How often the ledger repeats its rows of shipments.
    inflate: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    #: By operation: calls per second and burst, as in the settings.
    quotas: Mapping[str, tuple[Amount, Amount]] = {}
    #: Roles that the application lacks; calls that need one are denied.
    missing_roles: tuple[Role, ...] = ()
    #: Largest response in bytes of an operation with pages; 0 is unlimited. Amazon's is 10 million.
    largest_answer: Annotated[int, msgspec.Meta(ge=0)] = 0
    #: Additional items of each inbound shipment, listed before its own and received in full.
    shipment_fillers: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class FaultInjector:
    """Decides which calls fail. The same seed and the same calls produce the same faults."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.faults = faults
        self._seed = seed
        self._counts: Counter[str] = Counter()

    def occurs(self, fault: str) -> bool:
        """Whether the fault, which must have a share, affects this call."""
        share: float = getattr(self.faults, fault)
        self._counts[fault] += 1
        if not share:
            return False
        return seeded_random(self._seed, fault, self._counts[fault]).random() < share

    @property
    def seed(self) -> int:
        return self._seed

    def in_storm(self) -> bool:
        """Whether a storm throttles this call."""
        storm = self.faults.storm
        if storm is None:
            return False
        self._counts["storm"] += 1
        return (self._counts["storm"] - 1) % (storm.every + storm.length) >= storm.every


def is_hidden(order_id: str, seed: int, share: float) -> bool:
    """Whether an order is among the share that reports leave out."""
    return share > 0 and int(digest("hidden", seed, order_id)[:8], 16) < share * 2**32
