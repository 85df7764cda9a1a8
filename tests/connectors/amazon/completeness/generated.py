"""Sellers of the generator as a comparison sees them: their records without any call."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import msgspec

from connectors.amazon.completeness import compare
from connectors.amazon.orders import search
from connectors.amazon.reports import kinds
from connectors.amazon.reports.documents import Part
from connectors.amazon.transactions import SOURCE, TRANSACTIONS
from connectors.amazon_sandbox.faults import is_hidden
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.sales import Sale
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.operations.order import order
from connectors.amazon_sandbox.operations.transaction import transaction
from connectors.amazon_sandbox.reports import goods, ledger
from connectors.amazon_sandbox.reports.scope import Cells, Scope
from connectors.base import Record, Window
from connectors.completing import Gaps
from tests.connectors.amazon.completeness.stored import StoredByHand

US, CANADA, MEXICO = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8"
GB, DE, FR, JP = "A1F83G8C2ARO7P", "A1PA6795UKMFR9", "A13V1IB3VIYZZH", "A1VC38T7YXB528"
#: Where a seller has orders, and the marketplaces that its connection reads.
PLACES: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    ((US,), (US,)),
    ((US, CANADA, MEXICO), (US,)),
    ((US, CANADA), (US, CANADA)),
    ((GB,), (GB,)),
    ((DE, FR), (DE, FR)),
    ((DE, FR), (FR,)),
    ((JP,), (JP,)),
)
FIRST = date(2026, 3, 2)
SIZES = (10, 3_000)
REPORTS = {
    "ledger": (kinds.LEDGER, ledger.header, ledger.rows),
    "returns": (kinds.RETURNS, lambda scope: goods.RETURNS, goods.returns),
    "reimbursements": (
        kinds.REIMBURSEMENTS,
        lambda scope: goods.REIMBURSEMENTS,
        goods.reimbursements,
    ),
}

Table = Callable[[Scope], Iterator[Cells]]


class GeneratedSeller:
    """A seller whose syncs store everything that exists at their time, except hidden orders."""

    def __init__(self, number: int, share: float = 0.0, orders: int | None = None) -> None:
        random = Random(number)
        smallest, largest = SIZES
        size = orders or round(smallest * (largest / smallest) ** random.random())
        self._identity = Identity(number, size)
        self._places, self._read = random.choice(PLACES)
        self._hour = random.uniform(0.1, 23.9)
        self.share = share
        self.day = FIRST + timedelta(days=random.randrange(300))
        self.stored = StoredByHand()
        #: Orders that exist, that the connection reads, and that reports leave out.
        self.hidden: set[str] = set()

    @property
    def name(self) -> str:
        return f"{self._identity.name} in {self._places} reading {self._read} on {self.day}"

    def sync(self, days: int = 0) -> Gaps:
        """A sync, some days after the last one, and its comparison."""
        self.day += timedelta(days=days)
        now = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        now += timedelta(hours=self._hour)
        seller = generate(self._identity, self.day, self._places)
        windows = {
            dataset.name: Window(now - (dataset.reach or timedelta()), now)
            for dataset in (
                *(search.ORDERS, TRANSACTIONS, kinds.LEDGER, kinds.RETURNS, kinds.REIMBURSEMENTS),
            )
        }
        if last := self.stored.last:
            windows["orders"] = Window(last.windows["orders"].since, now)
        self._store_orders(seller, windows["orders"], now)
        self._store_transactions(seller, windows["transactions"], now)
        self._store_reports(seller, windows, now)
        gaps = compare(self.stored, windows, self._read)
        assert gaps
        self.stored.keep(gaps, windows, now + timedelta(seconds=1))
        return gaps

    def traced(self) -> set[str]:
        """The hidden orders whose ids occur in a witness, found by a plain search for text."""
        texts = [
            b"\n".join(record.data for record in self.stored.records.get(dataset, {}).values())
            for dataset in ("transactions", "returns", "reimbursements")
        ]
        return {id for id in self.hidden if any(id.encode() in text for text in texts)}

    def _store_orders(self, seller: Seller, window: Window, now: datetime) -> None:
        """The listed orders, and refunded ones of the round before: the sandbox no longer lists
        those, Amazon does."""
        listed = {sale.id for sale in seller.sales}
        for sale in (*seller.updates, *seller.others):
            at = datetime.fromtimestamp(sale.updated, UTC)
            if sale.marketplace not in self._read or not window.since <= at <= window.until:
                continue
            if sale.id in listed and is_hidden(sale.id, self._identity.seed, self.share):
                self.hidden.add(sale.id)
                continue
            self.stored.put("orders", _order_record(seller, sale), now)

    def _store_transactions(self, seller: Seller, window: Window, now: datetime) -> None:
        since, until = window.since.timestamp(), window.until.timestamp()
        for posting in seller.postings:
            if since <= posting.posted <= until:
                raw = msgspec.Raw(msgspec.json.encode(transaction(seller, posting)))
                self.stored.put("transactions", SOURCE.record(raw, {}), now)

    def _store_reports(self, seller: Seller, windows: dict[str, Window], now: datetime) -> None:
        for name, (dataset, header, rows) in REPORTS.items():
            window, kind = windows[name], kinds.KINDS[dataset.name]
            scope = Scope(
                seller,
                window.since.timestamp(),
                window.until.timestamp(),
                now.timestamp(),
                frozenset(self._read),
            )
            columns = [_column(cell) for cell in header(scope)]
            part = Part(name, self._read)
            occurrences = Counter[str]()
            for cells in rows(scope):
                row = dict(zip(columns, (cell.strip('"') for cell in cells), strict=True))
                key = kind.key(row, part, now)
                at = kind.at(row, now)
                occurrences[key] += 1
                record = Record(f"{key}/{occurrences[key]}", msgspec.json.encode(row), at=at)
                self.stored.put(name, record, now)


def _order_record(seller: Seller, sale: Sale) -> Record:
    body = order(seller, sale, frozenset({"FULFILLMENT"}))
    return search.order_record(msgspec.Raw(msgspec.json.encode(body)), {})


def _column(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum())
