"""The connector: what it reads, how it checks an account, and how it is opened."""

import platform
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from connectors.amazon import account, datasets, kinds, pages, shipments
from connectors.amazon.answers import UNREADABLE, decode, plain
from connectors.amazon.auth import Tokens
from connectors.amazon.claims import RULES, find_claims, rule_windows
from connectors.amazon.client import Client, Denied
from connectors.amazon.clock import SourceClock
from connectors.amazon.connection import SellerSettings
from connectors.amazon.desk import LOOKS, REPORT_SECONDS, took
from connectors.amazon.documents import Kind
from connectors.amazon.marketplaces import REGIONS
from connectors.amazon.orders import planned, read_orders
from connectors.amazon.plan import way
from connectors.amazon.profile import profile
from connectors.amazon.reports import Reader
from connectors.amazon.settings import (
    ENVIRONMENTS,
    SELLER_CENTRAL,
    AmazonSettings,
    read_settings,
)
from connectors.base import (
    Account,
    ClaimRule,
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
    SourceError,
    Undetectable,
    Waiting,
    Way,
    Window,
)
from connectors.http import open_http
from connectors.quota import Buckets

VERSION = "0.1"
UNSEEN = "account:unseen"
"""What is learned of a connection whose account may not be read: why."""


class AmazonConnector:
    """A seller's account: what was ordered, stocked, paid and returned, and what became of it."""

    name = "amazon"
    label = "Amazon"
    settings = SellerSettings
    rules: Sequence[ClaimRule] = tuple(
        ClaimRule(rule.code, getattr(rule, "title", "") or rule.name, rule.sentence)
        for rule in RULES
    )
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
        self, settings: AmazonSettings, client: Client, tokens: Tokens, clock: SourceClock
    ) -> None:
        self._settings = settings
        self._client = client
        self._tokens = tokens
        self._clock = clock
        self._windows = rule_windows(settings.claim_windows)

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """The seller's store and marketplaces, by getMarketplaceParticipations; and the seller's
        id, unless it is known, by listTransactions."""
        _validate(connection)
        waiting = self._clock.announcing(waiting)
        try:
            body = await self._client.call(connection, datasets.PARTICIPATIONS, {}, waiting)
        except Denied as error:
            if not connection.settings.marketplace_ids:
                raise SourceError(
                    f"{error} Or give marketplaceIds: then it is not needed."
                ) from None
            return Account("", learned={UNSEEN: str(error)})
        found = decode(body, _Participations, "the account").payload
        taking_part = [each for each in found if each.participation.isParticipating]
        marketplaces = (
            *(each.marketplace.id for each in taking_part),
            *profile(connection.settings.environment).places.get(connection.settings.region, ()),
        )
        if absent := [
            each for each in connection.settings.marketplace_ids if each not in marketplaces
        ]:
            raise InvalidConnection(
                {
                    "marketplaceIds": f"The seller does not sell in {', '.join(absent)}; "
                    f"only in {', '.join(marketplaces) or 'none'}."
                }
            )
        chosen = connection.settings.marketplace_ids or tuple(
            each for each in marketplaces if each in REGIONS[connection.settings.region]
        )
        if not chosen:
            nowhere = f"The seller sells in no marketplace of region {connection.settings.region}."
            raise InvalidConnection({"region": nowhere})
        seller = connection.account_id
        return Account(
            id=seller or await account.seller_of(self._client, self._clock, connection),
            name=next((plain(each.storeName or "") for each in taking_part), ""),
            settings=msgspec.structs.replace(connection.settings, marketplace_ids=chosen),
            learned={
                **self._client.learned(connection, [datasets.PARTICIPATIONS]),
                **({UNSEEN: ""} if connection.learned.get(UNSEEN) else {}),
            },
        )

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {name: self._way(connection, name, window) for name, window in windows.items()}

    def _way(self, connection: Connection, name: str, window: Window) -> Way:
        if name == datasets.ORDERS.name:
            return way(planned(self._client, connection, window))
        if kind := kinds.KINDS.get(name):
            return Way("report", self._report_seconds(connection, kind, window))
        return Way("pages")

    def _report_seconds(self, connection: Connection, kind: Kind, window: Window) -> float:
        """As long as the last ones of the dataset took, else what one usually takes: it is made
        beside the others."""
        types = {part.type for part in kind.parts(connection, window)}
        known = [seconds for each in types if (seconds := took(connection, each))]
        return max(known, default=REPORT_SECONDS / self._client.speed) * LOOKS

    async def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Values are validated where they are read; whatever an answer holds that was not foreseen
        there costs this dataset only."""
        waiting = self._clock.announcing(waiting)
        try:
            if not self._clock.known and profile(connection.settings.environment).cases is None:
                # The login tells Amazon's time, too.
                await self._tokens.get(connection.settings.refresh_token, waiting)
            window = self._clock.window(window)
            async for page in self._read(connection, dataset, window, cursor, waiting):
                yield page if cursor else _with_unseen(connection, page)
        except UNREADABLE as error:  # a TypeError or a KeyError would be a fault of ours
            text = plain(f"{type(error).__name__}: {error}", 200)
            raise SourceError(
                f"Amazon's answers about {dataset.label} hold a value that cannot be used ({text})."
            ) from error

    def _read(
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

    def authorize_url(self, settings: Mapping[str, Any], state: str, redirect_uri: str) -> str:
        """The consent page of Seller Central (developer docs, "Website authorization workflow")."""
        region = str(settings["region"]).upper()
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
        return Granted(
            {"refreshToken": token}, account.acceptable(answer.get("selling_partner_id"))
        )


@asynccontextmanager
async def open_connector(
    environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[AmazonConnector]:
    """Open once a process: HTTP connections, tokens and quotas are shared by every sync."""
    settings = read_settings(environ)
    source, public = SourceClock(clock), not settings.sp_api_url
    agent = _user_agent(settings)
    async with open_http(source, agent, public=public, dated=source.heard) as http:
        tokens = Tokens(settings, http, source)
        client = Client(settings, http, tokens, Buckets(source), source)
        yield AmazonConnector(settings, client, tokens, source)


def _with_unseen(connection: Connection, page: Page) -> Page:
    """A sync says once why the account could not be seen when it was connected."""
    if page.warning or not (why := connection.learned.get(UNSEEN)):
        return page
    text = f"The account's name and marketplaces could not be read. {why}"
    return msgspec.structs.replace(page, warning=text)


def _user_agent(settings: AmazonSettings) -> str:
    """In the form that Amazon asks for: AppId/Version (Language=…; Platform=…)."""
    application = settings.app_id or "seller-sync"
    language = f"Language=Python/{platform.python_version()}"
    return f"{application}/{VERSION} ({language}; Platform={platform.system()})"


def _validate(connection: Connection) -> None:
    """What can be told without asking Amazon. Raises InvalidConnection."""
    wrong = {}
    if connection.settings.region not in REGIONS:
        wrong["region"] = f"Must be one of {', '.join(REGIONS)}."
    elif foreign := [
        each
        for each in connection.settings.marketplace_ids
        if each not in REGIONS[connection.settings.region]
    ]:
        wrong["marketplaceIds"] = (
            f"{', '.join(foreign)} is not in region {connection.settings.region}."
        )
    if connection.settings.environment not in ENVIRONMENTS:
        wrong["environment"] = f"Must be one of {', '.join(ENVIRONMENTS)}."
    if not connection.settings.refresh_token:
        wrong["refreshToken"] = "Must not be empty."
    elif not re.fullmatch("[!-~]{1,4096}", connection.settings.refresh_token):
        wrong["refreshToken"] = "Must be visible ASCII, at most 4,096 characters."
    if wrong:
        raise InvalidConnection(wrong)


class _Marketplace(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(max_length=40)]


class _Participation(msgspec.Struct):
    isParticipating: bool


class _MarketplaceParticipation(msgspec.Struct):
    marketplace: _Marketplace
    participation: _Participation
    storeName: str | None = ""


class _Participations(msgspec.Struct):
    payload: list[_MarketplaceParticipation]
