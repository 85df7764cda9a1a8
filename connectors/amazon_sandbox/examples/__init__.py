"""The cases of Amazon's static sandbox, of the operations that this sandbox has.

What it wants is written in the official models (github.com/amzn/selling-partner-api-models), at
each answer under `x-amzn-api-sandbox`. The answers here are of the same shape, with the values that
tell one from another; persons are left out.
"""

from connectors.amazon_sandbox.examples.orders import ORDER_CASES
from connectors.amazon_sandbox.examples.products import FEE_CASES, TOKEN_CASES
from connectors.amazon_sandbox.examples.reports import INBOUND_CASES, REPORT_CASES

CASES = (*ORDER_CASES, *REPORT_CASES, *INBOUND_CASES, *FEE_CASES, *TOKEN_CASES)

__all__ = ["CASES"]
