"""The user of the request, and the limits of their plan."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.wire import responses, shapes


async def me(request: Request) -> Response:
    """Get the user of the request: `sub`, tenant, role, and the limits of the plan. The role is
    null except for operators; a limit is null if the plan does not have it."""
    caller, starter = actor(request), parts(request).starter
    plan = starter.plan_of(caller)
    return responses.JSON(
        shapes.Me(
            user=caller.sub,
            tenant=caller.tenant,
            role=caller.role or None,
            plan=shapes.PlanOfMe(
                name=caller.plan,
                syncs_per_day=plan.syncs_per_day,
                syncs_today=await starter.started_today(caller),
                history_days=plan.history_days,
                concurrency=plan.concurrency,
            ),
        )
    )
