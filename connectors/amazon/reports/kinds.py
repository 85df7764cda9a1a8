"""The table of report datasets: report type, span, columns and record id of each one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, time, timedelta
from operator import ge

from connectors.amazon import columns
from connectors.amazon.cells import day, moment
from connectors.amazon.marketplaces import COUNTRIES, currency_of, place
from connectors.amazon.reports.documents import Part, ReportKind
from connectors.amazon.reports.tables import Row
from connectors.amazon.times import SETTLED
from connectors.base import Column, Connection, Dataset, Window

DAILY = timedelta(hours=4)
"""Amazon makes a daily FBA report at most once in four hours and cancels further requests."""
NEAR_REAL_TIME = timedelta(minutes=30)


def _always(name: str, label: str, days: int, shown: Sequence[Column]) -> Dataset:
    """A dataset that every sync reads over its whole reach: rows change for weeks or arrive weeks
    late, a long report costs as many calls as a short one, and if a report wrongly has no rows, the
    next sync reads the same days again."""
    reach = timedelta(days=days)
    return Dataset(name, label, reach, SETTLED, overlap=reach, columns=shown)


REIMBURSEMENTS = _always("reimbursements", "reimbursements", 300, columns.REIMBURSEMENTS)
LEDGER = _always("ledger", "ledger events", 100, columns.LEDGER)
RETURNS = _always("returns", "customer returns", 155, columns.RETURNS)
REMOVALS = _always("removals", "removal orders", 155, columns.REMOVALS)
REMOVAL_SHIPMENTS = _always(
    "removal_shipments", "removal shipments", 155, columns.REMOVAL_SHIPMENTS
)
REPLACEMENTS = _always("replacements", "replacements", 155, columns.REPLACEMENTS)
STORAGE_FEES = _always("storage_fees", "storage fees", 125, columns.STORAGE_FEES)
FEES = Dataset("fees", "fee previews", columns=columns.FEES)
STOCK = Dataset("stock", "stock levels", columns=columns.STOCK)
DATASETS = (
    *(REIMBURSEMENTS, LEDGER, RETURNS, REMOVALS, FEES, STOCK),
    *(REMOVAL_SHIPMENTS, REPLACEMENTS, STORAGE_FEES),
)

EVENT = (
    *("date", "fnsku", "asin", "msku", "eventtype", "referenceid", "quantity"),
    *("fulfillmentcenter", "disposition", "reason"),
)
"""The columns that identify a ledger event. Titles and figures change, and layouts differ in the
other columns."""

Parts = Callable[[Connection, Window], Sequence[Part]]
Key = Callable[[Row, Part, datetime], str]


def account_wide(report_type: str) -> Parts:
    """One report for all marketplaces: one for each would contain the same rows."""

    def parts(connection: Connection, window: Window) -> Sequence[Part]:
        return [Part(report_type, connection.settings.marketplace_ids, window.since, window.until)]

    return parts


def fees_parts(connection: Connection, window: Window) -> Sequence[Part]:
    """One account-wide report: a snapshot of today, although Amazon requires a span of three
    days."""
    report, until = "GET_FBA_ESTIMATED_FBA_FEES_TXT_DATA", window.until - SETTLED
    return [
        Part(report, connection.settings.marketplace_ids, window.until - timedelta(days=4), until)
    ]


def by_marketplace(report_type: str) -> Parts:
    """A snapshot of today for each marketplace: a report for several contains only one of them."""

    def parts(connection: Connection, window: Window) -> Sequence[Part]:
        return [
            Part(report_type, (marketplace,)) for marketplace in connection.settings.marketplace_ids
        ]

    return parts


def anywhere(report: AbstractSet[str], part: AbstractSet[str]) -> bool:
    """`covers` of reports that contain the whole account, whatever marketplaces they name."""
    return True


def by_columns(*names: str) -> Key:
    """An id made of these cells."""
    return lambda row, part, made_at: "/".join(row.get(column, "") for column in names)


def in_marketplace(*names: str) -> Key:
    """An id made of the report's marketplace and these cells."""
    return lambda row, part, made_at: "/".join(
        (part.marketplaces[0], *(row.get(column, "") for column in names))
    )


def time_in(column: str) -> Callable[[Row, datetime], datetime | None]:
    """The time of a row, from this column."""
    return lambda row, made_at: moment(row.get(column, ""))


def _unchanged(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    return rows[0]


# Fee previews -----------------------------------------------------------------------------------


def _preview(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    """A preview with the time at which it was valid, and its marketplace."""
    return {
        **rows[0],
        "snapshotat": made_at.isoformat(),
        "marketplaceid": _preview_marketplace(rows[0], part),
    }


def _preview_marketplace(row: Row, part: Part) -> str:
    """The marketplace of a preview: by its store, a column of the American layout only; else the
    first marketplace of the report with its currency; empty if none has it."""
    country, currency = place(country=row.get("amazonstore", "")), row.get("currency", "").upper()
    in_report = [
        marketplace
        for marketplace in part.marketplaces
        if COUNTRIES.get(marketplace) == country
        or (not country and currency_of(COUNTRIES.get(marketplace, "")) == currency)
    ]
    country = country or place(currency=currency)
    others = (marketplace for marketplace, code in COUNTRIES.items() if code == country)
    return next(iter((*in_report, *others)), "")


def _preview_key(row: Row, part: Part, made_at: datetime) -> str:
    """The id of a preview. It has the time, so that a preview does not replace earlier ones: a
    charge is compared with the one before."""
    return f"{made_at:%Y-%m-%dT%H:%M}/{_preview_marketplace(row, part)}/{row['sku']}"


# The ledger and returns -------------------------------------------------------------------------


def _ledger_day(row: Row, made_at: datetime) -> datetime | None:
    """The start of the day of an event, in Amazon's time zone; in UTC for the older layout, which
    does not contain it."""
    if at := moment(row.get("dateandtime", "")):
        return at
    date = day(row.get("date", ""))
    return datetime.combine(date, time(), UTC) if date else None


def _ledger_key(row: Row, part: Part, made_at: datetime) -> str:
    """The key of a ledger event, which has no id: its content identifies it, together with a
    number. Columns that only newer layouts have are left out, so that the key stays the same when
    they appear."""
    content = "\t".join(row.get(column, "") for column in EVENT)
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def _return_key(row: Row, part: Part, made_at: datetime) -> str:
    """The licence plate of the unit, which may be listed under two dates; with the order, since the
    unit may be sold and returned again."""
    if plate := row.get("licenseplatenumber"):
        return "/".join((plate, row.get("orderid", ""), row.get("sku", "")))
    return "/".join(row.get(column, "") for column in ("orderid", "sku", "fnsku", "returndate"))


# Storage fees -----------------------------------------------------------------------------------


def _month_end(row: Row, made_at: datetime) -> datetime | None:
    """The end of the month of a charge (written as 2026-02), after which Amazon charges it."""
    first = moment(f"{row.get('monthofcharge', '')[:7]}-01")
    return (first + timedelta(days=31)).replace(day=1) if first else None


# The table --------------------------------------------------------------------------------------

KINDS: Mapping[str, ReportKind] = {
    REIMBURSEMENTS.name: ReportKind(
        parts=account_wide("GET_FBA_REIMBURSEMENTS_DATA"),
        covers=anywhere,
        wanted=("approvaldate", "reimbursementid", "reason", "sku", "quantityreimbursedtotal"),
        key=by_columns("reimbursementid", "sku", "fnsku", "reason"),
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        at=time_in("approvaldate"),
    ),
    LEDGER.name: ReportKind(
        parts=account_wide("GET_LEDGER_DETAIL_VIEW_DATA"),
        covers=ge,
        wanted=("date", "fnsku", "eventtype", "referenceid", "quantity", "disposition", "reason"),
        key=_ledger_key,
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        at=_ledger_day,
    ),
    RETURNS.name: ReportKind(
        parts=account_wide("GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA"),
        covers=ge,
        wanted=("returndate", "orderid", "sku", "quantity", "detaileddisposition"),
        filled=("licenseplatenumber",),  # it is part of the key
        key=_return_key,
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        whole_days=True,
        at=time_in("returndate"),
    ),
    REMOVALS.name: ReportKind(
        parts=account_wide("GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA"),
        covers=ge,
        wanted=("requestdate", "orderid", "ordertype", "sku", "disposedquantity"),
        filled=("shippedquantity",),
        key=by_columns("orderid", "sku", "fnsku", "disposition"),
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        # Amazon does not document whether it selects by this date or by the last change; this one
        # is earlier.
        at=time_in("requestdate"),
    ),
    FEES.name: ReportKind(
        parts=fees_parts,
        covers=anywhere,
        wanted=("sku", "fnsku", "currency", "estimatedfeetotal"),
        filled=("expectedfulfillmentfeeperunit",),
        key=_preview_key,
        fresh=timedelta(hours=72),
        interval=DAILY,
        record=_preview,
        numbered=True,  # a product may be listed once per marketplace, without naming it
        all_finished=True,
        at=lambda row, made_at: made_at,  # a preview never replaces an older one
    ),
    STOCK.name: ReportKind(
        parts=by_marketplace("GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA"),
        wanted=("sku", "fnsku", "asin", "afntotalquantity"),
        key=in_marketplace("sku", "condition"),
        fresh=NEAR_REAL_TIME,
        interval=NEAR_REAL_TIME,
        per_marketplace=True,
        stale=timedelta(days=3),
        record=_unchanged,
    ),
    REMOVAL_SHIPMENTS.name: ReportKind(
        parts=account_wide("GET_FBA_FULFILLMENT_REMOVAL_SHIPMENT_DETAIL_DATA"),
        covers=ge,
        wanted=("orderid", "shipmentdate", "sku", "fnsku", "disposition", "shippedquantity"),
        # Without the tracking number, which may be added later.
        key=by_columns("orderid", "shipmentdate", "sku", "fnsku", "disposition"),
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        # Amazon selects by the request of the order, and adds its shipments for weeks.
        at=time_in("requestdate"),
    ),
    REPLACEMENTS.name: ReportKind(
        parts=account_wide("GET_FBA_FULFILLMENT_CUSTOMER_SHIPMENT_REPLACEMENT_DATA"),
        covers=ge,
        wanted=("shipmentdate", "sku", "quantity", "originalamazonorderid"),
        key=by_columns("originalamazonorderid", "replacementamazonorderid", "sku"),
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        at=time_in("shipmentdate"),
    ),
    STORAGE_FEES.name: ReportKind(
        parts=account_wide("GET_FBA_STORAGE_FEE_CHARGES_DATA"),
        covers=ge,
        wanted=(
            *("fnsku", "averagequantityonhand", "monthofcharge", "currency"),
            "estimatedmonthlystoragefee",
        ),
        key=by_columns("monthofcharge", "fnsku", "fulfillmentcenter", "countrycode"),
        fresh=DAILY,
        interval=DAILY,
        record=_unchanged,
        numbered=True,
        whole_days=True,
        at=_month_end,
    ),
}
