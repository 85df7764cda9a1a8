"""The caller as the service knows it."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.wire import responses, shapes


async def me(request: Request) -> Response:
    """The caller's `sub`, tenant and role, and the limits of the plan. Only an operator has a role;
    a limit that does not exist is null."""
    who, starter = actor(request), parts(request).starter
    plan = starter.plan_of(who)
    return responses.JSON(
        shapes.Me(
            user=who.sub,
            tenant=who.tenant,
            role=who.role or None,
            plan=shapes.PlanOfMe(
                name=who.plan,
                syncs_per_day=plan.syncs_per_day,
                syncs_today=await starter.started_today(who),
                history_days=plan.history_days,
                concurrency=plan.concurrency,
            ),
        )
    )
