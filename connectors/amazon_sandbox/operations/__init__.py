"""The table of operations, with their published rates (calls per second) and bursts."""

from collections.abc import Callable

import msgspec

from connectors.amazon_sandbox.operations import notifications, orders_v0
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


class ApiOperation(msgspec.Struct, frozen=True):
    """One operation. To add one, write its handler and a row of the table."""

    name: str
    method: str
    path: str
    rate: float
    burst: float
    #: Returns the JSON body of the response.
    handle: Callable[[Call], object]
    paging: Paging | None = None
    #: Whether it is slow and runs in a thread.
    heavy: bool = False
    #: Whether it accepts a token that belongs to no seller.
    grantless: bool = False
    #: The role that the application must have. For reports, the report type decides.
    role: Role | None = None


_ORDERS = Paging(
    "paginationToken", lifetime=24 * 3_600, changeable=frozenset({"maxResultsPerPage"})
)
_INVENTORY = Paging("nextToken", lifetime=30)
_FINANCES = Paging("nextToken", lifetime=5 * 60)
_REPORTS = Paging("nextToken", lifetime=24 * 3_600, carries_parameters=True, exclusive=True)
_INBOUND = Paging(
    "NextToken",
    lifetime=24 * 3_600,
    carries_parameters=True,
    enabled_by=("QueryType", "NEXT_TOKEN"),
)
_ORDERS_V0 = Paging("NextToken", lifetime=24 * 3_600, carries_parameters=True)

# fmt: off
OPERATIONS = (
    ApiOperation("getMarketplaceParticipations", "GET", "/sellers/v1/marketplaceParticipations",
                 0.016, 15, get_marketplace_participations),
    ApiOperation("getAccount", "GET", "/sellers/v1/account", 0.016, 15, get_account),
    ApiOperation("searchOrders", "GET", "/orders/2026-01-01/orders",
                 0.0056, 20, search_orders, _ORDERS, role=TRACKING),
    ApiOperation("getOrder", "GET", "/orders/2026-01-01/orders/{orderId}",
                 0.5, 30, get_order, role=TRACKING),
    ApiOperation("getInventorySummaries", "GET", "/fba/inventory/v1/summaries",
                 2, 2, get_inventory_summaries, _INVENTORY, role=FULFILLMENT),
    ApiOperation("listTransactions", "GET", "/finances/2024-06-19/transactions",
                 0.5, 10, list_transactions, _FINANCES, role=FINANCE),
    ApiOperation("createReport", "POST", "/reports/2021-06-30/reports",
                 0.0167, 15, create_report, heavy=True),
    ApiOperation("getReports", "GET", "/reports/2021-06-30/reports",
                 0.0222, 10, get_reports, _REPORTS),
    ApiOperation("getReport", "GET", "/reports/2021-06-30/reports/{reportId}", 2, 15, get_report),
    ApiOperation("cancelReport", "DELETE", "/reports/2021-06-30/reports/{reportId}",
                 0.0222, 10, cancel_report),
    ApiOperation("getReportDocument", "GET", "/reports/2021-06-30/documents/{reportDocumentId}",
                 0.0167, 15, get_report_document),
    ApiOperation("getShipments", "GET", "/fba/inbound/v0/shipments",
                 2, 30, get_shipments, _INBOUND, role=FULFILLMENT),
    ApiOperation("getShipmentItems", "GET", "/fba/inbound/v0/shipmentItems",
                 2, 30, get_shipment_items, _INBOUND, role=FULFILLMENT),
    ApiOperation("getShipmentItemsByShipmentId", "GET",
                 "/fba/inbound/v0/shipments/{shipmentId}/items",
                 2, 30, get_shipment_items_by_shipment_id, role=FULFILLMENT),
    ApiOperation("getMyFeesEstimates", "POST", "/products/fees/v0/feesEstimate",
                 0.5, 1, get_my_fees_estimates),
    ApiOperation("getMyFeesEstimateForSKU", "POST",
                 "/products/fees/v0/listings/{SellerSKU:path}/feesEstimate",
                 1, 2, get_my_fees_estimate_for_sku),
    ApiOperation("getMyFeesEstimateForASIN", "POST", "/products/fees/v0/items/{Asin}/feesEstimate",
                 1, 2, get_my_fees_estimate_for_asin),
    ApiOperation("getOrders", "GET", "/orders/v0/orders",
                 0.0167, 20, orders_v0.get_orders, _ORDERS_V0, role=TRACKING),
    ApiOperation("getOrderV0", "GET", "/orders/v0/orders/{orderId}",
                 0.5, 30, orders_v0.get_order, role=TRACKING),
    ApiOperation("getOrderItems", "GET", "/orders/v0/orders/{orderId}/orderItems",
                 0.5, 30, orders_v0.get_order_items, role=TRACKING),
    ApiOperation("createRestrictedDataToken", "POST", "/tokens/2021-03-01/restrictedDataToken",
                 1, 10, create_restricted_data_token),
    ApiOperation("createDestination", "POST", "/notifications/v1/destinations",
                 1, 5, notifications.create_destination, grantless=True),
    ApiOperation("getDestinations", "GET", "/notifications/v1/destinations",
                 1, 5, notifications.get_destinations, grantless=True),
    ApiOperation("getDestination", "GET", "/notifications/v1/destinations/{destinationId}",
                 1, 5, notifications.get_destination, grantless=True),
    ApiOperation("deleteDestination", "DELETE", "/notifications/v1/destinations/{destinationId}",
                 1, 5, notifications.delete_destination, grantless=True),
    ApiOperation("createSubscription", "POST", "/notifications/v1/subscriptions/{notificationType}",
                 1, 5, notifications.create_subscription),
    ApiOperation("getSubscription", "GET", "/notifications/v1/subscriptions/{notificationType}",
                 1, 5, notifications.get_subscription),
    ApiOperation("getSubscriptionById", "GET",
                 "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
                 1, 5, notifications.get_subscription_by_id),
    ApiOperation("deleteSubscriptionById", "DELETE",
                 "/notifications/v1/subscriptions/{notificationType}/{subscriptionId}",
                 1, 5, notifications.delete_subscription_by_id, grantless=True),
)
# fmt: on

NAMES = frozenset(operation.name for operation in OPERATIONS)
