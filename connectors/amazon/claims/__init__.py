"""Claims: what Amazon owes the seller, found in what was read. No network, no clock, no files.

Each rule is a function from the books (`books.py`: what was read, as small values) to cases; the
table of rules is `rules.py`, and `find_claims` runs those that have all their inputs."""

from connectors.amazon.claims.cases import Rule
from connectors.amazon.claims.detection import find_claims
from connectors.amazon.claims.rules import RULES
from connectors.amazon.claims.windows import Windows
from connectors.amazon.settings import Days

__all__ = ["RULES", "Days", "Rule", "Windows", "find_claims"]
