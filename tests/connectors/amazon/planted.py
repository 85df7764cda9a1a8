"""Planted and found claims as text: equal claims have equal texts."""

from collections.abc import Mapping
from typing import Any

PLANTED: Mapping[str, tuple[str, ...]] = {
    "R1": ("fnsku", "referenceId"),
    "R2": ("fnsku", "referenceId"),
    "R3": ("fnsku", "referenceId"),
    "R4": ("orderId", "sku"),
    "R5": ("orderId", "sku"),
    "R6": ("key",),
    "R7": ("key",),
    "R8": ("shipmentId", "fnsku"),
    "R9": ("referenceId", "fnsku"),
    "R10": ("referenceId", "fnsku"),
}
"""The identifying fields of a claim in the generator."""

FOUND: Mapping[str, tuple[str, ...]] = {
    "R1": ("fnsku", "reference"),
    "R2": ("fnsku", "reference"),
    "R3": ("fnsku", "reference"),
    "R4": ("order", "sku"),
    "R5": ("order", "sku"),
    "R6": ("fnsku", "month"),
    "R7": ("sku", "expected", "charged"),
    "R8": ("shipment", "fnsku"),
    "R9": ("reversal", "fnsku"),
    "R10": ("reimbursement", "fnsku"),
}
"""The identifying fields among the details of a found claim."""


def as_planted(claim: Mapping[str, Any]) -> str:
    return _line(claim, "|".join(claim[name] for name in PLANTED[claim["rule"]]))


def as_found(claim: Mapping[str, Any]) -> str:
    return _line(claim, "|".join(claim["details"][name] for name in FOUND[claim["rule"]]))


def _line(claim: Mapping[str, Any], thing: str) -> str:
    amount = f"{claim['amount']} {claim['currency']}" if claim["amount"] else "unknown"
    days = f"{claim['opens']} to {claim['closes']}"
    return f"{claim['rule']} {thing}: {claim['units']}, {amount}, {days}, {claim['confidence']}"
