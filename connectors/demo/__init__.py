"""The demo connector: an in-memory source, a template for new connectors and a fast one for
tests."""

from connectors.demo.connector import open_connector

__all__ = ["open_connector"]
