"""Finds orders that other datasets show and that were not read, and reads them."""

from connectors.amazon.completeness.comparison import compare
from connectors.amazon.completeness.filler import fill

__all__ = ["compare", "fill"]
