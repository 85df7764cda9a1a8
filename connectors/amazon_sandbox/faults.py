"""Bad weather on demand: which share of the calls goes wrong, and how."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import msgspec

from connectors.amazon_sandbox.generator.draw import dice
from connectors.amazon_sandbox.roles import Role

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Storm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """After every so many calls, the next `length` are all throttled."""

    every: Annotated[int, msgspec.Meta(ge=1)]
    length: Annotated[int, msgspec.Meta(ge=1)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Shares are from 0 to 1. Of all calls: `error500`, `throttle` (429), `expire_tokens`,
    `duplicate_pages` (a page comes twice, under two tokens). `storm`: throttled calls in a row.
    `slow` delays every answer by so many real seconds.

    Of all reports asked for: `fatal_reports`, `cancelled_reports`, `header_only_reports`,
    `short_rows` (every seventh row of the document has too few cells). Of all downloads:
    `truncated_downloads`, `truncated_gzips` (compressed though not announced, and broken off),
    `html_downloads` (a page instead of the document). `inflate` repeats the ledger's rows of
    shipments so many times. `quotas` as in the settings. `missing_roles` are roles that the
    application has not: what needs them is denied. An answer of more bytes than `largest_answer`
    is refused, where answers come in pages (0: none is; Amazon's limit is ten million).
    `shipment_fillers` is how many further items each inbound shipment has, before its own; nothing
    of them is missing.
    """

    error500: Share = 0.0
    throttle: Share = 0.0
    storm: Storm | None = None
    slow: Seconds = 0.0
    expire_tokens: Share = 0.0
    duplicate_pages: Share = 0.0
    fatal_reports: Share = 0.0
    cancelled_reports: Share = 0.0
    header_only_reports: Share = 0.0
    short_rows: Share = 0.0
    truncated_downloads: Share = 0.0
    truncated_gzips: Share = 0.0
    html_downloads: Share = 0.0
    inflate: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    quotas: Mapping[str, tuple[Amount, Amount]] = {}
    missing_roles: tuple[Role, ...] = ()
    largest_answer: Annotated[int, msgspec.Meta(ge=0)] = 0
    shipment_fillers: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class Weather:
    """The faults in force. The same seed and the same calls meet the same faults."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.faults = faults
        self._seed = seed
        self._thrown: Counter[str] = Counter()

    def strikes(self, fault: str) -> bool:
        """Whether this call is one of that fault's share."""
        share: float = getattr(self.faults, fault)
        self._thrown[fault] += 1
        return dice(self._seed, fault, self._thrown[fault]).random() < share

    def storms(self) -> bool:
        """Whether this call falls into a storm."""
        storm = self.faults.storm
        if storm is None:
            return False
        self._thrown["storm"] += 1
        return (self._thrown["storm"] - 1) % (storm.every + storm.length) >= storm.every
