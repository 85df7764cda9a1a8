"""A source in memory: the template for a new connector, and a quick one for tests."""

from connectors.demo.connector import open_connector

__all__ = ["open_connector"]
