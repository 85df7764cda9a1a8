"""The limits of each plan, which the operator sets. They apply when a sync starts."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from service.errors import StartupError

Count = Annotated[int, msgspec.Meta(ge=0)]


class Plan(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Limits of one plan; None for no limit."""

    #: Syncs that a user may start on one day in UTC.
    syncs_per_day: Count | None = None
    #: How far back a sync may read.
    history_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    #: Live syncs that a tenant may have.
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Plans:
    """All plans by name. A plan that is not set has no limits.

    `tenant_limit` is the default limit of live syncs in a tenant."""

    def __init__(self, plans: Mapping[str, Plan], tenant_limit: int) -> None:
        self._plans = plans
        self._tenant_limit = tenant_limit

    def of(self, name: str) -> Plan:
        return self._plans.get(name) or Plan()

    def tenant_limit(self, name: str) -> int:
        return self.of(name).concurrency or self._tenant_limit


def read_plans(text: str) -> Mapping[str, Plan]:
    """Read plans from JSON like {"free": {"syncsPerDay": 3, "historyDays": 30, "concurrency": 1}}.
    Raises StartupError if the JSON is not valid."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Plan])
    except ValueError as error:
        raise StartupError(
            'PLANS must be JSON like {"free":{"syncsPerDay":3,"historyDays":30,"concurrency":1}} '
            f"({error})."
        ) from error
