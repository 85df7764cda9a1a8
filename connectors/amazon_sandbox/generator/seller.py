"""A seller as of a day, and the cache of generated sellers."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cached_property, lru_cache, partial
from itertools import chain
from operator import attrgetter

import msgspec
from anyio import Lock, to_thread

from connectors.amazon_sandbox.generator import replacements, returns
from connectors.amazon_sandbox.generator.catalogue import Product, Stock, catalogue, stock
from connectors.amazon_sandbox.generator.fees import Fees
from connectors.amazon_sandbox.generator.goods import scenarios
from connectors.amazon_sandbox.generator.goods.inbound_shipments import routine_shipments
from connectors.amazon_sandbox.generator.goods.ledger import routine_rows
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.journal import Journal, Movement, ReimbursedClaims
from connectors.amazon_sandbox.generator.marketplaces import (
    MARKETPLACES,
    MarketplaceInfo,
    same_account,
)
from connectors.amazon_sandbox.generator.postings import (
    POSTING_HISTORY,
    Posting,
    PostingDates,
    recurring_charges,
    refund_posting,
    reimbursement_postings,
    shipment_postings,
)
from connectors.amazon_sandbox.generator.randomness import seeded_random
from connectors.amazon_sandbox.generator.refunds import (
    JUDGED_BY_PRICE,
    RefundPart,
    refunded_so_far,
    refunds_of,
)
from connectors.amazon_sandbox.generator.sales import (
    Line,
    Sale,
    count_lines,
    historic_replacement,
    historic_sales,
    lines,
    multichannel_sales,
    previous_round,
    sales,
)
from connectors.amazon_sandbox.generator.storage import StorageMonth, storage_months
from connectors.amazon_sandbox.generator.times import DAY

MARGIN = 5 * 60
"""The data of a day ends this many seconds before midnight, so that a window that ends two minutes
ago contains all data even at midnight."""

LINES_KEPT = 5_000
"""The most orders of a seller whose lines are kept: those of all would fill the memory."""


class Seller(msgspec.Struct, frozen=True, dict=True):
    """All of a seller's data on one UTC day: a function of its identity and the day."""

    identity: Identity
    day: date
    #: The marketplace where it stores its goods and is paid.
    home: MarketplaceInfo
    products: tuple[Product, ...]
    #: The listed orders, sorted by creation time.
    sales: Sequence[Sale]
    #: The listed orders, sorted by last change.
    updates: Sequence[Sale]
    by_id: Mapping[str, Sale]
    #: Orders that are not listed: refunded ones of the previous round, historic ones, and those of
    #: other shops.
    others: Sequence[Sale]
    #: Sorted by date.
    postings: Sequence[Posting]
    #: By marketplace.
    stock: Mapping[str, Sequence[Stock]]
    fees: Fees
    journal: Journal

    @property
    def root(self) -> str:
        """The seed of all its random streams."""
        return self.identity.root

    @property
    def uses_cp1252(self) -> bool:
        """Whether its reports are encoded in Cp1252 instead of UTF-8."""
        return _uses_cp1252(self.identity)

    @property
    def modern(self) -> bool:
        """Whether its ledger has the newer columns, such as the unreconciled quantity."""
        return _is_modern(self.identity)

    @cached_property
    def marketplaces(self) -> Mapping[str, MarketplaceInfo]:
        """The marketplaces that its authorization covers."""
        return same_account(self.home.id)

    @property
    def midnight(self) -> int:
        return _midnight(self.day)

    def lines(self, sale: Sale) -> Sequence[Line]:
        return self._lines(sale)

    @cached_property
    def _lines(self) -> Callable[[Sale], Sequence[Line]]:
        return lru_cache(LINES_KEPT)(partial(lines, self.root, products=self.products))

    @cached_property
    def count_of_lines(self) -> int:
        """The number of order items in all listed orders."""
        return sum(count_lines(self.root, sale) for sale in self.sales)

    @cached_property
    def ledger(self) -> Sequence[Movement]:
        """All rows of the ledger by date. Generated on first use, which is slow."""
        sold = chain(self.sales, self.others)
        rows = routine_rows(self.root, self.products, sold, self.lines, self.journal.horizon)
        return sorted([*self.journal.movements, *rows], key=attrgetter("at"))

    @cached_property
    def storage(self) -> Sequence[StorageMonth]:
        """The storage that was charged. Generated on first use, with the ledger."""
        stock = self.stock[self.home.id]
        return storage_months(self.identity.orders, stock, self.ledger, self.journal.horizon)


def generate(
    identity: Identity,
    day: date,
    sells_in: Sequence[str],
    reimbursed_claims: ReimbursedClaims | None = None,
) -> Seller:
    """The seller as of midnight of that day, with orders in those marketplaces.

    `reimbursed_claims`: claims that were reimbursed on demand.
    """
    root, orders = identity.root, identity.orders
    horizon = _midnight(day) - MARGIN
    products = catalogue(root, orders, _uses_cp1252(identity))
    marketplaces = [MARKETPLACES[id] for id in sells_in]
    home = marketplaces[0]
    listed = sorted(sales(root, orders, horizon, marketplaces), key=attrgetter("created", "serial"))
    older = [
        *previous_round(root, orders, horizon, marketplaces),
        *historic_sales(root, horizon, home),
        *historic_replacement(root, horizon, home),
    ]
    others = [*older, *multichannel_sales(root, orders, horizon)]
    fees = Fees(root, len(products), home.country)
    journal, refunds = _journal(
        identity, products, fees, [*older, *listed], horizon, home, reimbursed_claims or {}
    )
    postings = chain(
        shipment_postings(root, [*others, *listed], horizon),
        refunds,
        reimbursement_postings(journal.reimbursements, horizon, home.id),
        recurring_charges(root, orders, horizon, home.id),
    )
    return Seller(
        identity=identity,
        day=day,
        home=home,
        products=products,
        sales=listed,
        updates=sorted(listed, key=attrgetter("updated", "serial")),
        by_id={sale.id: sale for sale in listed},
        others=others,
        postings=sorted(postings, key=attrgetter("posted")),
        stock=dict.fromkeys(sells_in, stock(root, horizon, products)),
        fees=fees,
        journal=journal,
    )


def _journal(
    identity: Identity,
    products: Sequence[Product],
    fees: Fees,
    sold: Sequence[Sale],
    horizon: int,
    home: MarketplaceInfo,
    reimbursed_claims: ReimbursedClaims,
) -> tuple[Journal, list[Posting]]:
    """The journal of the goods, and the postings of the refunds."""
    root, journal = identity.root, Journal(horizon, reimbursed_claims)
    plan = scenarios.plan_scenarios(root, identity.orders, products)
    scenarios.emit(root, plan, journal, _is_modern(identity))
    sent = [product for product in products if product not in plan.undisturbed]
    routine_shipments(root, journal, sent)
    undisturbed = plan.undisturbed
    return journal, list(_refunds(root, journal, undisturbed, products, fees, sold, home.currency))


def _refunds(
    root: str,
    journal: Journal,
    undisturbed: Collection[Product],
    products: Sequence[Product],
    fees: Fees,
    sold: Sequence[Sale],
    paid_in: str,
) -> Iterator[Posting]:
    """The postings of known refunds. Adds the goods' outcomes to the journal."""
    for sale in sold:
        if not sale.outcome or sale.shipped is None:
            continue
        dates = PostingDates.of(root, sale, sale.shipped)
        line = next(line for line in lines(root, sale, products) if line.fulfilled)
        replaced = sale.outcome in replacements.UNREFUNDED
        # A return without a refund is listed as long as the posting of its sale: without that, no
        # client knows in which marketplace it was sold. The same applies to refunds that are
        # meaningful only with the price of the sale.
        needs_sale = replaced or sale.outcome in JUDGED_BY_PRICE
        first = dates.early if needs_sale else dates.refunded
        last = dates.posted if needs_sale else first
        if last <= journal.horizon - POSTING_HISTORY or line.product in undisturbed:
            continue
        marketplace = MARKETPLACES[sale.marketplace]
        parts = [] if replaced else _refund_parts(fees, sale, line, dates.posted, first)
        known = [part for part in parts if part.posted + dates.lag <= journal.horizon]
        yield from (refund_posting(sale, part) for part in known)
        if first - 3 * DAY <= journal.horizon:
            base = parts[-1].posted if parts else first
            refund = refunded_so_far(line, known) if known else None
            rng = seeded_random(root, "return", sale.serial)
            case = returns.RefundCase(
                journal, marketplace, sale, line, paid_in, dates.posted, refund, base, rng
            )
            if sale.outcome in replacements.OUTCOMES:
                replacements.emit_replacement(case, _net_of_fees(fees, sale, line, dates.posted))
            else:
                returns.emit(case)


def _net_of_fees(fees: Fees, sale: Sale, line: Line, posted: int) -> int:
    """The net proceeds of a unit's sale, in cents. Tax cancels out."""
    country = MARKETPLACES[sale.marketplace].country
    rate = fees.charged_rate(line.product, posted, country)
    fee = fees.charged(line.product, posted, country, line.price)
    return line.price - line.price * rate // 100 - fee


def _refund_parts(
    fees: Fees,
    sale: Sale,
    line: Line,
    sold: int,
    first: int,
) -> Sequence[RefundPart]:
    country = MARKETPLACES[sale.marketplace].country
    rate = fees.charged_rate(line.product, sold, country)
    outcome = sale.outcome if sale.by_amazon else "returned"
    keeps_fee = country == "US" and sale.by_amazon
    return refunds_of(outcome, line, first, rate, keeps_fee=keeps_fee)


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _uses_cp1252(identity: Identity) -> bool:
    return identity.seed % 2 == 0


def _is_modern(identity: Identity) -> bool:
    return identity.seed % 4 != 0


class SellerCache:
    """Caches generated sellers, up to `capacity` orders in total. Drops the least recently used
    first."""

    def __init__(self, make: Callable[[Identity, date], Seller], capacity: int = 200_000) -> None:
        self._make, self._capacity = make, capacity
        self._sellers: OrderedDict[tuple[Identity, date], Seller] = OrderedDict()
        self._lock = Lock()

    async def get(self, identity: Identity, day: date) -> Seller:
        if (identity, day) not in self._sellers:
            async with self._lock:
                # Another task may have generated it while this one waited.
                if (identity, day) not in self._sellers:
                    self._add(await to_thread.run_sync(self._make, identity, day))
        self._sellers.move_to_end((identity, day))
        return self._sellers[identity, day]

    def discard(self, identity: Identity) -> None:
        """Drop a seller that has changed; the next use generates it again."""
        for key in [key for key in self._sellers if key[0] == identity]:
            del self._sellers[key]

    def _add(self, seller: Seller) -> None:
        self._sellers[seller.identity, seller.day] = seller
        while len(self._sellers) > 1 and self._weight() > self._capacity:
            self._sellers.popitem(last=False)

    def _weight(self) -> int:
        """The size of the cache in orders; each seller counts as a hundred more."""
        return sum(identity.orders + 100 for identity, _ in self._sellers)
