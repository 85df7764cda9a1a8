"""Bad weather on demand: which share of the calls goes wrong, and how."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import msgspec

from connectors.amazon.sandbox.generator.draw import dice

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
Amount = Annotated[float, msgspec.Meta(ge=0)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Shares are of all calls, from 0 to 1; `slow` is in real seconds.

    `duplicate_pages` makes a page come twice, under two tokens. `quotas` as in the settings.
    """

    error500: Share = 0.0
    throttle: Share = 0.0
    slow: Seconds = 0.0
    expire_tokens: Share = 0.0
    duplicate_pages: Share = 0.0
    quotas: Mapping[str, tuple[Amount, Amount]] = {}


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
