"""A seller as of a day, and the shelf that keeps the sellers in use."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from operator import attrgetter

import msgspec
from anyio import Lock, to_thread

from connectors.amazon.sandbox.generator.catalogue import Product, Stock, catalogue, stock
from connectors.amazon.sandbox.generator.identity import Identity
from connectors.amazon.sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon.sandbox.generator.postings import Posting, postings
from connectors.amazon.sandbox.generator.sales import Line, Sale, lines, sales

_MARGIN = 5 * 60  # so that a window ending two minutes ago holds everything, even at midnight


class Seller(msgspec.Struct, frozen=True):
    """All that a seller has on one UTC day: a function of its identity and the day.

    `sales` by the moment of creation, `updates` the same by their last change, `postings` by date;
    `stock` by marketplace.
    """

    identity: Identity
    day: date
    products: tuple[Product, ...]
    sales: Sequence[Sale]
    updates: Sequence[Sale]
    by_id: Mapping[str, Sale]
    postings: Sequence[Posting]
    stock: Mapping[str, Sequence[Stock]]

    def lines(self, sale: Sale) -> list[Line]:
        return lines(self.identity.name, sale, self.products)


def generate(identity: Identity, day: date, sells_in: Sequence[str]) -> Seller:
    """The seller as of that day's midnight, selling in those marketplaces."""
    root, orders = identity.name, identity.orders
    horizon = int(datetime.combine(day, time(), UTC).timestamp()) - _MARGIN
    products = catalogue(root, orders)
    places = [MARKETPLACES[each] for each in sells_in]
    sold = sorted(sales(root, orders, horizon, places), key=attrgetter("created", "serial"))
    return Seller(
        identity=identity,
        day=day,
        products=products,
        sales=sold,
        updates=sorted(sold, key=attrgetter("updated", "serial")),
        by_id={sale.id: sale for sale in sold},
        postings=sorted(postings(root, orders, horizon, sold), key=attrgetter("posted")),
        stock=dict.fromkeys(sells_in, stock(root, horizon, products)),
    )


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

    def _keep(self, seller: Seller) -> None:
        self._sellers[seller.identity, seller.day] = seller
        while len(self._sellers) > 1 and self._orders() > self._room:
            self._sellers.popitem(last=False)

    def _orders(self) -> int:
        return sum(identity.orders + 100 for identity, _ in self._sellers)
