"""Every API call: check the request, authenticate, charge the quota, run the operation, log it."""

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox import static
from connectors.amazon_sandbox.access_tokens import Grant
from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.operations import ApiOperation
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.paging import Cursor, open_cursor
from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import (
    ApiError,
    Reply,
    add_rate_limit_header,
    denied,
    error_response,
    invalid,
    json_response,
    throttled,
    unknown_path,
)
from connectors.amazon_sandbox.state import Sandbox

_MAX_USER_AGENT = 500


async def handle_call(sandbox: Sandbox, operation: ApiOperation, request: Request) -> Response:
    grant: Grant | None = None
    try:
        if sandbox.fault_injector.faults.slow:
            await sandbox.clock.sleep(sandbox.fault_injector.faults.slow)
        _check_request(request)
        grant = _authenticate(sandbox, operation, request)
        _charge_quota(sandbox, operation, grant)
        if operation.role in sandbox.fault_injector.faults.missing_roles:
            raise denied("")
        run = _run_static if sandbox.settings.static else _run
        response = _response(await run(sandbox, operation, grant, request))
        _check_size(sandbox, operation, response)
    except ApiError as error:
        response = error_response(error)
    rate = sandbox.rate_limit(operation).rate
    add_rate_limit_header(response, rate, sandbox.settings.speed)
    _log(sandbox, request, response, operation.name, grant)
    return response


async def handle_unknown_path(sandbox: Sandbox, request: Request) -> Response:
    """Reject a path that names no operation: Amazon's gateway responds with 403, not 404."""
    response = error_response(unknown_path())
    _log(sandbox, request, response, None, None)
    return response


def _response(result: object) -> Response:
    if isinstance(result, Reply):
        return json_response(result.body, result.status)
    return json_response(result)


def _check_size(sandbox: Sandbox, operation: ApiOperation, response: Response) -> None:
    """Reject a response that is too large, with the message of any other invalid request."""
    maximum = sandbox.fault_injector.faults.largest_answer
    if maximum and operation.paging and len(response.body) > maximum:
        raise invalid("Invalid Input")


def _check_request(request: Request) -> None:
    if len(request.headers.get("user-agent", "")) > _MAX_USER_AGENT:
        raise invalid(f"The User-Agent is longer than {_MAX_USER_AGENT} characters")
    has_body = request.headers.get("content-length", "0") != "0"
    if request.method == "GET" and (has_body or "transfer-encoding" in request.headers):
        raise invalid("A GET request cannot have a body")


def _authenticate(sandbox: Sandbox, operation: ApiOperation, request: Request) -> Grant:
    token = request.headers.get("x-amz-access-token")
    grant = sandbox.tokens.find(token, sandbox.now())
    if grant.grantless and not operation.grantless:
        raise denied("The access token you provided does not belong to a seller.")
    if token and sandbox.fault_injector.occurs("expire_tokens"):
        sandbox.tokens.expire(token)
        return sandbox.tokens.find(token, sandbox.now())
    return grant


def _charge_quota(sandbox: Sandbox, operation: ApiOperation, grant: Grant) -> None:
    """Charge the call to its quota, even if the request turns out to be invalid."""
    name = "static" if sandbox.settings.static else operation.name
    key = (grant.identity.name, grant.client_id, name)
    if not sandbox.buckets.take(key, sandbox.rate_limit(operation), sandbox.now()):
        raise throttled()
    if sandbox.fault_injector.in_storm() or sandbox.fault_injector.occurs("throttle"):
        raise throttled()
    if sandbox.fault_injector.occurs("error500"):
        message = "We encountered an internal error. Please try again."
        raise ApiError(500, "InternalFailure", message)


async def _run_static(
    sandbox: Sandbox, operation: ApiOperation, grant: Grant, request: Request
) -> object:
    query = Query.of(request.query_params.multi_items())
    parameters = {**query.values, **request.path_params}
    return static.answer(operation.name, parameters, await request.body())


async def _run(sandbox: Sandbox, operation: ApiOperation, grant: Grant, request: Request) -> object:
    query = Query.of(request.query_params.multi_items())
    now = sandbox.now()
    cursor = Cursor("", as_of=now, issued_at=now)
    if operation.paging:
        reader = f"{grant.identity.name} {operation.name}"
        lifetime = sandbox.lifetime(operation.paging.lifetime)
        cursor = open_cursor(operation.paging, query, reader, now, lifetime)
    call = Call(
        seller=await sandbox.seller(grant.identity, cursor.as_of),
        query=Query(cursor.parameters) if cursor.parameters else query,
        path=request.path_params,
        now=now,
        cursor=cursor,
        body=await request.body(),
        base_url=str(request.base_url).rstrip("/"),
        client_id=grant.client_id,
        reports=sandbox.reports,
        notification_store=sandbox.notification_store,
        fault_injector=sandbox.fault_injector,
        lifetime=sandbox.lifetime,
        issue_restricted_token=partial(
            sandbox.tokens.issue_restricted, grant, now + sandbox.lifetime(3_600)
        ),
        copies=sandbox.settings.rows,
        duplicate_page=operation.paging is not None
        and sandbox.fault_injector.occurs("duplicate_pages"),
        hidden_page=operation.name == "searchOrders"
        and sandbox.fault_injector.occurs("hidden_pages"),
    )
    if operation.heavy:
        return await to_thread.run_sync(operation.handle, call)
    return operation.handle(call)


def _log(
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
