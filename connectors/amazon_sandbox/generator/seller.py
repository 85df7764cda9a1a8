"""A seller as of a day, and the shelf that keeps the sellers in use."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cached_property
from itertools import chain
from operator import attrgetter

import msgspec
from anyio import Lock, to_thread

from connectors.amazon_sandbox.generator import plots, returns
from connectors.amazon_sandbox.generator.book import Book, Movement, Settled
from connectors.amazon_sandbox.generator.catalogue import Product, Stock, catalogue, stock
from connectors.amazon_sandbox.generator.deliveries import supply
from connectors.amazon_sandbox.generator.draw import DAY, dice
from connectors.amazon_sandbox.generator.fees import Fees
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.ledger import everyday
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES, Marketplace, neighbours
from connectors.amazon_sandbox.generator.postings import (
    TOLD,
    Dates,
    Posting,
    refund,
    reimbursements,
    shipments,
    standing,
)
from connectors.amazon_sandbox.generator.sales import (
    Line,
    Sale,
    bygone,
    count_lines,
    earlier,
    elsewhere,
    lines,
    sales,
)

_MARGIN = 5 * 60  # so that a window ending two minutes ago holds everything, even at midnight


class Seller(msgspec.Struct, frozen=True, dict=True):
    """All that a seller has on one UTC day: a function of its identity and the day.

    `sales` by the moment of creation, `updates` the same by their last change, `postings` by date;
    `stock` by marketplace. `others` are orders that are not listed: refunded ones of the round
    before, some for everybody, and those of other shops. `book` holds what happened to the goods.
    """

    identity: Identity
    day: date
    home: Marketplace
    products: tuple[Product, ...]
    sales: Sequence[Sale]
    updates: Sequence[Sale]
    by_id: Mapping[str, Sale]
    others: Sequence[Sale]
    postings: Sequence[Posting]
    stock: Mapping[str, Sequence[Stock]]
    fees: Fees
    book: Book

    @property
    def root(self) -> str:
        return self.identity.name

    @property
    def western(self) -> bool:
        """Whether its reports are written in Cp1252."""
        return _is_western(self.identity)

    @property
    def modern(self) -> bool:
        """Whether its ledger has the columns that came later."""
        return _is_modern(self.identity)

    @cached_property
    def marketplaces(self) -> Mapping[str, Marketplace]:
        """Where its authorisation reaches."""
        return neighbours(self.home.id)

    @property
    def midnight(self) -> int:
        return _midnight(self.day)

    def lines(self, sale: Sale) -> list[Line]:
        return lines(self.root, sale, self.products)

    @cached_property
    def count_of_lines(self) -> int:
        """How many items all its orders have."""
        return sum(count_lines(self.root, sale) for sale in self.sales)

    @cached_property
    def ledger(self) -> Sequence[Movement]:
        """All rows of the ledger by date; made when first asked for, which takes its time."""
        sold = chain(self.sales, self.others)
        rows = everyday(self.root, self.products, sold, self.lines, self.book.horizon)
        return sorted([*self.book.movements, *rows], key=attrgetter("at"))


def generate(
    identity: Identity, day: date, sells_in: Sequence[str], settled: Settled | None = None
) -> Seller:
    """The seller as of that day's midnight, selling in those marketplaces.

    `settled` claims were reimbursed on demand.
    """
    root, orders = identity.name, identity.orders
    horizon = _midnight(day) - _MARGIN
    products = catalogue(root, orders, _is_western(identity))
    places = [MARKETPLACES[each] for each in sells_in]
    sold = sorted(sales(root, orders, horizon, places), key=attrgetter("created", "serial"))
    before = [*earlier(root, orders, horizon, places), *bygone(root, horizon, places[0])]
    others = [*before, *elsewhere(root, orders, horizon)]
    book, refunds = _write(identity, products, [*before, *sold], horizon, settled or {})
    postings = chain(
        shipments(root, [*others, *sold], horizon),
        refunds,
        reimbursements(book.payments, horizon, places[0].id),
        standing(root, orders, horizon, places[0].id),
    )
    return Seller(
        identity=identity,
        day=day,
        home=places[0],
        products=products,
        sales=sold,
        updates=sorted(sold, key=attrgetter("updated", "serial")),
        by_id={sale.id: sale for sale in sold},
        others=others,
        postings=sorted(postings, key=attrgetter("posted")),
        stock=dict.fromkeys(sells_in, stock(root, horizon, products)),
        fees=Fees(root, len(products)),
        book=book,
    )


def _write(
    identity: Identity,
    products: Sequence[Product],
    sold: Sequence[Sale],
    horizon: int,
    settled: Settled,
) -> tuple[Book, list[Posting]]:
    """The book, and the refunds that belong to it."""
    root, book = identity.name, Book(horizon, settled)
    told = plots.plot(root, identity.orders, products)
    plots.tell(root, told, book, _is_modern(identity))
    supply(root, book, [each for each in products if each not in told.quiet])
    return book, list(_refunds(root, book, told, products, sold))


def _refunds(
    root: str,
    book: Book,
    told: plots.Plot,
    products: Sequence[Product],
    sold: Sequence[Sale],
) -> Iterator[Posting]:
    """The refunds that are known; on the way, what became of the goods goes into the book."""
    for sale in sold:
        if not sale.fate or sale.shipped is None:
            continue
        dates = Dates.of(root, sale, sale.shipped)
        line = next(each for each in lines(root, sale, products) if each.fulfilled)
        replaced = sale.fate in returns.UNREFUNDED
        # What was not refunded is told of as long as its sale is: else nobody knows where that was.
        last = dates.posted if replaced else dates.refunded
        if last <= book.horizon - TOLD or line.product in told.quiet:
            continue
        known = dates.refunded + dates.lag <= book.horizon
        refunded = None
        if known and not replaced:
            refunded = returns.Refund.of(line, dates.refunded)
            yield refund(sale, dates.refunded)
        base = dates.replaced if replaced else dates.refunded
        if base - 3 * DAY <= book.horizon:
            rng = dice(root, "return", sale.serial)
            place = MARKETPLACES[sale.marketplace]
            returns.tell(returns.Case(book, place, sale, line, refunded, base, rng))


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _is_western(identity: Identity) -> bool:
    return identity.seed % 2 == 0


def _is_modern(identity: Identity) -> bool:
    return identity.seed % 4 != 0


class Shelf:
    """Keeps generated sellers, `room` orders in all; who was asked for longest ago goes first."""

    def __init__(self, make: Callable[[Identity, date], Seller], room: int = 200_000) -> None:
        self._make, self._room = make, room
        self._sellers: OrderedDict[tuple[Identity, date], Seller] = OrderedDict()
        self._lock = Lock()

    async def get(self, identity: Identity, day: date) -> Seller:
        if (identity, day) not in self._sellers:
            async with self._lock:  # whoever waits here finds it made
                if (identity, day) not in self._sellers:
                    self._keep(await to_thread.run_sync(self._make, identity, day))
        self._sellers.move_to_end((identity, day))
        return self._sellers[identity, day]

    def forget(self, identity: Identity) -> None:
        """It has changed: make it anew when it is asked for again."""
        for each in [key for key in self._sellers if key[0] == identity]:
            del self._sellers[each]

    def _keep(self, seller: Seller) -> None:
        self._sellers[seller.identity, seller.day] = seller
        while len(self._sellers) > 1 and self._orders() > self._room:
            self._sellers.popitem(last=False)

    def _orders(self) -> int:
        return sum(identity.orders + 100 for identity, _ in self._sellers)
