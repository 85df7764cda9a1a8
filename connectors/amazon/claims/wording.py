"""The words of a claim: its title, its summary, how it was valued, and the text to file it with."""

from collections.abc import Iterator, Mapping
from datetime import date

from connectors.amazon.claims.rule import Case, Rule
from connectors.amazon.claims.values import with_currency
from connectors.claims import ValuationStep

LABELS: Mapping[str, str] = {
    "fnsku": "FNSKU",
    "sku": "SKU",
    "order": "Order ID",
    "replacementOrder": "Replacement order ID",
    "shipment": "Shipment ID",
    "tracking": "Tracking number",
    "reference": "Reference ID",
    "reimbursement": "Reimbursement ID",
    "reversal": "Reversal ID",
}
"""The names of details as Seller Central shows them; other details are named after their keys."""
LEFT_OUT = frozenset({"from", "units", "unusableRows"})
"""Details that mean nothing to Amazon, or that the text states elsewhere."""


def title(rule: Rule, case: Case) -> str:
    names = {**case.details, "currency": case.value.currency or "", "units": units(case)}
    return rule.claim_title.format_map(names)


def summary(rule: Rule, case: Case, opens: date, closes: date) -> str:
    """A sentence on the event, its value, and the days on which it can be claimed."""
    worth = f"It is worth {_amount(case)}." if _amount(case) else "Its amount is not known."
    return (
        f"{title(rule, case)}; day of the {rule.counts_from}: {case.base}. {worth} "
        f"It can be claimed from {opens} to {closes}."
    )


def steps(case: Case) -> list[ValuationStep]:
    """How a unit was valued, and the amount for all units if it is known."""
    value = case.value
    if value.amount is None or not value.currency:
        return [ValuationStep(value.basis)]
    amount, _, currency = with_currency(value.amount, value.currency).partition(" ")
    last = f"For {'1 unit' if case.units == 1 else f'{case.units} units'}: {amount} {currency}."
    return [ValuationStep(value.basis), ValuationStep(last, amount, currency)]


def case_text(rule: Rule, case: Case) -> str:
    """The text to paste into Seller Central: the request, then the facts, one on each line."""
    lines = [
        f"Subject: Reimbursement request ({title(rule, case)})",
        "",
        f"Please review this case and reimburse it. {rule.sentence}",
        "",
        f"Day of the {rule.counts_from}: {case.base}",
        f"Units: {case.units}",
        *_facts(case.details),
    ]
    if amount := _amount(case):
        lines += [f"Amount: {amount}", f"Valuation: {case.value.basis}"]
    lines += [
        f"Records ({dataset}): {len(ids)}" for dataset, ids in sorted(case.evidence.items()) if ids
    ]
    return "\n".join([*lines, "", f"Policy: {rule.source}"])


def units(case: Case) -> str:
    return f"{case.units} {'unit' if case.units == 1 else 'units'} of {case.product}"


def _facts(details: Mapping[str, str]) -> Iterator[str]:
    for name, value in details.items():
        if value and name not in LEFT_OUT:
            yield f"{LABELS.get(name) or _words(name)}: {value}"


def _words(name: str) -> str:
    """`expiredUnits` as "Expired units"."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced[:1].upper() + spaced[1:]


def _amount(case: Case) -> str:
    """The amount with its currency; empty if it is unknown."""
    amount, currency = case.value.amount, case.value.currency
    return with_currency(amount, currency) if amount is not None and currency else ""
