"""Finds missing orders that other datasets show, and reads them."""

from connectors.amazon.completeness.comparison import WITNESSES, compare, days_of_witness
from connectors.amazon.completeness.filler import fill

__all__ = ["WITNESSES", "compare", "days_of_witness", "fill"]
