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
    "R7": ("fee",),
    "R8": ("shipmentId", "fnsku"),
    "R9": ("referenceId", "fnsku"),
    "R10": ("referenceId", "fnsku"),
    "R11": ("referenceId", "fnsku"),
    "R12": ("key",),
    "R13": ("orderId", "sku"),
    "R14": ("shipmentId", "fnsku"),
    "R15": ("orderId", "sku"),
    "R16": ("fee",),
    "R17": ("orderId", "sku"),
    "R18": ("orderId", "sku"),
    "R19": ("fee",),
    "R20": ("fnsku", "referenceId"),
    "R21": ("key",),
}
"""The identifying fields of a claim in the generator."""

FOUND: Mapping[str, tuple[str, ...]] = {
    "R1": ("fnsku", "reference"),
    "R2": ("fnsku", "reference"),
    "R3": ("fnsku", "reference"),
    "R4": ("order", "sku"),
    "R5": ("order", "sku"),
    "R6": ("fnsku", "month"),
    "R7": ("sku", "charged"),
    "R8": ("shipment", "fnsku"),
    "R9": ("reversal", "fnsku"),
    "R10": ("reimbursement", "fnsku"),
    "R11": ("order", "fnsku"),
    "R12": ("order", "fnsku", "shipped"),
    "R13": ("order", "sku"),
    "R14": ("shipment", "fnsku"),
    "R15": ("order", "sku"),
    "R16": ("sku", "charged"),
    "R17": ("order", "sku"),
    "R18": ("order", "sku"),
    "R19": ("sku", "charged"),
    "R20": ("fnsku", "reference"),
    "R21": ("fnsku", "month"),
}
"""The identifying fields among the details of a found claim."""


def as_planted(claim: Mapping[str, Any]) -> str:
    sku, *_, charged = claim["key"].split("|")  # used for fees only: SKU, expected, charged
    fields = {**claim, "fee": f"{sku}|{charged}"}
    return _line(claim, "|".join(fields[name] for name in PLANTED[claim["rule"]]))


def as_found(claim: Mapping[str, Any]) -> str:
    return _line(claim, "|".join(claim["details"][name] for name in FOUND[claim["rule"]]))


def _line(claim: Mapping[str, Any], thing: str) -> str:
    amount = f"{claim['amount']} {claim['currency']}" if claim["amount"] else "unknown"
    days = f"{claim['opens']} to {claim['closes']}"
    return f"{claim['rule']} {thing}: {claim['units']}, {amount}, {days}, {claim['confidence']}"
