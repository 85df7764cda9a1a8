"""Amazon's Selling Partner API."""

from connectors.amazon.connector import open_connector

__all__ = ["open_connector"]
