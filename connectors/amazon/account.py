"""Which seller an account belongs to.

Of the operations we may call only listTransactions names the seller, in
`sellingPartnerMetadata.sellingPartnerId` (Amazon's model finances_2024-06-19.json)."""

import re
from collections.abc import AsyncIterator, Iterable
from typing import NoReturn

import msgspec

from connectors.amazon.client import Client
from connectors.amazon.datasets import LIST_TRANSACTIONS, SOURCES, TRANSACTIONS
from connectors.base import (
    Clock,
    Connection,
    ConnectorError,
    Page,
    Retryable,
    Window,
)

LOOK_BACK = TRANSACTIONS.reach
"""How far back a transaction is looked for, in one call."""
_ID = re.compile("[!-~]{1,64}")


async def seller_of(client: Client, clock: Clock, connection: Connection) -> str | None:
    """The seller's id, by one call; None where Amazon does not tell it now, for whatever reason.

    It never waits: the read of the transactions tells it, too. Amazon's static sandbox answers
    with the same example for everybody, so nobody is known by it."""
    if connection.settings.environment == "sandbox" or LOOK_BACK is None:
        return None
    source, until = SOURCES[TRANSACTIONS.name], clock.now() - TRANSACTIONS.lag
    (part,) = source.parts(connection, Window(until - LOOK_BACK, until))
    try:
        body = await client.call(connection, LIST_TRANSACTIONS, part, _impatient)
        return named(bytes(each) for each in source.slice(body).records)
    except (ConnectorError, ValueError, RecursionError):
        return None


async def naming(pages: AsyncIterator[Page], connection: Connection) -> AsyncIterator[Page]:
    """The pages of transactions, each with the seller that it names."""
    async for page in pages:
        if connection.settings.environment == "sandbox":
            yield page
        else:
            seller = named((each.data for each in page.records), connection.account_id)
            yield msgspec.structs.replace(page, account=seller)


def named(transactions: Iterable[bytes], expected: str | None = None) -> str | None:
    """The seller whom transactions name: the expected one if it is among them, else the first."""
    found = list(filter(None, map(_seller, transactions)))
    return expected if expected in found else next(iter(found), None)


def acceptable(seller: str | None) -> str | None:
    """An id as Amazon gives it out, or None."""
    return seller if seller and _ID.fullmatch(seller) else None


class _Partner(msgspec.Struct):
    sellingPartnerId: str | None = None


class _Transaction(msgspec.Struct):
    sellingPartnerMetadata: _Partner | None = None


_decoder = msgspec.json.Decoder(_Transaction)


def _seller(transaction: bytes) -> str | None:
    try:
        partner = _decoder.decode(transaction).sellingPartnerMetadata
    except (ValueError, RecursionError):
        return None
    return acceptable(partner.sellingPartnerId) if partner else None


async def _impatient(*_: object) -> NoReturn:
    raise Retryable("Amazon does not tell at once whose account this is.")
