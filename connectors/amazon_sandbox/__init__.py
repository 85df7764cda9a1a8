"""A local Selling Partner API: an ASGI app with generated sellers, quotas and injected faults."""

from connectors.amazon_sandbox.app import create_app
from connectors.amazon_sandbox.settings import (
    Settings,
    connection,
    environ,
    read_faults,
    read_marketplaces,
)

__all__ = ["Settings", "connection", "create_app", "environ", "read_faults", "read_marketplaces"]
