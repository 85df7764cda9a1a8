"""The mutable state of a running sandbox."""

from datetime import UTC, date, datetime

from connectors.amazon_sandbox.access_tokens import TokenStore
from connectors.amazon_sandbox.faults import FaultInjector, Faults
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, SellerCache, generate
from connectors.amazon_sandbox.log import new_log
from connectors.amazon_sandbox.notification_store import NotificationStore
from connectors.amazon_sandbox.operations import ApiOperation
from connectors.amazon_sandbox.rate_limits import RateLimit, TokenBuckets
from connectors.amazon_sandbox.reports.store import ReportStore
from connectors.amazon_sandbox.settings import Settings
from connectors.base import Clock

# Seconds. At any speed a client must be able to use a token before it expires.
_MIN_LIFETIME = 10.0


class Sandbox:
    """The settings, the clock, the sellers, and everything that callers have changed."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        #: By seller: when a claim, by rule and key, was reimbursed on demand.
        self.reimbursed_claims: dict[Identity, dict[tuple[str, str], int]] = {}
        self.sellers = SellerCache(self._generate)
        self.reset()

    def reset(self) -> None:
        for identity in self.reimbursed_claims:
            self.sellers.discard(identity)  # all other sellers are unchanged
        self.reimbursed_claims = {}
        self.tokens = TokenStore()
        self.reports = ReportStore(self.settings.speed)
        self.notification_store = NotificationStore()
        self.buckets = TokenBuckets()
        self.log = new_log()
        self.set_faults(self.settings.faults)

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults and restart their counts."""
        self.fault_injector = FaultInjector(self.settings.seed, faults)

    def reimburse(self, identity: Identity, rule: str, key: str) -> None:
        """Reimburse the claim from now on."""
        self.reimbursed_claims.setdefault(identity, {})[rule, key] = int(self.now())
        self.sellers.discard(identity)

    async def seller(self, identity: Identity, at: float) -> Seller:
        """The seller as of the UTC day of that moment."""
        return await self.sellers.get(identity, datetime.fromtimestamp(at, UTC).date())

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().timestamp()

    def lifetime(self, seconds: float) -> float:
        """Amazon's lifetime of a token or URL, scaled by the sandbox's speed."""
        return max(_MIN_LIFETIME, seconds / self.settings.speed)

    def rate_limit(self, operation: ApiOperation) -> RateLimit:
        """The current limit: the one set at run time, else that of the settings, else the published
        one."""
        if self.settings.static:
            return RateLimit(5 * self.settings.speed, 15)
        quotas = {**self.settings.quotas, **self.fault_injector.faults.quotas}
        rate, burst = quotas.get(operation.name, (operation.rate, operation.burst))
        return RateLimit(rate * self.settings.speed, burst)

    def _generate(self, identity: Identity, day: date) -> Seller:
        reimbursed_claims = dict(self.reimbursed_claims.get(identity, {}))
        sells_in = identity.marketplaces or self.settings.marketplaces
        return generate(identity, day, sells_in, reimbursed_claims)
