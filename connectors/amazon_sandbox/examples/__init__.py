"""The cases of Amazon's static sandbox, for the operations of this sandbox.

Source: `x-amzn-api-sandbox` at each response in the official models
(github.com/amzn/selling-partner-api-models). The responses here have the same shape and the values
that identify them; personal data is left out.
"""

from connectors.amazon_sandbox.examples.orders import ORDER_CASES
from connectors.amazon_sandbox.examples.products import FEE_CASES, TOKEN_CASES
from connectors.amazon_sandbox.examples.reports import INBOUND_CASES, REPORT_CASES

CASES = (*ORDER_CASES, *REPORT_CASES, *INBOUND_CASES, *FEE_CASES, *TOKEN_CASES)

__all__ = ["CASES"]
