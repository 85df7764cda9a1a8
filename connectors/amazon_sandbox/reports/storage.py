"""The report on monthly storage fees. Its column names have underscores."""

from collections.abc import Iterator

from connectors.amazon_sandbox.generator.storage import StorageMonth, WarehouseStorage
from connectors.amazon_sandbox.reports.scope import Cells, Scope

HEADER = (
    "asin",
    "fnsku",
    "product_name",
    "fulfillment_center",
    "country_code",
    "longest_side",
    "median_side",
    "shortest_side",
    "measurement_units",
    "weight",
    "weight_units",
    "item_volume",
    "volume_units",
    "product_size_tier",
    "average_quantity_on_hand",
    "average_quantity_pending_removal",
    "estimated_total_item_volume",
    "month_of_charge",
    "storage_rate",
    "currency",
    "estimated_monthly_storage_fee",
)


def rows(scope: Scope) -> Iterator[Cells]:
    """Yield the fees by product and month. A window includes the months that end in it."""
    for entry in scope.seller.storage:
        if scope.includes(entry.ended_at):
            for row in entry.rows:
                yield _row(scope, entry, row)


def _row(scope: Scope, entry: StorageMonth, row: WarehouseStorage) -> Cells:
    product, european = entry.product, scope.seller.home.european
    return (
        product.asin,
        product.fn_sku,
        product.title,
        row.center,
        scope.seller.home.country,
        *("6.0", "4.0", "1.0", "centimeters" if european else "inches"),
        *("0.5", "kilograms" if european else "pounds"),
        *("0.25", "cubic meters" if european else "cubic feet"),
        "Standard-Size",
        f"{row.units / 100:.2f}",
        "0.00",
        f"{row.units / 400:.4f}",
        f"{entry.month:%Y-%m}",
        "0.78",
        scope.currency,
        scope.money(row.fee),
    )
