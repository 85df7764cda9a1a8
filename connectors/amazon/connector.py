"""The connector: what it reads, how it checks an account, and how it is opened."""

import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from connectors.amazon import account, datasets, kinds, pages, shipments
from connectors.amazon.auth import Tokens
from connectors.amazon.claims import RULES, Windows, find_claims
from connectors.amazon.claims.windows import PLACES
from connectors.amazon.client import Client
from connectors.amazon.desk import REPORT_SECONDS
from connectors.amazon.orders import planned, read_orders
from connectors.amazon.plan import way
from connectors.amazon.profile import profile
from connectors.amazon.reports import Reader
from connectors.amazon.settings import (
    ENVIRONMENTS,
    MARKETPLACES,
    SELLER_CENTRAL,
    AmazonSettings,
    read_settings,
)
from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectionLost,
    Cursor,
    Dataset,
    Findings,
    Granted,
    InvalidConnection,
    Misconfigured,
    Page,
    Plan,
    Records,
    Retryable,
    Undetectable,
    Waiting,
    Way,
    Window,
)
from connectors.http import open_http
from connectors.quota import Buckets

VERSION = "0.1"


class AmazonConnector:
    """A seller's account: what was ordered, stocked, paid and returned, and what became of it."""

    name = "amazon"
    datasets: Sequence[Dataset] = (
        datasets.ORDERS,
        datasets.INVENTORY,
        datasets.TRANSACTIONS,
        kinds.REIMBURSEMENTS,
        kinds.LEDGER,
        kinds.RETURNS,
        kinds.REMOVALS,
        kinds.FEES,
        kinds.STOCK,
        shipments.SHIPMENTS,
    )

    def __init__(
        self, settings: AmazonSettings, client: Client, tokens: Tokens, clock: Clock
    ) -> None:
        self._settings = settings
        self._client = client
        self._tokens = tokens
        self._clock = clock
        self._windows = Windows(places={**PLACES, **settings.claim_windows})

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """The seller's store and marketplaces, by getMarketplaceParticipations; and the seller's
        id, unless it is known, by listTransactions."""
        _validate(connection)
        body = await self._client.call(connection, datasets.PARTICIPATIONS, {}, waiting)
        try:
            found = msgspec.json.decode(body, type=_Participations).payload
        except ValueError as error:
            raise Retryable(f"Amazon's answer about the account cannot be read: {error}") from error
        taking_part = [each for each in found if each.participation.isParticipating]
        marketplaces = (
            *(each.marketplace.id for each in taking_part),
            *profile(connection.environment).places.get(connection.region, ()),
        )
        if absent := [each for each in connection.marketplace_ids if each not in marketplaces]:
            raise InvalidConnection(
                {
                    "marketplaceIds": f"The seller does not sell in {', '.join(absent)}; "
                    f"only in {', '.join(marketplaces) or 'none'}."
                }
            )
        chosen = connection.marketplace_ids or tuple(
            each for each in marketplaces if each in MARKETPLACES[connection.region]
        )
        if not chosen:
            nowhere = f"The seller sells in no marketplace of region {connection.region}."
            raise InvalidConnection({"region": nowhere})
        seller = connection.account_id
        return Account(
            id=seller or await account.seller_of(self._client, self._clock, connection),
            name=next((each.storeName for each in taking_part), ""),
            marketplace_ids=chosen,
            learned=self._client.learned(connection, [datasets.PARTICIPATIONS]),
        )

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {name: self._way(connection, name, window) for name, window in windows.items()}

    def _way(self, connection: Connection, name: str, window: Window) -> Way:
        if name == datasets.ORDERS.name:
            return way(planned(connection, window))
        if name in kinds.KINDS:
            return Way("report", REPORT_SECONDS)
        return Way("pages")

    def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        client, clock = self._client, self._clock
        if dataset.name == datasets.ORDERS.name:
            return read_orders(client, clock, connection, window, cursor, waiting)
        if dataset.name == shipments.SHIPMENTS.name:
            return shipments.read_shipments(client, connection, window, cursor, waiting)
        if kind := kinds.KINDS.get(dataset.name):
            return Reader(client, clock, kind, connection, window, waiting).read(cursor)
        source = datasets.SOURCES[dataset.name]
        found = pages.read(client, source, connection, window, cursor, waiting)
        return account.naming(found, connection) if dataset.tells_account else found

    def detect(self, records: Records, as_of: datetime) -> Findings:
        found = find_claims(records, as_of, self._windows)
        if not found.ran:
            needed = dict.fromkeys(name for rule in RULES for name in rule.inputs)
            lacks = ", ".join(name for name in needed if not records.complete(name))
            raise Undetectable(
                "Claims are unknown, which is not a count of zero: no rule has all that it needs, "
                f"since not all was read of {lacks}."
            )
        return found

    def authorize_url(self, region: str, state: str, redirect_uri: str) -> str:
        """The consent page of Seller Central (developer docs, "Website authorization workflow")."""
        if region not in SELLER_CENTRAL:
            raise InvalidConnection({"region": f"Must be one of {', '.join(SELLER_CENTRAL)}."})
        if not self._settings.app_id:
            raise Misconfigured("The operator must set AMAZON_APP_ID.")
        query = {
            "application_id": self._settings.app_id,
            "state": state,
            "redirect_uri": redirect_uri,
        }
        place = self._settings.consent_url or SELLER_CENTRAL[region]
        return f"{place}/apps/authorize/consent?{urlencode(query)}"

    async def exchange(self, answer: Mapping[str, str], redirect_uri: str) -> Granted:
        if not (code := answer.get("spapi_oauth_code")):
            raise ConnectionLost("Amazon sent no code: the consent was not given. Begin again.")
        token = await self._tokens.exchange(code, redirect_uri)
        return Granted(token, account.acceptable(answer.get("selling_partner_id")))


@asynccontextmanager
async def open_connector(
    environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[AmazonConnector]:
    """Open once a process: HTTP connections, tokens and quotas are shared by every sync."""
    settings = read_settings(environ)
    async with open_http(clock, _user_agent(settings)) as http:
        tokens = Tokens(settings, http, clock)
        client = Client(settings, http, tokens, Buckets(clock), clock)
        yield AmazonConnector(settings, client, tokens, clock)


def _user_agent(settings: AmazonSettings) -> str:
    """In the form that Amazon asks for: AppId/Version (Language=…; Platform=…)."""
    application = settings.app_id or "seller-sync"
    language = f"Language=Python/{platform.python_version()}"
    return f"{application}/{VERSION} ({language}; Platform={platform.system()})"


def _validate(connection: Connection) -> None:
    """What can be told without asking Amazon. Raises InvalidConnection."""
    wrong = {}
    if connection.region not in MARKETPLACES:
        wrong["region"] = f"Must be one of {', '.join(MARKETPLACES)}."
    elif foreign := [
        each for each in connection.marketplace_ids if each not in MARKETPLACES[connection.region]
    ]:
        wrong["marketplaceIds"] = f"{', '.join(foreign)} is not in region {connection.region}."
    if connection.environment not in ENVIRONMENTS:
        wrong["environment"] = f"Must be one of {', '.join(ENVIRONMENTS)}."
    if not connection.refresh_token:
        wrong["refreshToken"] = "Must not be empty."
    if wrong:
        raise InvalidConnection(wrong)


class _Marketplace(msgspec.Struct):
    id: str


class _Participation(msgspec.Struct):
    isParticipating: bool


class _MarketplaceParticipation(msgspec.Struct):
    marketplace: _Marketplace
    participation: _Participation
    storeName: str = ""


class _Participations(msgspec.Struct):
    payload: list[_MarketplaceParticipation]
