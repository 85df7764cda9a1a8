"""The roles that operations and report types require, as Seller Central spells them."""

from typing import Literal

Role = Literal["Finance and Accounting", "Amazon Fulfillment", "Inventory and Order Tracking"]

FINANCE: Role = "Finance and Accounting"
FULFILLMENT: Role = "Amazon Fulfillment"
TRACKING: Role = "Inventory and Order Tracking"
