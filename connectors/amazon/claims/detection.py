"""From what was read to claims: run the rules that can run, and say how each case stands."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from connectors.amazon.claims.books import Books
from connectors.amazon.claims.cases import LOW, Case, Rule
from connectors.amazon.claims.reading import read_books
from connectors.amazon.claims.rules import RULES
from connectors.amazon.claims.values import money
from connectors.amazon.claims.windows import DEFAULT, Windows
from connectors.base import Claim, Findings, Records

WAITING, CLAIMABLE, EXPIRED = "waiting", "claimable", "expired"


def find_claims(records: Records, as_of: datetime, windows: Windows = DEFAULT) -> Findings:
    """What Amazon owes, by every rule that has all its inputs. Pure: the same in, the same out."""
    today = (as_of.astimezone(UTC) if as_of.tzinfo else as_of).date()
    skipped = _skipped(records)
    rules = [rule for rule in RULES if rule.code not in skipped]
    wanted = {name for rule in rules for name in (*rule.inputs, *rule.also)}
    books = read_books(records, frozenset(wanted), today, windows)
    claims, settled = [], []
    for rule in rules:
        for case in sorted(rule.find(books), key=lambda each: each.key):
            if case.units > 0:
                claims.append(_claim(rule, case, books))
            else:
                settled.append(_id(rule, case))
    return Findings(claims, tuple(rule.code for rule in rules), tuple(settled), skipped)


def _skipped(records: Records) -> Mapping[str, str]:
    names = dict.fromkeys(name for rule in RULES for name in rule.inputs)
    missing = {name for name in names if not records.complete(name)}
    return {
        rule.code: f"Needs {', '.join(lacks)}, of which not all was read."
        for rule in RULES
        if (lacks := [name for name in rule.inputs if name in missing])
    }


def _claim(rule: Rule, case: Case, books: Books) -> Claim:
    days = books.windows.of(rule.code, case.place)
    opens, closes = (case.base + timedelta(count) for count in (days.opens, days.closes))
    known = case.value.amount is not None and bool(case.value.currency)
    return Claim(
        id=_id(rule, case),
        rule=rule.code,
        title=case.title,
        status=_status(books.today, opens, closes),
        units=case.units,
        amount=money(case.value.amount) if known and case.value.amount is not None else None,
        currency=case.value.currency if known else None,
        opens=opens,
        closes=closes,
        confidence=LOW if case.low else rule.confidence,
        valuation=case.value.words,
        evidence=case.evidence,
        details={**case.details, **_doubts(rule, books.unusable)},
    )


def _id(rule: Rule, case: Case) -> str:
    return f"{rule.code}:{case.key}"


def _status(today: date, opens: date, closes: date) -> str:
    if today < opens:
        return WAITING
    return CLAIMABLE if today <= closes else EXPIRED


def _doubts(rule: Rule, unusable: Mapping[str, int]) -> Mapping[str, str]:
    """How many rows of its inputs a rule could not use: they may have changed what it found."""
    rows = [f"{name}: {unusable[name]}" for name in rule.inputs if unusable.get(name)]
    return {"unusableRows": ", ".join(rows)} if rows else {}
