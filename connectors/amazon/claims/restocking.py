"""R6: sellable returns that never show in the stock."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from connectors.amazon.claims.codes import SELLABLE
from connectors.amazon.claims.credits import Credit, between, total, until, use
from connectors.amazon.claims.facts import Facts, Return
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.rule import Case, ClosedCase, evidence, key
from connectors.amazon.claims.values import Value, median_amount, net_price, unknown, with_currency
from connectors.amazon.marketplaces import currency_of

RESTOCKED_WITHIN = timedelta(days=14)
"""How long a return may take to show in the ledger."""
TIME_ZONES = timedelta(days=1)
"""How much earlier the ledger may date a return, because it uses another time zone."""

ProductMonth = tuple[str, int, int]
"""An FNSKU, a year and a month."""


def return_not_restocked(facts: Facts) -> Iterator[Case | ClosedCase]:
    """R6. Sellable returns of a month that the ledger does not show as put back into stock.

    Counts: returned units with the disposition SELLABLE, less the sellable customer returns in the
    ledger, by product and month. The two have no common id, so they are matched by count and date
    alone, and every claim has low confidence.

    Does not count: returns of the last 14 days, which may still be put into stock; returns from
    before the ledger begins; a return that shows in the ledger across the end of its month, from a
    day early to 14 days late."""
    ledger_since, until_day = facts.ledger.since, facts.today - RESTOCKED_WITHIN
    if ledger_since is None:
        return
    sellable = [
        row
        for row in facts.returns
        if row.disposition == SELLABLE and row.fnsku and ledger_since <= row.day
    ]
    months = grouped(sellable, lambda row: (row.fnsku, row.day.year, row.day.month))
    restocked: Counter[ProductMonth] = Counter()
    for (fnsku, day), units in facts.ledger.restocked.items():
        restocked[fnsku, day.year, day.month] += units
    for month, missing in _missing(facts, months).items():
        if due := [(row, units) for row, units in missing if row.day <= until_day]:
            returned = sum(row.units for row in months[month])
            yield _case(facts, month, due, {"returned": returned, "restocked": restocked[month]})
        elif not missing:
            yield ClosedCase(_key(month), "found")


def _case(
    facts: Facts,
    product_month: ProductMonth,
    missing: Sequence[tuple[Return, int]],
    counts: Mapping[str, int],
) -> Case:
    fnsku, year, number = product_month
    units, last = sum(count for _, count in missing), missing[-1][0]
    sku = last.sku or facts.products.skus.get(fnsku, "")
    places = (facts.sales.order_places.get(row.order, "") for row, _ in reversed(missing))
    place = next((place for place in places if place), "")
    return Case(
        key=_key(product_month),
        product=sku or fnsku,
        units=units,
        base=last.day,
        place=place,
        value=_sale_value(facts, sku, place).times(units),
        evidence=evidence(("returns", [row.id for row, _ in missing])),
        details={
            "fnsku": fnsku,
            "sku": sku,
            "month": f"{year}-{number:02}",
            **{name: str(count) for name, count in counts.items()},
        },
    )


def _key(product_month: ProductMonth) -> str:
    fnsku, year, number = product_month
    return key(fnsku, f"{year}-{number:02}")


def _missing(
    facts: Facts, months: Mapping[ProductMonth, Sequence[Return]]
) -> Mapping[ProductMonth, Sequence[tuple[Return, int]]]:
    """Returns with the units that were put into stock neither in their month nor, within the
    tolerated days, across its end."""
    puts = _puts(facts.ledger.restocked)
    unmatched = {
        month: _match_month(returns, puts.get(month, ())) for month, returns in months.items()
    }
    for (fnsku, year, month), returns in unmatched.items():
        for row, credit in returns:
            for day in (row.day - TIME_ZONES, row.day + RESTOCKED_WITHIN):
                if (day.year, day.month) != (year, month):
                    neighbours = puts.get((fnsku, day.year, day.month), ())
                    in_time = between(row.day - TIME_ZONES, row.day + RESTOCKED_WITHIN)
                    credit.unused -= total(use(neighbours, credit.unused, in_time))
    return {
        month: [(row, credit.unused) for row, credit in returns if credit.unused > 0]
        for month, returns in unmatched.items()
    }


def _puts(
    restocked: Mapping[tuple[str, date], int],
) -> Mapping[ProductMonth, Sequence[Credit]]:
    """Units put into stock, by product and month, less those that the ledger took out again."""
    rows = sorted((fnsku, day, units) for (fnsku, day), units in restocked.items() if units)
    puts = {}
    for month, group in grouped(rows, lambda row: (row[0], row[1].year, row[1].month)).items():
        taken_out = -sum(units for *_, units in group if units < 0)
        credits = [Credit(day, "ledger", "", units) for _, day, units in group if units > 0]
        use(reversed(credits), taken_out)
        puts[month] = credits
    return puts


def _match_month(
    returns: Sequence[Return], puts: Sequence[Credit]
) -> Sequence[tuple[Return, Credit]]:
    """The returns of a month, each with its unmatched units as a credit.

    Units put into stock match the newest returns up to that day, or else any others of the month.
    So today's return does not hide that an older one is missing."""
    credits = [(row, Credit(row.day, "returns", row.id, row.units)) for row in returns]
    newest_first = [credit for _, credit in reversed(credits)]
    for put in reversed(puts):
        put.unused -= total(use(newest_first, put.unused, until(put.day)))
    for put in puts:
        put.unused -= total(use([credit for _, credit in credits], put.unused))
    return credits


def _sale_value(facts: Facts, sku: str, place: str) -> Value:
    """The net proceeds of selling a unit: from past sales in that place, else its price less fees,
    else from past sales anywhere."""
    sales = facts.sales.proceeds.get(sku, ())
    in_place = [sale for sale in sales if sale[0] == currency_of(place)]
    return (
        _proceeds(in_place)
        or net_price(facts, sku, place)
        or _proceeds(sales)
        or unknown("it was never sold and has no price.")
    )


def _proceeds(sales: Sequence[tuple[str, Decimal]]) -> Value | None:
    if not sales:
        return None
    currency, amount = median_amount(sales, "")
    basis = f"The median proceeds of its sales, net of fees: {with_currency(amount, currency)}."
    return Value(amount, currency, basis) if amount > 0 else None
