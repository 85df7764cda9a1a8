"""Claims: what Amazon owes a seller, found in the records of their account.

`rules.py` is the table of rules. Each rule has a function that reads the facts (`facts.py`) and
yields cases; `find_claims` runs every rule that has its inputs and returns the claims. Nothing in
this package uses the network, the clock or files."""

from connectors.amazon.claims.detection import find_claims
from connectors.amazon.claims.rule import Rule
from connectors.amazon.claims.rules import FEE_LIMITS, RULES, rule_windows
from connectors.amazon.claims.windows import Windows
from connectors.amazon.settings import Days

__all__ = ["FEE_LIMITS", "RULES", "Days", "Rule", "Windows", "find_claims", "rule_windows"]
