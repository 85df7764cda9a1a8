"""The account behind a connection.

Of the operations in use, only listTransactions names the seller, in
`sellingPartnerMetadata.sellingPartnerId` (Amazon's model finances_2024-06-19.json)."""

import re
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn

import msgspec

from connectors.amazon import transactions
from connectors.amazon.client import INSIGHTS, AmazonClient, Operation
from connectors.base import (
    Clock,
    Connection,
    ConnectorError,
    Page,
    Retryable,
    Window,
)

PARTICIPATIONS = Operation(
    "getMarketplaceParticipations",
    "/sellers/v1/marketplaceParticipations",
    0.016,
    15,
    role=INSIGHTS,
)
LOOK_BACK = transactions.TRANSACTIONS.reach
"""How far back the call looks for a transaction."""
_ID = re.compile("[!-~]{1,64}")


async def seller_of(client: AmazonClient, clock: Clock, connection: Connection) -> str | None:
    """The seller's id from one call; None if Amazon does not report it now, for any reason.

    The call never waits, since reading the transactions also finds the id. Amazon's static sandbox
    returns the same example to every caller, so it identifies no seller."""
    if connection.settings.environment == "sandbox" or LOOK_BACK is None:
        return None
    source, until = transactions.SOURCE, clock.now() - transactions.TRANSACTIONS.lag
    (part,) = source.parts(connection, Window(until - LOOK_BACK, until))
    try:
        body = await client.call(connection, source.operation, part, _refuse_to_wait)
        return seller_in(bytes(record) for record in source.slice(body).records)
    except (ConnectorError, ValueError, RecursionError):
        return None


async def with_sellers(pages: AsyncIterator[Page], connection: Connection) -> AsyncIterator[Page]:
    """Pages of transactions, each with the seller that it names."""
    async for page in pages:
        if connection.settings.environment == "sandbox":
            yield page
        else:
            seller = seller_in((record.data for record in page.records), connection.account_id)
            yield msgspec.structs.replace(page, account=seller)


def seller_in(records: Iterable[bytes], expected: str | None = None) -> str | None:
    """The seller that transactions name: the expected one if it is among them, else the first."""
    sellers = list(filter(None, map(_seller, records)))
    return expected if expected in sellers else next(iter(sellers), None)


def valid_seller(seller: str | None) -> str | None:
    """A valid seller id, or None."""
    return seller if seller and _ID.fullmatch(seller) else None


class _Partner(msgspec.Struct):
    sellingPartnerId: str | None = None


class _WithSeller(msgspec.Struct):
    sellingPartnerMetadata: _Partner | None = None


_decoder = msgspec.json.Decoder(_WithSeller)


def _seller(transaction: bytes) -> str | None:
    try:
        partner = _decoder.decode(transaction).sellingPartnerMetadata
    except (ValueError, RecursionError):
        return None
    return valid_seller(partner.sellingPartnerId) if partner else None


async def _refuse_to_wait(*_: object) -> NoReturn:
    raise Retryable("The seller's id cannot be read now without waiting.")
