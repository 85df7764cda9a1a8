"""Transactions: listTransactions of the Finances API 2024-06-19."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, text
from connectors.amazon.client import FINANCE, Operation
from connectors.amazon.columns import field
from connectors.amazon.page_bookmark import stretch
from connectors.amazon.pages import PagedSource, Slice
from connectors.amazon.times import SETTLED, stamp, utc
from connectors.base import Connection, Dataset, Record, Window
from connectors.claims import Money

LIST_TRANSACTIONS = Operation(
    "listTransactions", "/finances/2024-06-19/transactions", 0.5, 10, role=FINANCE
)
COLUMNS = (
    field("transactionId", "Transaction"),
    field("postedDate", "Posted", "date"),
    field("transactionType", "Type"),
    field("transactionStatus", "Status"),
    field("description", "Description"),
    field("totalAmount.currencyAmount", "Total", "money", "totalAmount.currencyCode", "total"),
    field("totalAmount.currencyCode", "Currency", name="currency"),
    field("marketplaceDetails.marketplaceName", "Marketplace"),
    field("marketplaceDetails.marketplaceId", "Marketplace id"),
    field("relatedIdentifiers", "Related identifiers"),
)
TRANSACTIONS = Dataset(
    "transactions",
    "transactions",
    timedelta(days=130),
    SETTLED,
    # Some appear two days late, and a payment is deferred for two weeks.
    timedelta(days=16),
    names_account=True,
    columns=COLUMNS,
)
LONGEST_WINDOW = timedelta(days=180)
"""The longest span from postedAfter to postedBefore. For a longer one listTransactions returns
nothing."""


class _TransactionList(msgspec.Struct):
    transactions: list[msgspec.Raw] = []
    nextToken: str | None = None


class _Finances(msgspec.Struct):
    payload: _TransactionList


class _Transaction(msgspec.Struct):
    postedDate: datetime
    transactionId: str | None = None
    transactionType: str | None = None
    relatedIdentifiers: Any = None
    totalAmount: Any = None


class _Total(msgspec.Struct):
    totalAmount: Any = None


_finances_decoder = msgspec.json.Decoder(_Finances)
_transaction_decoder = msgspec.json.Decoder(_Transaction)
_total_decoder = msgspec.json.Decoder(_Total)


def _parts(_: Connection, window: Window) -> Sequence[Mapping[str, str]]:
    # No marketplaceId: with it, US orders that the seller ships are missing.
    count = -(-(window.until - window.since) // LONGEST_WINDOW)
    stretches = [stretch(window, part, count) for part in range(count)]
    spans = [(stamp(span.since), stamp(span.until)) for span in stretches]
    # Amazon refuses a span that contains no whole second.
    return [
        {"postedAfter": since, "postedBefore": until} for since, until in spans if since < until
    ]


def _slice(body: bytes) -> Slice:
    payload = _finances_decoder.decode(body).payload
    return Slice(payload.transactions, payload.nextToken)


def _record(raw: msgspec.Raw, _: Mapping[str, str]) -> Record:
    transaction = _transaction_decoder.decode(raw)
    key = transaction.transactionId or _digest(transaction)
    at = utc(transaction.postedDate)
    return Record(key, bytes(raw), transaction.transactionType or "", at=at)


def total_of(data: bytes) -> Money | None:
    """The amount that a transaction adds to the seller's balance; None if it states none."""
    try:
        total = _total_decoder.decode(data).totalAmount
    except msgspec.DecodeError:
        return None
    node = total if isinstance(total, dict) else {}
    amount, currency = decimal(node.get("currencyAmount")), text(node.get("currencyCode")).upper()
    return Money(f"{amount:f}", currency) if amount is not None and currency else None


def _digest(transaction: _Transaction) -> str:
    """The id of a transaction without one, which Amazon's model allows. The status is not part of
    it, since it changes."""
    digest = hashlib.blake2b(msgspec.json.encode(transaction), digest_size=12).hexdigest()
    return f"unnamed-{digest}"


SOURCE = PagedSource(
    LIST_TRANSACTIONS,
    "nextToken",
    _parts,
    _slice,
    _record,
    span_parameters=("postedAfter", "postedBefore"),
    most_empty=5,  # Amazon documents empty pages before the last one
)
