"""The bookmark of a dataset of reports: what is ordered, what is read, what was ordered again."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

Number = Annotated[int, msgspec.Meta(ge=0)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

MOST_AGAIN: Mapping[str, int] = {"lost": 3, "stuck": 1, "fatal": 1}
"""How often a report is ordered again in one sync, by why: see Order."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that is about to be ordered: for which part, from when on, up to which moment it
    tells. By these it is recognized in a list if its id could not be kept."""

    part: Number
    at: Moment
    until: Moment | None = None


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """A report that was ordered or found, for which part; its document, once it is known.

    `lost`, `stuck` and `fatal` count how often it was ordered again: because the source did not
    know it, did not finish it, ended it as FATAL. `keyed` is the moment that the ids of its rows
    are made of, where rows of a lost document are already landed."""

    part: Number
    made_at: Moment
    report: str
    document: str | None = None
    asked: Asked | None = None
    lost: Number = 0
    stuck: Number = 0
    fatal: Number = 0
    keyed: Moment | None = None


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: for how many parts reports are ordered, these orders, then which of them is in
    work and how many of its rows are read. Parts that will be ordered `again`, and those that are
    `lacking` in the end. `asking` is the order that may have been sent, but whose id is not kept
    yet."""

    planned: Number = 0
    orders: tuple[Order, ...] = ()
    at: Number = 0
    rows: Number = 0
    again: tuple[Number, ...] = ()
    lacking: tuple[Number, ...] = ()
    asking: Asked | None = None


def opened(cursor: str | None, parts: int) -> Mark:
    """The mark of a cursor; from the beginning for none, and for one of another version."""
    try:
        mark = msgspec.json.decode(cursor, type=Mark) if cursor else Mark()
    except ValueError:
        return Mark()
    numbers = [*(order.part for order in mark.orders), *mark.again, *mark.lacking]
    if mark.asking:
        numbers.append(mark.asking.part)
    fits = mark.planned <= parts and all(number < parts for number in numbers)
    return mark if fits else Mark()


def planned(mark: Mark, orders: Sequence[Order]) -> Mark:
    """With all orders of a further part."""
    return msgspec.structs.replace(mark, planned=mark.planned + 1, orders=(*mark.orders, *orders))


def added(found: Sequence[Order]) -> Callable[[Mark, Order], Mark]:
    """With the first order of a part, behind the reports of it that were found."""
    return lambda mark, order: planned(mark, [*found, order])


def asked_again(mark: Mark, order: Order) -> Mark:
    """With an order for the next part that is to be asked for again."""
    return msgspec.structs.replace(mark, orders=(*mark.orders, order), again=mark.again[1:])


def repeated(why: str) -> Callable[[Mark, Order], Mark]:
    """With an order in place of the one in work, which is read from its start."""

    def then(mark: Mark, order: Order) -> Mark:
        orders, old = list(mark.orders), mark.orders[mark.at]
        counts = {each: getattr(old, each) + (each == why) for each in MOST_AGAIN}
        keyed = old.keyed or (old.made_at if mark.rows else None)
        orders[mark.at] = msgspec.structs.replace(order, keyed=keyed, **counts)
        return msgspec.structs.replace(mark, orders=tuple(orders), rows=0)

    return then
