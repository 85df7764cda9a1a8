"""The table of datasets: what each one is, how it is read and how long that takes.

To add a dataset that is read page by page, describe its operation in a module like `inventory.py`
and add its `DATASET` here."""

from collections.abc import AsyncIterator, Mapping, Sequence

from connectors.amazon import account, inventory, pages, shipments, transactions
from connectors.amazon.context import AmazonDataset, ReadContext
from connectors.amazon.orders import reader as orders
from connectors.amazon.reports import kinds
from connectors.amazon.reports.reader import reported
from connectors.base import Cursor, Page
from connectors.claims import RemovalColumns


def _read_transactions(context: ReadContext, cursor: Cursor | None) -> AsyncIterator[Page]:
    return account.with_sellers(
        pages.read(context, transactions.SOURCE, cursor), context.connection
    )


DATASETS: Mapping[str, AmazonDataset] = {
    dataset.about.name: dataset
    for dataset in (
        orders.DATASET,
        inventory.DATASET,
        AmazonDataset(
            transactions.TRANSACTIONS, _read_transactions, pages.by_pages(transactions.SOURCE)
        ),
        *(reported(dataset, kinds.KINDS[dataset.name]) for dataset in kinds.DATASETS),
        shipments.DATASET,
    )
}

REMOVALS: Sequence[RemovalColumns] = (
    RemovalColumns(kinds.REMOVALS.name, "orderid", "sku", "fnsku"),
    RemovalColumns(kinds.REMOVAL_SHIPMENTS.name, "orderid", "sku", "fnsku", "trackingnumber"),
)
"""The columns that name removal orders."""
