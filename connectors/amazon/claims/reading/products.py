"""Reads products: their fee previews, their prices, and which SKUs an FNSKU has."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec

from connectors.amazon.cells import decimal, label, moment, text
from connectors.amazon.claims.facts import Payment, Preview, ProductFacts
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.measures import read_measures
from connectors.amazon.claims.reading.reader import DatasetReader, needed
from connectors.amazon.marketplaces import currency_of, place

UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of a preview that states none: older than any charge."""


class FeeRow(msgspec.Struct):
    """A row of the fee preview, in the US layout or in the European one."""

    sku: Any = None
    fnsku: Any = None
    asin: Any = None
    amazonstore: Any = None
    marketplaceid: Any = None
    snapshotat: Any = None
    yourprice: Any = None
    salesprice: Any = None
    longestside: Any = None
    medianside: Any = None
    shortestside: Any = None
    unitofdimension: Any = None
    itempackageweight: Any = None
    unitofweight: Any = None
    productsizetier: Any = None
    productsizeweightband: Any = None
    currency: Any = None
    estimatedfeetotal: Any = None
    estimatedreferralfeeperunit: Any = None
    expectedfulfillmentfeeperunit: Any = None
    expecteddomesticfulfilmentfeeperunit: Any = None
    haslocalinventory: Any = None
    expectedefnfulfilmentfeeperunituk: Any = None
    expectedefnfulfilmentfeeperunitde: Any = None
    expectedefnfulfilmentfeeperunitfr: Any = None
    expectedefnfulfilmentfeeperunitit: Any = None
    expectedefnfulfilmentfeeperunites: Any = None
    expectedefnfulfilmentfeeperunitse: Any = None


class StockRow(msgspec.Struct):
    """A row of the inventory report."""

    sku: Any = None
    fnsku: Any = None
    yourprice: Any = None


class Products:
    """Reads the product datasets; other datasets add SKUs by `learn_sku`."""

    def __init__(self, reader: DatasetReader) -> None:
        self._prices: dict[str, Decimal] = {}
        self._skus: dict[str, str] = {}
        self._all_skus: defaultdict[str, set[str]] = defaultdict(set)
        reader.visit("stock", StockRow, self._stock)
        rows = reader.read("fees", FeeRow, self._previews)
        previews = sorted(chain.from_iterable(rows), key=lambda preview: (preview.at, preview.id))
        self.previews = grouped(previews, lambda preview: preview.sku)

    def learn_sku(self, fnsku: str, sku: str) -> None:
        """Add a SKU of an FNSKU. If there are several, every sync uses the first by name."""
        if fnsku and sku:
            self._skus[fnsku] = min(self._skus.get(fnsku, sku), sku)
            self._all_skus[fnsku].add(sku)

    def with_fnsku(self, payments: Iterable[Payment]) -> Sequence[Payment]:
        """The payments; those that name only a SKU get its FNSKU, if the SKU has exactly one."""
        fnskus: defaultdict[str, set[str]] = defaultdict(set)
        for fnsku, skus in self._all_skus.items():
            for sku in skus:
                fnskus[sku].add(fnsku)
        return [
            msgspec.structs.replace(payment, fnsku=next(iter(fnskus[payment.sku])))
            if not payment.fnsku and len(fnskus.get(payment.sku, ())) == 1
            else payment
            for payment in payments
        ]

    def facts(self) -> ProductFacts:
        return ProductFacts(self.previews, self._prices, self._skus, self._all_skus)

    def _stock(self, _: str, row: StockRow) -> None:
        sku, price = needed(text(row.sku)), decimal(row.yourprice)
        self.learn_sku(text(row.fnsku), sku)
        if price is not None and price > 0:
            self._prices[sku] = min(self._prices.get(sku, price), price)

    def _previews(self, record: str, row: FeeRow) -> Sequence[Preview]:
        """The previews for the row's own country, and for those to which units are sent from
        there."""
        at, currency = moment(row.snapshotat), text(row.currency).upper()
        sku = needed(text(row.sku))
        self.learn_sku(text(row.fnsku), sku)
        own = Preview(
            at=at or UNDATED,
            id=record,
            sku=sku,
            place=place(text(row.marketplaceid), text(row.amazonstore), currency),
            currency=currency,
            # Without its time, a preview may be from after the charge: then it proves nothing.
            expected=_expected(row) if at else None,
            price=decimal(row.yourprice),
            referral_share=_referral_share(row) if at else None,
            fees=decimal(row.estimatedfeetotal),
            item=(text(row.asin), text(row.fnsku)),
            tier=text(row.productsizetier) or text(row.productsizeweightband),
            measures=read_measures(
                (row.longestside, row.medianside, row.shortestside),
                row.unitofdimension,
                row.itempackageweight,
                row.unitofweight,
            ),
        )
        abroad = [
            msgspec.structs.replace(
                own, place=country, expected=fee, referral_share=None, fees=None
            )
            for country, fee in (_expected_abroad(row) if at else ())
            if country != own.place and currency_of(country) == currency
        ]
        return [own, *abroad]


def _expected(row: FeeRow) -> Decimal | None:
    """The fee of a unit that is sold in the country where it is stored. Zero means no estimate."""
    expected = decimal(row.expectedfulfillmentfeeperunit)
    if expected is None and label(text(row.haslocalinventory)) not in ("no", "n", "false"):
        expected = decimal(row.expecteddomesticfulfilmentfeeperunit)
    return expected if expected is not None and expected > 0 else None


def _referral_share(row: FeeRow) -> Decimal | None:
    """The referral fee as a share of the price. The lower of two prices counts: Amazon does not
    document which one its estimate uses."""
    fee = decimal(row.estimatedreferralfeeperunit)
    prices = (decimal(row.yourprice), decimal(row.salesprice))
    known = [price for price in prices if price is not None and price > 0]
    return fee / min(known) if fee is not None and fee > 0 and known else None


def _expected_abroad(row: FeeRow) -> Sequence[tuple[str, Decimal]]:
    """The fees of units that are sold in a country other than the one where they are stored."""
    cells = {
        "GB": row.expectedefnfulfilmentfeeperunituk,
        "DE": row.expectedefnfulfilmentfeeperunitde,
        "FR": row.expectedefnfulfilmentfeeperunitfr,
        "IT": row.expectedefnfulfilmentfeeperunitit,
        "ES": row.expectedefnfulfilmentfeeperunites,
        "SE": row.expectedefnfulfilmentfeeperunitse,
    }
    fees = {country: decimal(cell) for country, cell in cells.items()}
    return [(country, fee) for country, fee in fees.items() if fee is not None and fee > 0]
