"""The connector: what it reads, how it checks an account, and how it is opened."""

import platform
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from connectors.amazon import datasets
from connectors.amazon.auth import Tokens
from connectors.amazon.client import Client
from connectors.amazon.settings import ENVIRONMENTS, MARKETPLACES, AmazonSettings, read_settings
from connectors.base import (
    Account,
    Claim,
    Clock,
    Connection,
    Cursor,
    Dataset,
    InvalidConnection,
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
    """Orders, inventory and transactions of a seller's account."""

    name = "amazon"
    datasets: Sequence[Dataset] = (datasets.ORDERS, datasets.INVENTORY, datasets.TRANSACTIONS)

    def __init__(self, client: Client) -> None:
        self._client = client

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        """The seller's store and marketplaces, by getMarketplaceParticipations."""
        _validate(connection)
        body = await self._client.call(connection, datasets.PARTICIPATIONS, {}, waiting)
        try:
            found = msgspec.json.decode(body, type=_Participations).payload
        except ValueError as error:
            raise Retryable(f"Amazon's answer about the account cannot be read: {error}") from error
        taking_part = [each for each in found if each.participation.isParticipating]
        marketplaces = tuple(each.marketplace.id for each in taking_part)
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
        return Account(
            name=next((each.storeName for each in taking_part), ""),
            marketplace_ids=chosen,
            learned=self._client.learned(connection, [datasets.PARTICIPATIONS]),
        )

    def plan(self, windows: Mapping[str, Window]) -> Plan:
        return {name: Way(datasets.SOURCES[name].operation.name) for name in windows}

    def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        source = datasets.SOURCES[dataset.name]
        return datasets.read(self._client, source, connection, window, cursor, waiting)

    def detect(self, records: Records, as_of: datetime) -> Iterable[Claim]:
        raise Undetectable(
            "Claims are unknown: no rule can be computed from orders, inventory and transactions "
            "alone. This is not a count of zero."
        )


@asynccontextmanager
async def open_connector(
    environ: Mapping[str, str], clock: Clock
) -> AsyncIterator[AmazonConnector]:
    """Open once a process: HTTP connections, tokens and quotas are shared by every sync."""
    settings = read_settings(environ)
    async with open_http(clock, _user_agent(settings)) as http:
        tokens = Tokens(settings, http, clock)
        yield AmazonConnector(Client(settings, http, tokens, Buckets(clock), clock))


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
