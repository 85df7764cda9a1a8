"""The Amazon connector: its datasets, account check, claims and consent, and how it is opened."""

import platform
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec

from connectors.amazon import account, examination
from connectors.amazon.answers import UNREADABLE, decode, plain
from connectors.amazon.auth import Tokens
from connectors.amazon.claims import FEE_LIMITS, RULES, find_claims, rule_windows
from connectors.amazon.client import AmazonClient, Denied
from connectors.amazon.clock import SourceClock
from connectors.amazon.completeness import WITNESSES, compare, days_of_witness, fill
from connectors.amazon.connection import SellerSettings
from connectors.amazon.context import ReadContext
from connectors.amazon.datasets import DATASETS, REMOVALS
from connectors.amazon.marketplaces import REGIONS
from connectors.amazon.notifications import notices_in
from connectors.amazon.profile import profile
from connectors.amazon.settings import (
    ENVIRONMENTS,
    SELLER_CENTRAL,
    AmazonSettings,
    read_settings,
)
from connectors.amazon.single_orders import read_orders_by_id
from connectors.amazon.transactions import TRANSACTIONS, total_of
from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectionLost,
    Cursor,
    Dataset,
    Granted,
    InvalidConnection,
    Misconfigured,
    Notice,
    Page,
    Plan,
    Records,
    SourceError,
    Undetectable,
    Use,
    Waiting,
    Window,
)
from connectors.claims import ClaimRule, Findings, Money, RemovalColumns
from connectors.completing import Gaps, StoredRows
from connectors.findings import Finding
from connectors.http import open_http
from connectors.quota import Buckets

VERSION = "0.1"
UNSEEN = "account:unseen"
"""The key under which a connection remembers why its account may not be read."""


class AmazonConnector:
    """Reads a seller's account through the Selling Partner API."""

    name = "amazon"
    label = "Amazon"
    settings = SellerSettings
    rules: Sequence[ClaimRule] = tuple(
        ClaimRule(rule.code, rule.title, rule.sentence) for rule in RULES
    )
    removals: Sequence[RemovalColumns] = REMOVALS
    datasets: Sequence[Dataset] = tuple(dataset.about for dataset in DATASETS.values())

    def __init__(
        self, settings: AmazonSettings, client: AmazonClient, tokens: Tokens, clock: SourceClock
    ) -> None:
        self._settings = settings
        self._client = client
        self._tokens = tokens
        self._clock = clock
        self._windows = rule_windows(settings.claim_windows)
        self._fee_limits = {**FEE_LIMITS, **settings.refund_fee_limits}

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """The seller's store and marketplaces by getMarketplaceParticipations; and the seller's id
        by listTransactions, unless it is known already."""
        _validate(connection.settings)
        waiting = self._clock.announcing(waiting)
        try:
            body = await self._client.call(connection, account.PARTICIPATIONS, {}, waiting)
        except Denied as error:
            if not connection.settings.marketplace_ids:
                raise SourceError(
                    f"{error} Or give marketplaceIds: then the role is not needed."
                ) from None
            return Account("", learned={UNSEEN: str(error)})
        payload = decode(body, _Participations, "the account").payload
        stores = [store for store in payload if store.participation.isParticipating]
        marketplaces = (
            *(store.marketplace.id for store in stores),
            *profile(connection.settings.environment).places.get(connection.settings.region, ()),
        )
        if absent := [id for id in connection.settings.marketplace_ids if id not in marketplaces]:
            raise InvalidConnection(
                {
                    "marketplaceIds": f"The seller does not sell in {', '.join(absent)}; "
                    f"only in {', '.join(marketplaces) or 'none'}."
                }
            )
        chosen = connection.settings.marketplace_ids or tuple(
            id for id in marketplaces if id in REGIONS[connection.settings.region]
        )
        if not chosen:
            nowhere = f"The seller has no marketplace in region {connection.settings.region}."
            raise InvalidConnection({"region": nowhere})
        seller = connection.account_id
        return Account(
            id=seller or await account.seller_of(self._client, self._clock, connection),
            name=next((plain(store.storeName or "") for store in stores), ""),
            settings=msgspec.structs.replace(connection.settings, marketplace_ids=chosen),
            learned={
                **self._client.learned(connection, [account.PARTICIPATIONS]),
                **({UNSEEN: ""} if connection.learned.get(UNSEEN) else {}),
            },
        )

    @property
    def uses(self) -> Mapping[str, Use]:
        """The use of each operation's quota."""
        return self._client.uses

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {
            name: DATASETS[name].plan(self._client, connection, window)
            for name, window in windows.items()
        }

    async def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Readers validate the values that they use. An invalid value that they do not expect fails
        this dataset only."""
        waiting = self._clock.announcing(waiting)
        try:
            if not self._clock.known and profile(connection.settings.environment).cases is None:
                # The response of the login also carries Amazon's time.
                await self._tokens.get(connection.settings.refresh_token, waiting)
            context = ReadContext(
                self._client, self._clock, connection, self._clock.window(window), waiting
            )
            async for page in DATASETS[dataset.name].read(context, cursor):
                yield page if cursor else _with_unseen(connection, page)
        except UNREADABLE as error:  # not TypeError or KeyError, which are bugs of our own
            text = plain(f"{type(error).__name__}: {error}", 200)
            raise SourceError(
                f"Amazon's responses about {dataset.label} contain an invalid value ({text})."
            ) from error

    def complete(
        self,
        connection: Connection,
        stored: StoredRows,
        windows: Mapping[str, Window],
        datasets: AbstractSet[str],
    ) -> Sequence[Gaps]:
        """Compare orders with transactions, returns, reimbursements and the ledger. Amazon's
        static sandbox returns unrelated examples, which are not compared."""
        if profile(connection.settings.environment).cases is not None:
            return ()
        marketplaces = connection.settings.marketplace_ids
        orders = compare(stored, windows, marketplaces) if "orders" in datasets else None
        witnesses = [name for name in WITNESSES if name in datasets and name in windows]
        return [
            *([orders] if orders else ()),
            *(days_of_witness(stored, name, windows[name]) for name in witnesses),
        ]

    async def fill(
        self, connection: Connection, gaps: Gaps, waiting: Waiting
    ) -> AsyncIterator[Page]:
        waiting, now = self._clock.announcing(waiting), self._clock.now()
        context = ReadContext(self._client, self._clock, connection, Window(now, now), waiting)
        async for page in fill(context, gaps):
            yield page

    def amount(self, dataset: str, data: bytes) -> Money | None:
        return total_of(data) if dataset == TRANSACTIONS.name else None

    def detect(self, records: Records, as_of: datetime) -> Findings:
        findings = find_claims(records, as_of, self._windows, self._fee_limits)
        if not findings.ran:
            needed = dict.fromkeys(name for rule in RULES for name in rule.inputs)
            lacks = ", ".join(name for name in needed if not records.complete(name))
            raise Undetectable(
                "Claims are unknown, which does not mean that there are none: no rule has all its "
                f"inputs. Not completely read: {lacks}."
            )
        return findings

    def notices(self, body: bytes) -> Sequence[Notice]:
        return notices_in(body)

    def heard(self, notice: Notice) -> bool:
        """Wake the read that waits for a finished report. It polls the report at once."""
        return self._client.finished.finish(notice.awaited)

    async def fetch(
        self,
        connection: Connection,
        dataset: Dataset,
        ids: Sequence[str],
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        waiting, now = self._clock.announcing(waiting), self._clock.now()
        context = ReadContext(self._client, self._clock, connection, Window(now, now), waiting)
        async for page in read_orders_by_id(context, ids, cursor):
            yield page

    def authorize_url(self, settings: Mapping[str, Any], state: str, redirect_uri: str) -> str:
        """The address of Seller Central's consent page (developer docs, "Website authorization
        workflow")."""
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

    async def examine(self) -> Sequence[Finding]:
        return await examination.examine(self._settings, self._tokens, self._clock)

    async def exchange(self, answer: Mapping[str, str], redirect_uri: str) -> Granted:
        if not (code := answer.get("spapi_oauth_code")):
            raise ConnectionLost("Amazon sent no code: consent was not given. Start again.")
        token = await self._tokens.exchange(code, redirect_uri)
        seller = account.valid_seller(answer.get("selling_partner_id"))
        return Granted({"refreshToken": token}, seller)


@asynccontextmanager
async def open_connector(
    environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[AmazonConnector]:
    """Open the connector once per process: all syncs share its HTTP connections, tokens and
    quotas."""
    settings = read_settings(environ)
    source, public = SourceClock(clock), not settings.sp_api_url
    agent = _user_agent(settings)
    async with open_http(source, agent, public=public, dated=source.observe) as http:
        tokens = Tokens(settings, http, source)
        client = AmazonClient(settings, http, tokens, Buckets(source), source)
        yield AmazonConnector(settings, client, tokens, source)


def _with_unseen(connection: Connection, page: Page) -> Page:
    """The page with a warning if the account could not be read when it was connected."""
    if page.warning or not (why := connection.learned.get(UNSEEN)):
        return page
    text = f"The account's name and marketplaces could not be read. {why}"
    return msgspec.structs.replace(page, warning=text)


def _user_agent(settings: AmazonSettings) -> str:
    """The User-Agent in the form that Amazon requires: AppId/Version (Language=…; Platform=…)."""
    application = settings.app_id or "seller-sync"
    language = f"Language=Python/{platform.python_version()}"
    return f"{application}/{VERSION} ({language}; Platform={platform.system()})"


def _validate(settings: SellerSettings) -> None:
    """Check what can be checked without a call. Raises InvalidConnection."""
    wrong, region = {}, settings.region
    if region not in REGIONS:
        wrong["region"] = f"Must be one of {', '.join(REGIONS)}."
    elif foreign := [id for id in settings.marketplace_ids if id not in REGIONS[region]]:
        wrong["marketplaceIds"] = f"{', '.join(foreign)} is not in region {region}."
    if settings.environment not in ENVIRONMENTS:
        wrong["environment"] = f"Must be one of {', '.join(ENVIRONMENTS)}."
    if not settings.refresh_token:
        wrong["refreshToken"] = "Must not be empty."
    elif not re.fullmatch("[!-~]{1,4096}", settings.refresh_token):
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
