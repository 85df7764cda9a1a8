"""Every operation on one page, with its published rate (calls per second) and burst."""

from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.operations import legacy, notifications
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.fees import (
    get_my_fees_estimate_for_asin,
    get_my_fees_estimate_for_sku,
    get_my_fees_estimates,
)
from connectors.amazon_sandbox.operations.finances import list_transactions
from connectors.amazon_sandbox.operations.inbound import (
    get_shipment_items,
    get_shipment_items_by_shipment_id,
    get_shipments,
)
from connectors.amazon_sandbox.operations.inventory import get_inventory_summaries
from connectors.amazon_sandbox.operations.orders import get_order, search_orders
from connectors.amazon_sandbox.operations.paging import Paging
from connectors.amazon_sandbox.operations.reports import (
    cancel_report,
    create_report,
    get_report,
    get_report_document,
    get_reports,
)
from connectors.amazon_sandbox.operations.sellers import get_account, get_marketplace_participations
from connectors.amazon_sandbox.operations.tokens import create_restricted_data_token
from connectors.amazon_sandbox.roles import FINANCE, FULFILLMENT, TRACKING, Role


class Operation(msgspec.Struct, frozen=True):
    """To add one, write its handler and a line in the table. A handler turns a call into JSON.

    A `heavy` one takes its time, in a thread. A `grantless` one speaks for no seller. `role` is
    what an application needs to call it; for reports, their type decides.
    """

    name: str
    method: str
    path: str
    rate: float
    burst: float
    handle: Callable[[Call], object]
    paging: Paging | None = None
    heavy: bool = False
    grantless: bool = False
    role: Role | None = None


_ORDERS = Paging("paginationToken", life=24 * 3_600, free=frozenset({"maxResultsPerPage"}))
_INVENTORY = Paging("nextToken", life=30)
_FINANCES = Paging("nextToken", life=5 * 60)
_REPORTS = Paging("nextToken", life=24 * 3_600, carries=True, alone=True)
_INBOUND = Paging("NextToken", life=24 * 3_600, carries=True, only_if=("QueryType", "NEXT_TOKEN"))
_LEGACY = Paging("NextToken", life=24 * 3_600, carries=True)

# fmt: off
OPERATIONS = (
    Operation("getMarketplaceParticipations", "GET", "/sellers/v1/marketplaceParticipations",
              0.016, 15, get_marketplace_participations),
    Operation("getAccount", "GET", "/sellers/v1/account", 0.016, 15, get_account),
    Operation("searchOrders", "GET", "/orders/2026-01-01/orders",
              0.0056, 20, search_orders, _ORDERS, role=TRACKING),
    Operation("getOrder", "GET", "/orders/2026-01-01/orders/{orderId}",
              0.5, 30, get_order, role=TRACKING),
    Operation("getInventorySummaries", "GET", "/fba/inventory/v1/summaries",
              2, 2, get_inventory_summaries, _INVENTORY, role=FULFILLMENT),
    Operation("listTransactions", "GET", "/finances/2024-06-19/transactions",
              0.5, 10, list_transactions, _FINANCES, role=FINANCE),
    Operation("createReport", "POST", "/reports/2021-06-30/reports",
              0.0167, 15, create_report, heavy=True),
    Operation("getReports", "GET", "/reports/2021-06-30/reports",
              0.0222, 10, get_reports, _REPORTS),
    Operation("getReport", "GET", "/reports/2021-06-30/reports/{reportId}", 2, 15, get_report),
    Operation("cancelReport", "DELETE", "/reports/2021-06-30/reports/{reportId}",
              0.0222, 10, cancel_report),
    Operation("getReportDocument", "GET", "/reports/2021-06-30/documents/{reportDocumentId}",
              0.0167, 15, get_report_document),
    Operation("getShipments", "GET", "/fba/inbound/v0/shipments",
              2, 30, get_shipments, _INBOUND, role=FULFILLMENT),
    Operation("getShipmentItems", "GET", "/fba/inbound/v0/shipmentItems",
              2, 30, get_shipment_items, _INBOUND, role=FULFILLMENT),
    Operation("getShipmentItemsByShipmentId", "GET", "/fba/inbound/v0/shipments/{shipmentId}/items",
              2, 30, get_shipment_items_by_shipment_id, role=FULFILLMENT),
    Operation("getMyFeesEstimates", "POST", "/products/fees/v0/feesEstimate",
              0.5, 1, get_my_fees_estimates),
    Operation("getMyFeesEstimateForSKU", "POST",
              "/products/fees/v0/listings/{SellerSKU:path}/feesEstimate",
              1, 2, get_my_fees_estimate_for_sku),
    Operation("getMyFeesEstimateForASIN", "POST", "/products/fees/v0/items/{Asin}/feesEstimate",
              1, 2, get_my_fees_estimate_for_asin),
    Operation("getOrders", "GET", "/orders/v0/orders",
              0.0167, 20, legacy.get_orders, _LEGACY, role=TRACKING),
    Operation("getOrderV0", "GET", "/orders/v0/orders/{orderId}",
              0.5, 30, legacy.get_order, role=TRACKING),
    Operation("getOrderItems", "GET", "/orders/v0/orders/{orderId}/orderItems",
              0.5, 30, legacy.get_order_items, role=TRACKING),
    Operation("createRestrictedDataToken", "POST", "/tokens/2021-03-01/restrictedDataToken",
              1, 10, create_restricted_data_token),
    Operation("createDestination", "POST", "/notifications/v1/destinations",
              1, 5, notifications.create_destination, grantless=True),
    Operation("getDestinations", "GET", "/notifications/v1/destinations",
              1, 5, notifications.get_destinations, grantless=True),
    Operation("getDestination", "GET", "/notifications/v1/destinations/{destinationId}",
              1, 5, notifications.get_destination, grantless=True),
    Operation("deleteDestination", "DELETE", "/notifications/v1/destinations/{destinationId}",
              1, 5, notifications.delete_destination, grantless=True),
    Operation("createSubscription", "POST", "/notifications/v1/subscriptions/{notificationType}",
              1, 5, notifications.create_subscription),
    Operation("getSubscription", "GET", "/notifications/v1/subscriptions/{notificationType}",
              1, 5, notifications.get_subscription),
    Operation("getSubscriptionById", "GET",
              "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
              1, 5, notifications.get_subscription_by_id),
    Operation("deleteSubscriptionById", "DELETE",
              "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
              1, 5, notifications.delete_subscription_by_id, grantless=True),
)
# fmt: on

NAMES = frozenset(operation.name for operation in OPERATIONS)
