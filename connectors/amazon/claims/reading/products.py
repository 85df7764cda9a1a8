"""Products: their previewed fees, their prices, and which SKU an FNSKU is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, label, moment, text
from connectors.amazon.claims.books import Payment, Preview
from connectors.amazon.claims.reading.rows import Rows, needed
from connectors.amazon.claims.warehouse import grouped
from connectors.amazon.marketplaces import place

UNDATED = datetime(2000, 1, 1, tzinfo=UTC)


class FeeRow(msgspec.Struct):
    """A row's cells, of the American layout and of the European one."""

    sku: Any = None
    fnsku: Any = None
    amazonstore: Any = None
    marketplaceid: Any = None
    snapshotat: Any = None
    yourprice: Any = None
    currency: Any = None
    estimatedfeetotal: Any = None
    expectedfulfillmentfeeperunit: Any = None
    expecteddomesticfulfilmentfeeperunit: Any = None
    haslocalinventory: Any = None


class StockRow(msgspec.Struct):
    """A row's cells."""

    sku: Any = None
    fnsku: Any = None
    yourprice: Any = None


class Products:
    """`previews` and `prices` by SKU, the previews in the order of their time; by FNSKU, one of its
    SKUs and all of them (`twins`)."""

    def __init__(self) -> None:
        self.previews: Mapping[str, Sequence[Preview]] = {}
        self.prices: dict[str, Decimal] = {}
        self.skus: dict[str, str] = {}
        self.twins: defaultdict[str, set[str]] = defaultdict(set)

    def read(self, rows: Rows) -> "Products":
        for _ in rows.read("stock", StockRow, self._stock):
            pass
        found = sorted(
            rows.read("fees", FeeRow, self._preview), key=lambda each: (each.at, each.id)
        )
        self.previews = grouped(found, lambda each: each.sku)
        return self

    def name(self, fnsku: str, sku: str) -> None:
        """Remember the SKU of an FNSKU; of several, always the same whichever comes first."""
        if fnsku and sku:
            self.skus[fnsku] = min(self.skus.get(fnsku, sku), sku)
            self.twins[fnsku].add(sku)

    def completed(self, payments: Iterable[Payment]) -> Sequence[Payment]:
        """The same, those that name their SKU only with the FNSKU of it, if there is one and no
        other."""
        fnskus: defaultdict[str, set[str]] = defaultdict(set)
        for fnsku, names in self.twins.items():
            for sku in names:
                fnskus[sku].add(fnsku)
        return [
            msgspec.structs.replace(each, fnsku=next(iter(fnskus[each.sku])))
            if not each.fnsku and len(fnskus.get(each.sku, ())) == 1
            else each
            for each in payments
        ]

    def _stock(self, _: str, row: StockRow) -> None:
        sku, price = needed(text(row.sku)), decimal(row.yourprice)
        self.name(text(row.fnsku), sku)
        if price is not None and price > 0:
            self.prices[sku] = min(self.prices.get(sku, price), price)

    def _preview(self, record: str, row: FeeRow) -> Preview:
        at, currency = moment(row.snapshotat), text(row.currency).upper()
        sku = needed(text(row.sku))
        self.name(text(row.fnsku), sku)
        return Preview(
            at=at or UNDATED,
            id=record,
            sku=sku,
            place=place(text(row.marketplaceid), text(row.amazonstore), currency),
            currency=currency,
            expected=_expected(row) if at else None,  # without its time it may be from after
            price=decimal(row.yourprice),
            fees=decimal(row.estimatedfeetotal),
        )


def _expected(row: FeeRow) -> Decimal | None:
    """A unit's fee when it is sold where it is stored. Zero means that Amazon has no estimate."""
    expected = decimal(row.expectedfulfillmentfeeperunit)
    if expected is None and label(text(row.haslocalinventory)) not in ("no", "n", "false"):
        expected = decimal(row.expecteddomesticfulfilmentfeeperunit)
    return expected if expected is not None and expected > 0 else None
