"""The way of every call: who are you, may you, then the operation; and what is noted of it."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon.sandbox.answers import (
    Refused,
    announce,
    invalid,
    misrouted,
    refusal,
    reply,
    throttled,
)
from connectors.amazon.sandbox.grants import Grant
from connectors.amazon.sandbox.log import Entry
from connectors.amazon.sandbox.operations import Operation
from connectors.amazon.sandbox.operations.call import Call
from connectors.amazon.sandbox.operations.paging import Cursor, open_cursor
from connectors.amazon.sandbox.operations.query import Query
from connectors.amazon.sandbox.state import Sandbox

_LONGEST_AGENT = 500


async def perform(sandbox: Sandbox, operation: Operation, request: Request) -> Response:
    """Answer a call of this operation."""
    grant: Grant | None = None
    try:
        if sandbox.weather.faults.slow:
            await sandbox.clock.sleep(sandbox.weather.faults.slow)
        _check_form(request)
        grant = _admit(sandbox, request)
        _spend(sandbox, operation, grant)
        response = reply(await _answer(sandbox, operation, grant, request))
    except Refused as refused:
        response = refusal(refused)
    announce(response, sandbox.quota(operation).rate)
    _note(sandbox, request, response, operation.name, grant)
    return response


async def misroute(sandbox: Sandbox, request: Request) -> Response:
    """Answer a call of what is no operation: Amazon's gateway says 403, not 404."""
    response = refusal(misrouted())
    _note(sandbox, request, response, None, None)
    return response


def _check_form(request: Request) -> None:
    if len(request.headers.get("user-agent", "")) > _LONGEST_AGENT:
        raise invalid(f"The User-Agent is longer than {_LONGEST_AGENT} characters")
    has_body = request.headers.get("content-length", "0") != "0"
    if request.method == "GET" and (has_body or "transfer-encoding" in request.headers):
        raise invalid("A GET request cannot have a body")


def _admit(sandbox: Sandbox, request: Request) -> Grant:
    token = request.headers.get("x-amz-access-token")
    grant = sandbox.grants.find(token, sandbox.now())
    if token and sandbox.weather.strikes("expire_tokens"):
        sandbox.grants.expire(token)
        return sandbox.grants.find(token, sandbox.now())
    return grant


def _spend(sandbox: Sandbox, operation: Operation, grant: Grant) -> None:
    """Every call costs, also one that then turns out to be wrong."""
    key = (grant.identity.name, grant.client_id, operation.name)
    if not sandbox.buckets.draw(key, sandbox.quota(operation), sandbox.now()):
        raise throttled()
    if sandbox.weather.strikes("throttle"):
        raise throttled()
    if sandbox.weather.strikes("error500"):
        raise Refused(500, "InternalFailure", "We encountered an internal error. Please try again.")


async def _answer(sandbox: Sandbox, operation: Operation, grant: Grant, request: Request) -> object:
    query = Query.of(request.query_params.multi_items())
    now = sandbox.now()
    cursor = Cursor("", asked=now, born=now)
    if operation.paging:
        reader = f"{grant.identity.name} {operation.name}"
        life = sandbox.life(operation.paging.life)
        cursor = open_cursor(operation.paging, query, reader, now, life)
    day = datetime.fromtimestamp(cursor.asked, UTC).date()
    seller = await sandbox.shelf.get(grant.identity, day)
    again = operation.paging is not None and sandbox.weather.strikes("duplicate_pages")
    return operation.handle(Call(seller, query, request.path_params, now, cursor, again))


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
