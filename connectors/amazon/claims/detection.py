"""Detection: runs every rule that has its inputs, and turns its cases into claims."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from connectors.amazon.claims.facts import Facts
from connectors.amazon.claims.paying import paid_for
from connectors.amazon.claims.reading import read_facts
from connectors.amazon.claims.rule import LOW, Case, ClosedCase, Rule
from connectors.amazon.claims.rules import DEFAULT_WINDOWS, FEE_LIMITS, RULES
from connectors.amazon.claims.values import money
from connectors.amazon.claims.windows import Windows
from connectors.amazon.claims.wording import case_text, steps, summary, title
from connectors.amazon.emptiness import Emptiness, empty_key, read_emptiness
from connectors.amazon.settings import FeeLimit
from connectors.base import Records
from connectors.claims import Claim, ClosedReason, Findings, Paid

WAITING, CLAIMABLE, EXPIRED = "waiting", "claimable", "expired"
REMEMBERED = timedelta(days=41)
"""How long a loss is still claimed after its window has closed, so that a first sync reports it as
expired. Older losses use credits last: otherwise units that turn up today would offset them before
today's losses."""
LOSSES = tuple(rule.code for rule in RULES if rule.counts_from == "loss")


def find_claims(
    records: Records,
    as_of: datetime,
    windows: Windows = DEFAULT_WINDOWS,
    fee_limits: Mapping[str, FeeLimit] = FEE_LIMITS,
) -> Findings:
    """Find what Amazon owes, by every rule whose inputs are complete.

    An `as_of` without a time zone is UTC. The result depends only on the arguments."""
    today = (as_of.astimezone(UTC) if as_of.tzinfo else as_of).date()
    skipped = _skipped(records)
    rules = [rule for rule in RULES if rule.code not in skipped]
    datasets = {name for rule in rules for name in (*rule.inputs, *rule.optional)}
    oldest_loss = today - timedelta(days=windows.longest(LOSSES)) - REMEMBERED
    facts = read_facts(records, frozenset(datasets), today, oldest_loss, windows, fee_limits)
    empty = _empty(records)
    by_id = {payment.id: payment for payment in facts.payments}
    claims: list[Claim] = []
    settled: dict[str, Paid | None] = {}
    closed: dict[str, ClosedReason] = {}
    unpaid: list[str] = []
    for rule in rules:
        for case in sorted(rule.find(facts), key=lambda case: case.key):
            if isinstance(case, ClosedCase):
                closed[_id(rule, case)] = case.reason
                unpaid += [_id(rule, case)] if case.unpaid else []
            elif case.units > 0:
                claims.append(_claim(rule, case, facts, empty))
            else:
                settled[_id(rule, case)] = paid_for(case, by_id)
    return Findings(
        claims,
        ran=tuple(rule.code for rule in rules),
        settled=tuple(settled),
        skipped=skipped,
        closed=closed,
        unpaid=unpaid,
        payments={claim_id: paid for claim_id, paid in settled.items() if paid},
        searched_since={rule.code: oldest_loss for rule in rules if rule.code in LOSSES},
    )


def _skipped(records: Records) -> Mapping[str, str]:
    names = dict.fromkeys(name for rule in RULES for name in rule.inputs)
    incomplete = {name for name in names if not records.complete(name)}
    return {
        rule.code: f"Not completely read: {', '.join(missing)}."
        for rule in RULES
        if (missing := [name for name in rule.inputs if name in incomplete])
    }


def _empty(records: Records) -> Mapping[str, Emptiness]:
    """The input datasets of which Amazon's last report had no rows."""
    names = {name for rule in RULES for name in rule.inputs}
    known = {name: read_emptiness(records.learned, empty_key(name)) for name in names}
    return {name: emptiness for name, emptiness in known.items() if emptiness}


def _claim(rule: Rule, case: Case, facts: Facts, empty: Mapping[str, Emptiness]) -> Claim:
    days = facts.windows.of(rule.code, case.place)
    opens, closes = (case.base + timedelta(count) for count in (days.opens, days.closes))
    amount, currency = case.value.amount, case.value.currency
    return Claim(
        id=_id(rule, case),
        rule=rule.code,
        title=title(rule, case),
        status=_status(facts.today, opens, closes),
        units=case.units,
        amount=money(amount, currency) if amount is not None and currency else None,
        currency=currency if amount is not None and currency else None,
        opens=opens,
        closes=closes,
        confidence=LOW if case.low or _unconfirmed(rule, empty) else rule.confidence,
        valuation=case.value.basis,
        evidence=case.evidence,
        details={
            **case.details,
            **_unusable(rule, facts.unusable),
            **_empty_inputs(rule, empty),
        },
        happened_at=case.base,
        summary=summary(rule, case, opens, closes),
        case_text=case_text(rule, case),
        steps=steps(case),
    )


def _id(rule: Rule, case: Case | ClosedCase) -> str:
    return f"{rule.code}:{case.key}"


def _status(today: date, opens: date, closes: date) -> str:
    if today < opens:
        return WAITING
    return CLAIMABLE if today <= closes else EXPIRED


def _unconfirmed(rule: Rule, empty: Mapping[str, Emptiness]) -> bool:
    """Whether a claim of the rule relies on a dataset whose emptiness is not confirmed."""
    return any(name in empty and not empty[name].confirmed for name in rule.inputs)


def _empty_inputs(rule: Rule, empty: Mapping[str, Emptiness]) -> Mapping[str, str]:
    """The empty datasets on which a claim of the rule relies, for example if nothing was paid."""
    lines = [f"{name}: {empty[name].description}" for name in rule.inputs if name in empty]
    return {"emptyInputs": "; ".join(lines)} if lines else {}


def _unusable(rule: Rule, unusable: Mapping[str, int]) -> Mapping[str, str]:
    """The number of input rows that the rule could not use, which may have changed its result."""
    rows = [f"{name}: {unusable[name]}" for name in rule.inputs if unusable.get(name)]
    return {"unusableRows": ", ".join(rows)} if rows else {}
