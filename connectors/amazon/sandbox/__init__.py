"""A faithful local Selling Partner API: an ASGI app, generated sellers, quotas, and bad weather."""

from connectors.amazon.sandbox.app import create_app
from connectors.amazon.sandbox.settings import Settings, connection, environ, read_faults

__all__ = ["Settings", "connection", "create_app", "environ", "read_faults"]
