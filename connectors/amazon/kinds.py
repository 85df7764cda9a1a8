"""The report behind each dataset: its type, its span, its columns, what makes a row itself."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from operator import ge

from connectors.amazon.cells import day, moment
from connectors.amazon.client import TRACKING
from connectors.amazon.datasets import order_version
from connectors.amazon.documents import Kind, Part
from connectors.amazon.marketplaces import COUNTRIES, currency_of, place
from connectors.amazon.pages import SETTLED
from connectors.amazon.tables import Row
from connectors.base import Connection, Dataset, Window

DAILY = timedelta(hours=4)
"""Amazon makes a daily FBA report at most once in four hours; asked more often it is cancelled."""
NEAR_REAL_TIME = timedelta(minutes=30)
LONGEST_ORDERS = timedelta(days=30)


def _always(name: str, label: str, days: int) -> Dataset:
    """Read in its whole reach at every sync: rows change for weeks or come weeks late, a report of
    many days costs as many calls as one of few, and one without rows would tell nothing."""
    reach = timedelta(days=days)
    return Dataset(name, label, reach, SETTLED, overlap=reach)


REIMBURSEMENTS = _always("reimbursements", "reimbursements", 300)
LEDGER = _always("ledger", "ledger events", 100)
RETURNS = _always("returns", "customer returns", 155)
REMOVALS = _always("removals", "removal orders", 155)
FEES = Dataset("fees", "fee previews")
STOCK = Dataset("stock", "stock levels")

EVENT = (
    *("date", "fnsku", "asin", "msku", "eventtype", "referenceid", "quantity"),
    *("fulfillmentcenter", "disposition", "reason"),
)
"""What makes a ledger event itself. Titles and figures change; other columns come and go."""

ORDER_STATUSES = {
    "pending": "PENDING",
    "unshipped": "UNSHIPPED",
    "shipping": "PARTIALLY_SHIPPED",
    "partiallyshipped": "PARTIALLY_SHIPPED",
    "shipped": "SHIPPED",
    "cancelled": "CANCELLED",
    "unfulfillable": "UNFULFILLABLE",
}


def account_wide(report_type: str) -> Callable[[Connection, Window], Sequence[Part]]:
    """One report for all marketplaces: asked for each, it would bring the same rows again."""

    def parts(connection: Connection, window: Window) -> Sequence[Part]:
        return [Part(report_type, connection.settings.marketplace_ids, window.since, window.until)]

    return parts


def fees_parts(connection: Connection, window: Window) -> Sequence[Part]:
    """Account-wide too, but of today; Amazon wants a span of three days all the same."""
    report, until = "GET_FBA_ESTIMATED_FBA_FEES_TXT_DATA", window.until - SETTLED
    return [
        Part(report, connection.settings.marketplace_ids, window.until - timedelta(days=4), until)
    ]


def by_marketplace(report_type: str) -> Callable[[Connection, Window], Sequence[Part]]:
    """A report of today for each marketplace: for several it would tell of one of them."""

    def parts(connection: Connection, window: Window) -> Sequence[Part]:
        return [Part(report_type, (each,)) for each in connection.settings.marketplace_ids]

    return parts


def anywhere(told: AbstractSet[str], asked: AbstractSet[str]) -> bool:
    """For reports that tell of the whole account, whichever marketplaces they are asked for."""
    return True


def orders_parts(connection: Connection, window: Window) -> Sequence[Part]:
    """All orders of all marketplaces, in spans of equal length that a report may have."""
    whole = window.until - window.since
    count = max(1, -(-whole // LONGEST_ORDERS))
    report = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL"
    ends = [window.since + whole * number / count for number in range(count + 1)]
    return [
        Part(report, connection.settings.marketplace_ids, since, until)
        for since, until in pairwise(ends)
    ]


def by_columns(*columns: str) -> Callable[[Row, Part, datetime], str]:
    """An id made of these cells."""
    return lambda row, part, made_at: "/".join(row.get(column, "") for column in columns)


def in_marketplace(*columns: str) -> Callable[[Row, Part, datetime], str]:
    """An id made of these cells, and of the marketplace that the report was asked for."""
    return lambda row, part, made_at: "/".join(
        (part.marketplaces[0], *(row.get(column, "") for column in columns))
    )


def _as_it_is(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    return rows[0]


def _of_its_day(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    """A preview says what held when it was made, in one marketplace."""
    return {
        **rows[0],
        "snapshotat": made_at.isoformat(),
        "marketplaceid": _sold_in(rows[0], part),
    }


def _sold_in(row: Row, part: Part) -> str:
    """The marketplace that a preview is about: by its store, which only the American layout has,
    else the first of those asked for that pays in its currency; empty where none does."""
    country, currency = place(country=row.get("amazonstore", "")), row.get("currency", "").upper()
    asked = [
        each
        for each in part.marketplaces
        if COUNTRIES.get(each) == country
        or (not country and currency_of(COUNTRIES.get(each, "")) == currency)
    ]
    country = country or place(currency=currency)
    others = (each for each, where in COUNTRIES.items() if where == country)
    return next(iter((*asked, *others)), "")


def _preview_key(row: Row, part: Part, made_at: datetime) -> str:
    """Each preview is kept beside those of other days: a charge is held against the one before."""
    return f"{made_at:%Y-%m-%dT%H:%M}/{_sold_in(row, part)}/{row['sku']}"


def _when(column: str) -> Callable[[Row, datetime], datetime | None]:
    return lambda row, made_at: moment(row.get(column, ""))


def _ledger_day(row: Row, made_at: datetime) -> datetime | None:
    """When the day begins that a ledger event is of, where Amazon counts it; in UTC where the older
    layout does not tell."""
    if at := moment(row.get("dateandtime", "")):
        return at
    found = day(row.get("date", ""))
    return datetime.combine(found, time(), UTC) if found else None


def _ledger_key(row: Row, part: Part, made_at: datetime) -> str:
    """A ledger event has no id: it is what it says, and its number. What it says in columns that
    only newer layouts have is left out, else it would be another one when they come."""
    said = "\t".join(row.get(column, "") for column in EVENT)
    return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


def _return_key(row: Row, part: Part, made_at: datetime) -> str:
    """The licence plate of the unit, which may be listed under two dates; and its order, since it
    may be sold again and come back from there too."""
    if plate := row.get("licenseplatenumber"):
        return "/".join((plate, row.get("orderid", ""), row.get("sku", "")))
    return "/".join(row.get(column, "") for column in ("orderid", "sku", "fnsku", "returndate"))


def _order(rows: Sequence[Row], part: Part, made_at: datetime) -> Mapping[str, object]:
    """The rows of one order, a row an item, in the shape that searchOrders gives; without the
    buyer's place, which this report has and nothing here needs."""
    first = rows[0]
    status = ORDER_STATUSES.get(first["orderstatus"].replace(" ", "").split("-")[0].lower())
    by_amazon = first.get("fulfillmentchannel", "").lower().startswith(("amazon", "afn"))
    return {
        "orderId": first["amazonorderid"],
        "createdTime": first["purchasedate"],
        "lastUpdatedTime": first["lastupdateddate"],
        "salesChannel": {"channelName": "AMAZON", "marketplaceName": first.get("saleschannel", "")},
        "fulfillment": {
            "fulfillmentStatus": status or first["orderstatus"].upper(),
            "fulfilledBy": "AMAZON" if by_amazon else "MERCHANT",
        },
        "orderItems": [_item(row) for row in rows],
        "source": "report",
    }


def _item(row: Row) -> Mapping[str, object]:
    price = row.get("itemprice", "")
    item: dict[str, object] = {
        "quantityOrdered": int(row.get("quantity") or 0),
        "product": {
            "asin": row.get("asin", ""),
            "sellerSku": row.get("sku", ""),
            "title": row.get("productname", ""),
        },
    }
    if price:
        total = {"amount": price, "currencyCode": row.get("currency", "")}
        item["proceeds"] = {"proceedsTotal": total}
    return item


ORDERS_KIND = Kind(
    parts=orders_parts,
    wanted=("amazonorderid", "purchasedate", "lastupdateddate", "orderstatus", "sku"),
    filled=("quantity", "currency", "itemprice"),
    key=by_columns("amazonorderid"),
    fresh=timedelta(minutes=30),
    record=_order,
    joined=True,
    version=lambda row: order_version(datetime.fromisoformat(row["lastupdateddate"])),
    slack=timedelta(0),  # search takes over where it ends
    at=_when("lastupdateddate"),
    role=TRACKING,
)

KINDS: Mapping[str, Kind] = {
    REIMBURSEMENTS.name: Kind(
        parts=account_wide("GET_FBA_REIMBURSEMENTS_DATA"),
        covers=anywhere,
        wanted=("approvaldate", "reimbursementid", "reason", "sku", "quantityreimbursedtotal"),
        key=by_columns("reimbursementid", "sku", "fnsku", "reason"),
        fresh=DAILY,
        record=_as_it_is,
        numbered=True,
        whole_days=True,
        at=_when("approvaldate"),
    ),
    LEDGER.name: Kind(
        parts=account_wide("GET_LEDGER_DETAIL_VIEW_DATA"),
        covers=ge,
        wanted=("date", "fnsku", "eventtype", "referenceid", "quantity", "disposition", "reason"),
        key=_ledger_key,
        fresh=DAILY,
        record=_as_it_is,
        numbered=True,
        whole_days=True,
        at=_ledger_day,
    ),
    RETURNS.name: Kind(
        parts=account_wide("GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA"),
        covers=ge,
        wanted=("returndate", "orderid", "sku", "quantity", "detaileddisposition"),
        filled=("licenseplatenumber",),  # it is part of the key
        key=_return_key,
        fresh=DAILY,
        record=_as_it_is,
        whole_days=True,
        at=_when("returndate"),
    ),
    REMOVALS.name: Kind(
        parts=account_wide("GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA"),
        covers=ge,
        wanted=("requestdate", "orderid", "ordertype", "sku", "disposedquantity"),
        filled=("shippedquantity",),
        key=by_columns("orderid", "sku", "fnsku", "disposition"),
        fresh=DAILY,
        record=_as_it_is,
        numbered=True,
        whole_days=True,
        # Amazon does not say whether it selects by this or by the last change; this is earlier.
        at=_when("requestdate"),
    ),
    FEES.name: Kind(
        parts=fees_parts,
        covers=anywhere,
        wanted=("sku", "fnsku", "currency", "estimatedfeetotal"),
        filled=("expectedfulfillmentfeeperunit",),
        key=_preview_key,
        fresh=timedelta(hours=72),
        record=_of_its_day,
        numbered=True,  # a product may be listed for each marketplace, without telling which
        all_finished=True,
        at=lambda row, made_at: made_at,  # each is of its own time: none replaces another
    ),
    STOCK.name: Kind(
        parts=by_marketplace("GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA"),
        wanted=("sku", "fnsku", "asin", "afntotalquantity"),
        key=in_marketplace("sku", "condition"),
        fresh=NEAR_REAL_TIME,
        interval=NEAR_REAL_TIME,
        stale=timedelta(days=3),
        record=_as_it_is,
    ),
}
