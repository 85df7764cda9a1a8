"""Which story happens to which product, and when: at least one of each kind at any time."""

import random
from collections.abc import Callable, Sequence

import msgspec

from connectors.amazon_sandbox.generator import damages, deliveries, losses
from connectors.amazon_sandbox.generator.book import Book
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.draw import DAY, dice
from connectors.amazon_sandbox.generator.spot import Spot

Story = Callable[[Spot], None]

CYCLE = 95 * DAY
"""How long a story is told; then its product has the next one."""

# Kinds of stories and how many of each. Those that wait a week only are told every six days, so
# that each state of a claim can be met on any day. What is spoiled by goods that come back to the
# shelf (`_QUIET`) happens to products that nobody returns or sends in.
_QUIET: tuple[tuple[Story, int], ...] = (
    (losses.reversed_without_find, 3),
    (losses.lost_then_paid_then_reversed, 3),
    (losses.reversed_after_find, 2),
)
_LOSSES: tuple[tuple[Story, int], ...] = (
    (losses.lost, 17),
    (losses.lost_then_found, 3),
    (losses.lost_then_paid, 3),
    (losses.lost_then_partly_paid, 2),
    (losses.lost_then_partly_found, 2),
    (losses.lost_then_replaced, 2),
    (losses.lost_then_transferred, 2),
    (losses.lost_then_partly_transferred, 2),
    (losses.lost_then_reconciled, 2),
    (losses.lost_then_partly_reconciled, 2),
    (losses.lost_then_paid_then_disposed, 2),
    (losses.paid_too_little, 2),
)
_DAMAGES: tuple[tuple[Story, int], ...] = (
    (damages.damaged, 17),
    (damages.damaged_then_paid, 2),
    (damages.damaged_by_others, 4),
    (damages.damaged_then_partly_paid, 2),
    (damages.damaged_then_disposed, 2),
    (damages.moved, 2),
    (damages.damaged_then_reconciled, 2),
)
_DISPOSALS: tuple[tuple[Story, int], ...] = (
    (damages.disposed, 17),
    (damages.disposed_on_request, 2),
    (damages.disposed_as_unsellable, 2),
    (damages.disposed_then_paid, 2),
    (damages.disposed_beside_a_return, 2),
)
_SHORTAGES: tuple[tuple[Story, int], ...] = (
    (deliveries.short, 9),
    (deliveries.short_then_paid, 2),
    (deliveries.short_and_stuck, 3),
    (deliveries.short_then_received, 3),
    (deliveries.short_and_going_on, 2),
)

# Payments of earlier rounds stay in the report. Those that are taken back, or are too low, would be
# claims of their own: their stories end with the round.
_PASSING = {*(story for story, _ in _QUIET), losses.paid_too_little}
# Of these only what was paid on demand: it may come so late that it would be for the next delivery.
_ON_DEMAND_PASSING = {story for story, _ in _SHORTAGES}
_ROUNDS = 3


class Cast(msgspec.Struct, frozen=True):
    """A story, its product, and the second of a round in which it begins."""

    story: Story
    product: Product
    index: int
    offset: int


class Plot(msgspec.Struct, frozen=True):
    """All stories of a seller, and the products that are neither returned nor sent in."""

    casts: tuple[Cast, ...]
    quiet: frozenset[Product]


def plot(root: str, orders: int, products: Sequence[Product]) -> Plot:
    """Cast the stories. A small seller has few products, and only some of the stories."""
    everybody = Cast(damages.fetched_back, products[0], 0, dice(root, "fetched").randrange(CYCLE))
    if orders < 100:
        return Plot((everybody,), frozenset())
    rng = dice(root, "plot")
    actors = rng.sample(products, len(products))
    many = max(1, orders // 12_500)
    parts = [_QUIET, _LOSSES, _DAMAGES, _DISPOSALS]
    casts = [everybody]
    for part in parts:
        size = max(2, min(_size(part) * many, len(products) * _size(part) // 110))
        casts += _cast(rng, part, actors[:size], many)
        actors = actors[size:]
        if part is _QUIET:
            quiet = frozenset(each.product for each in casts[1:])
        if part is _DAMAGES:
            casts += _cast(rng, _SHORTAGES, [each.product for each in casts[-size:]], many)
    return Plot(tuple(casts), quiet)


def tell(root: str, told: Plot, book: Book, modern: bool) -> None:
    """Enter all that has happened by the horizon into the book."""
    for cast in told.casts:
        latest = (book.horizon - cast.offset) // CYCLE
        _tell_payments(root, cast, range(latest - _ROUNDS + 1, latest), book, modern)
        for turn in (latest, latest + 1, latest + 2):  # something may come before the beginning
            _tell(root, cast, turn, book, modern)


def _size(part: Sequence[tuple[Story, int]]) -> int:
    return sum(count for _, count in part)


def _cast(
    rng: random.Random, part: Sequence[tuple[Story, int]], actors: Sequence[Product], many: int
) -> list[Cast]:
    """One story for each product; those of one kind are spread evenly over a round."""
    kinds = _deal([(story, count * many) for story, count in part], len(actors))
    counts = {story: kinds.count(story) for story in kinds}
    phases = {story: rng.randrange(CYCLE) for story in counts}
    seen = dict.fromkeys(counts, 0)
    casts = []
    for story, product in zip(kinds, actors, strict=False):
        step = CYCLE // counts[story]
        offset = (phases[story] + seen[story] * step + rng.randrange(step // 16)) % CYCLE
        casts.append(Cast(story, product, seen[story], offset))
        seen[story] += 1
    return casts


def _deal(part: Sequence[tuple[Story, int]], room: int) -> list[Story]:
    """The kinds in turn until their counts, or the room, are used up."""
    left = dict(part)
    dealt: list[Story] = []
    while any(left.values()) and len(dealt) < room:
        for story in [story for story, count in left.items() if count]:
            left[story] -= 1
            dealt.append(story)
    return dealt[:room]


def _tell(root: str, cast: Cast, turn: int, book: Book, modern: bool) -> None:
    at = turn * CYCLE + cast.offset
    name = f"{root} {cast.story.__name__} {cast.product.number} {turn}"
    cast.story(Spot(book, cast.product, at, name, cast.index, modern, dice(name)))


def _tell_payments(root: str, cast: Cast, turns: range, book: Book, modern: bool) -> None:
    if cast.story in _PASSING:
        return
    past = Book(book.horizon, {} if cast.story in _ON_DEMAND_PASSING else book.settled)
    for turn in turns:
        _tell(root, cast, turn, past, modern)
    book.payments += past.payments
