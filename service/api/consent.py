"""Connect an account by consent: redirect to the source's page, and handle the return."""

from collections.abc import Sequence
from functools import cache
from typing import cast
from urllib.parse import urlencode

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from service.api.connections import resume_paused, start_first_sync
from service.api.parts import actor, parts
from service.connection_settings import SettingsType, Values, default
from service.consents import ConsentRequest
from service.errors import Invalid, ServiceError
from service.store.connections import StoredConnection
from service.wire.reading import Query, fit, read_query

log = structlog.get_logger()


class AuthorizeQuery(Query, frozen=True):
    """The account to connect by consent: the public settings of the connector, with lists separated
    by commas. With `connectionId`, that connection is reconnected."""

    connection_id: str = ""
    #: `true`: no sync starts after the consent.
    skip_historical_sync: bool = False


class CallbackQuery(Query, frozen=True):
    """The state that `authorize` sent, and the parameters that the source adds."""

    state: str


async def authorize(request: Request) -> Response:
    """Redirect the browser to the consent page of the source."""
    caller, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    settings = parts(request).sources.settings(connector)
    given = read_query(request, _authorize_query(settings))
    consent = ConsentRequest(
        connector=connector,
        settings=_public(given, settings),
        skip_historical_sync=given.skip_historical_sync,
        connection_id=given.connection_id or None,
    )
    back = f"{request.base_url}api/connections/{connector}/callback"
    url = await parts(request).consents.authorize(caller, consent, back)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


@cache
def _authorize_query(settings: SettingsType) -> type[AuthorizeQuery]:
    """The query of a consent for a connector. Lists are comma-separated text."""
    lists = _lists(settings)
    public = msgspec.structs.fields(settings.public_struct)
    query = msgspec.defstruct(
        AuthorizeQuery.__name__,
        [
            (field.name, str, "")
            if field.encode_name in lists
            else (field.name, field.type, default(field))
            for field in public
        ],
        bases=(AuthorizeQuery,),
        kw_only=True,
        rename={field.name: field.encode_name for field in public},
    )
    return cast(type[AuthorizeQuery], query)


def _public(given: AuthorizeQuery, settings: SettingsType) -> Values:
    """The public settings in a query. Raises Invalid, which names the field."""
    values: Values = msgspec.to_builtins(given)
    public = {name: values[name] for name in settings.public}
    split = {name: list(filter(None, public[name].split(","))) for name in _lists(settings)}
    checked: Values = msgspec.to_builtins(fit(public | split, settings.public_struct))
    return checked


def _lists(settings: SettingsType) -> Sequence[str]:
    properties = settings.schema["properties"]
    return [name for name in settings.public if properties[name].get("type") == "array"]


async def callback(request: Request) -> Response:
    """Handle the return from the consent page. The account is connected, a first sync starts, and
    the browser is redirected to the dashboard, with the id of the connection or the code of an
    error: `/#/overview?connected=…` or `/#/overview?refused=…`."""
    connector = request.path_params["connector"]
    parts(request).sources.consent(connector)
    try:
        connection = await _complete(request, connector)
    except ServiceError as error:
        log.warning("consent_refused", connector=connector, code=error.code, reason=error.detail)
        return _to_dashboard(refused=error.code)
    return _to_dashboard(connected=connection.id)


async def _complete(request: Request, connector: str) -> StoredConnection:
    caller, answer = actor(request), dict(request.query_params)
    if not answer.get("state"):
        raise Invalid.field("state", "Missing: the consent was refused or not completed.")
    consented = await parts(request).consents.complete(caller, connector, answer)
    connection = consented.connection
    resumed = await resume_paused(request, caller, connection)
    if resumed is None and not consented.skip_historical_sync:
        await start_first_sync(request, caller, connection)
    return connection


def _to_dashboard(**outcome: str) -> Response:
    location = f"/#/overview?{urlencode(outcome)}"
    return Response(status_code=303, headers={"Location": location})
