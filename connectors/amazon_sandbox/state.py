"""All that changes while a sandbox runs, in one place; a reset makes it new."""

from datetime import UTC, date, datetime

from connectors.amazon_sandbox.faults import Faults, Weather
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, Shelf, generate
from connectors.amazon_sandbox.grants import Grants
from connectors.amazon_sandbox.log import new_log
from connectors.amazon_sandbox.notices import Notices
from connectors.amazon_sandbox.operations import Operation
from connectors.amazon_sandbox.quotas import Buckets, Quota
from connectors.amazon_sandbox.reports.desk import Desk
from connectors.amazon_sandbox.settings import Settings
from connectors.base import Clock

_SHORTEST = 10.0  # seconds: however fast time goes, a client must be able to use what it got


class Sandbox:
    """The settings, the clock, the sellers, and what callers have done so far."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.settled: dict[Identity, dict[tuple[str, str], int]] = {}
        self.shelf = Shelf(self._generate)
        self.reset()

    def reset(self) -> None:
        for identity in self.settled:
            self.shelf.forget(identity)  # the others never change
        self.settled = {}
        self.grants = Grants()
        self.desk = Desk(self.settings.speed)
        self.notices = Notices()
        self.buckets = Buckets()
        self.log = new_log()
        self.face(self.settings.faults)

    def face(self, faults: Faults) -> None:
        """From now on these faults, counted from the start."""
        self.weather = Weather(self.settings.seed, faults)

    def settle(self, identity: Identity, rule: str, key: str) -> None:
        """From now on that claim is reimbursed."""
        self.settled.setdefault(identity, {})[rule, key] = int(self.now())
        self.shelf.forget(identity)

    async def seller(self, identity: Identity, at: float) -> Seller:
        """The seller as of that moment's day."""
        return await self.shelf.get(identity, datetime.fromtimestamp(at, UTC).date())

    def now(self) -> float:
        return self.clock.now().timestamp()

    def life(self, seconds: float) -> float:
        """How long something lives here that lives that long with Amazon."""
        return max(_SHORTEST, seconds / self.settings.speed)

    def quota(self, operation: Operation) -> Quota:
        """What holds now: as set at run time, else as in the settings, else as published."""
        if self.settings.static:
            return Quota(5 * self.settings.speed, 15)
        quotas = {**self.settings.quotas, **self.weather.faults.quotas}
        rate, burst = quotas.get(operation.name, (operation.rate, operation.burst))
        return Quota(rate * self.settings.speed, burst)

    def _generate(self, identity: Identity, day: date) -> Seller:
        settled = dict(self.settled.get(identity, {}))
        return generate(identity, day, self.settings.marketplaces, settled)
