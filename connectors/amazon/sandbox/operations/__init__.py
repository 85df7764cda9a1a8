"""Every operation on one page, with its published rate (calls per second) and burst."""

from collections.abc import Callable

import msgspec

from connectors.amazon.sandbox.operations.call import Call
from connectors.amazon.sandbox.operations.finances import list_transactions
from connectors.amazon.sandbox.operations.inventory import get_inventory_summaries
from connectors.amazon.sandbox.operations.orders import get_order, search_orders
from connectors.amazon.sandbox.operations.paging import Paging
from connectors.amazon.sandbox.operations.sellers import get_account, get_marketplace_participations


class Operation(msgspec.Struct, frozen=True):
    """To add one, write its handler and a line in the table. A handler is pure: a call to JSON."""

    name: str
    method: str
    path: str
    rate: float
    burst: float
    handle: Callable[[Call], object]
    paging: Paging | None = None


_ORDERS = Paging("paginationToken", life=24 * 3_600, free=frozenset({"maxResultsPerPage"}))
_INVENTORY = Paging("nextToken", life=30)
_FINANCES = Paging("nextToken", life=5 * 60)

# fmt: off
OPERATIONS = (
    Operation("getMarketplaceParticipations", "GET", "/sellers/v1/marketplaceParticipations",
              0.016, 15, get_marketplace_participations),
    Operation("getAccount", "GET", "/sellers/v1/account", 0.016, 15, get_account),
    Operation("searchOrders", "GET", "/orders/2026-01-01/orders",
              0.0056, 20, search_orders, _ORDERS),
    Operation("getOrder", "GET", "/orders/2026-01-01/orders/{orderId}", 0.5, 30, get_order),
    Operation("getInventorySummaries", "GET", "/fba/inventory/v1/summaries",
              2, 2, get_inventory_summaries, _INVENTORY),
    Operation("listTransactions", "GET", "/finances/2024-06-19/transactions",
              0.5, 10, list_transactions, _FINANCES),
)
# fmt: on

NAMES = frozenset(operation.name for operation in OPERATIONS)
