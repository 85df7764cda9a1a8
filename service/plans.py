"""What each plan of the product allows, as the operator has set it. Enforced when a sync starts."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from service.errors import StartupError

Count = Annotated[int, msgspec.Meta(ge=0)]


class Plan(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """None: without limit. `syncs_per_day` of a user, by the day in UTC; `history_days` is how far
    back a sync may read; `concurrency` is how many live syncs a tenant may have."""

    syncs_per_day: Count | None = None
    history_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Plans:
    """Every plan by its name. An unknown one has no limits of its own."""

    def __init__(self, plans: Mapping[str, Plan], most_of_tenant: int) -> None:
        self._plans = plans
        self._most_of_tenant = most_of_tenant

    def of(self, name: str) -> Plan:
        return self._plans.get(name) or Plan()

    def most_of_tenant(self, name: str) -> int:
        return self.of(name).concurrency or self._most_of_tenant


def read_plans(text: str) -> Mapping[str, Plan]:
    """Plans as JSON: {"free": {"syncsPerDay": 3, "historyDays": 30, "concurrency": 1}}. Raises
    StartupError saying what is wrong."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Plan])
    except ValueError as error:
        raise StartupError(
            'PLANS must be JSON like {"free":{"syncsPerDay":3,"historyDays":30,"concurrency":1}} '
            f"({error})."
        ) from error
