"""The way of every call: who are you, may you, then the operation; and what is noted of it."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox import static
from connectors.amazon_sandbox.answers import (
    Answered,
    Refused,
    announce,
    denied,
    invalid,
    misrouted,
    refusal,
    reply,
    throttled,
)
from connectors.amazon_sandbox.grants import Grant
from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.operations import Operation
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import Cursor, open_cursor
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.state import Sandbox

_LONGEST_AGENT = 500


async def perform(sandbox: Sandbox, operation: Operation, request: Request) -> Response:
    """Answer a call of this operation."""
    grant: Grant | None = None
    try:
        if sandbox.weather.faults.slow:
            await sandbox.clock.sleep(sandbox.weather.faults.slow)
        _check_form(request)
        grant = _admit(sandbox, operation, request)
        _spend(sandbox, operation, grant)
        if operation.role in sandbox.weather.faults.missing_roles:
            raise denied("")
        answer = _static if sandbox.settings.static else _answer
        response = _reply(await answer(sandbox, operation, grant, request))
        _check_size(sandbox, operation, response)
    except Refused as refused:
        response = refusal(refused)
    announce(response, sandbox.quota(operation).rate, sandbox.settings.speed)
    _note(sandbox, request, response, operation.name, grant)
    return response


async def misroute(sandbox: Sandbox, request: Request) -> Response:
    """Answer a call of what is no operation: Amazon's gateway says 403, not 404."""
    response = refusal(misrouted())
    _note(sandbox, request, response, None, None)
    return response


def _reply(answer: object) -> Response:
    if isinstance(answer, Answered):
        return reply(answer.body, answer.status)
    return reply(answer)


def _check_size(sandbox: Sandbox, operation: Operation, response: Response) -> None:
    """What is too large is refused in the words of any wrong request."""
    most = sandbox.weather.faults.largest_answer
    if most and operation.paging and len(response.body) > most:
        raise invalid("Invalid Input")


def _check_form(request: Request) -> None:
    if len(request.headers.get("user-agent", "")) > _LONGEST_AGENT:
        raise invalid(f"The User-Agent is longer than {_LONGEST_AGENT} characters")
    has_body = request.headers.get("content-length", "0") != "0"
    if request.method == "GET" and (has_body or "transfer-encoding" in request.headers):
        raise invalid("A GET request cannot have a body")


def _admit(sandbox: Sandbox, operation: Operation, request: Request) -> Grant:
    token = request.headers.get("x-amz-access-token")
    grant = sandbox.grants.find(token, sandbox.now())
    if grant.grantless and not operation.grantless:
        raise denied("The access token you provided speaks for no seller.")
    if token and sandbox.weather.strikes("expire_tokens"):
        sandbox.grants.expire(token)
        return sandbox.grants.find(token, sandbox.now())
    return grant


def _spend(sandbox: Sandbox, operation: Operation, grant: Grant) -> None:
    """Every call costs, also one that then turns out to be wrong."""
    counted = "static" if sandbox.settings.static else operation.name
    key = (grant.identity.name, grant.client_id, counted)
    if not sandbox.buckets.draw(key, sandbox.quota(operation), sandbox.now()):
        raise throttled()
    if sandbox.weather.storms() or sandbox.weather.strikes("throttle"):
        raise throttled()
    if sandbox.weather.strikes("error500"):
        raise Refused(500, "InternalFailure", "We encountered an internal error. Please try again.")


async def _static(sandbox: Sandbox, operation: Operation, grant: Grant, request: Request) -> object:
    query = Query.of(request.query_params.multi_items())
    parameters = {**query.values, **request.path_params}
    return static.answer(operation.name, parameters, await request.body())


async def _answer(sandbox: Sandbox, operation: Operation, grant: Grant, request: Request) -> object:
    query = Query.of(request.query_params.multi_items())
    now = sandbox.now()
    cursor = Cursor("", asked=now, born=now)
    if operation.paging:
        reader = f"{grant.identity.name} {operation.name}"
        life = sandbox.life(operation.paging.life)
        cursor = open_cursor(operation.paging, query, reader, now, life)
    call = Call(
        seller=await sandbox.seller(grant.identity, cursor.asked),
        query=Query(cursor.values) if cursor.values else query,
        path=request.path_params,
        now=now,
        cursor=cursor,
        body=await request.body(),
        base=str(request.base_url).rstrip("/"),
        client_id=grant.client_id,
        desk=sandbox.desk,
        notices=sandbox.notices,
        weather=sandbox.weather,
        life=sandbox.life,
        give=partial(sandbox.grants.give_restricted, grant, now + sandbox.life(3_600)),
        copies=sandbox.settings.rows,
        again=operation.paging is not None and sandbox.weather.strikes("duplicate_pages"),
    )
    if operation.heavy:
        return await to_thread.run_sync(operation.handle, call)
    return operation.handle(call)


def _note(
    sandbox: Sandbox,
    request: Request,
    response: Response,
    operation: str | None,
    grant: Grant | None,
) -> None:
    entry = Entry(
        at=sandbox.clock.now(),
        method=request.method,
        path=request.url.path,
        operation=operation,
        seller=grant.identity.name if grant else None,
        status=response.status_code,
        parameters=Query.of(request.query_params.multi_items()).values,
    )
    sandbox.log.append(entry)
