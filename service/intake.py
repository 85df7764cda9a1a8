"""Validates and repairs everything that a connector returns, before it is stored.

A record that cannot be stored, or could not be read back, becomes a failed record. Anything else
that cannot be stored (names, warnings, cursors, numbers) is repaired or left out."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec
from anyio.lowlevel import checkpoint

from connectors.base import Account, Cursor, Page, Plan, QuotaReason, Record
from connectors.claims import Claim, Findings, Money, Paid, ValuationStep

#: The maximum length of a record's id, in characters.
LONGEST_ID = 1_000
#: The maximum size of a record's data, in bytes.
LARGEST_DATA = 4 * 1024 * 1024
#: The maximum length of a name, in characters.
LONGEST_NAME = 1_000
#: The maximum length of a text for the user (a reason, a warning, the title of a claim).
LONGEST_TEXT = 2_000
#: The maximum length of the text with which a claim is filed.
LONGEST_CASE_TEXT = 10_000
#: The maximum length of a cursor, and of each value that a connector learned.
LONGEST_CURSOR = 1_000_000
#: The largest number that every JSON parser reads exactly.
LARGEST_NUMBER = 2**53
#: The number of bytes of records to check before the event loop may run other tasks.
CHECKED_AT_ONCE = 1024 * 1024

_DECODER = msgspec.json.Decoder()
_CURRENCY = re.compile("[A-Z]{3}")


def fit_text(text: str, limit: int = LONGEST_TEXT) -> str:
    """At most `limit` characters, with U+0000 and unpaired surrogates replaced by their escapes
    (\\x00, \\ud800)."""
    if _bad_character(text):
        text = text[:limit].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text[:limit]


def fit_reason(why: str) -> str:
    """The reason of a pause, shortened and repaired like `fit_text`. A QuotaReason remains one."""
    text = fit_text(why)
    return QuotaReason(text, fit_text(why.operation)) if isinstance(why, QuotaReason) else text


def reason(error: Exception) -> str:
    """The text of an error, in a form that can be stored and shown."""
    return fit_text(str(error))


async def fit_page(page: Page, before: Cursor | None) -> Page:
    """The page as it can be stored. `before` is the cursor that the page was read from: it replaces
    a cursor that cannot be stored, so that a later attempt reads this page again."""
    return msgspec.structs.replace(
        page,
        records=await _fit_records(page.records),
        cursor=_fit_cursor(page.cursor, before),
        total=page.total if page.total is not None and 0 <= page.total <= LARGEST_NUMBER else None,
        share=None if page.share is None else min(fit_number(page.share) or 0.0, 1.0),
        seconds_left=fit_number(page.seconds_left),
        learned=_fit_learned(page.learned),
        warning=fit_text(page.warning),
        account=page.account and fit_text(page.account),
    )


def fit_number(number: float | None) -> float | None:
    """The number; None if it is negative, infinite, too large or NaN."""
    if number is None or not isfinite(number) or not 0 <= number <= LARGEST_NUMBER:
        return None
    return number


def fit_account(account: Account) -> Account:
    return msgspec.structs.replace(
        account,
        id=account.id and fit_text(account.id),
        name=fit_text(account.name, LONGEST_NAME),
        learned=_fit_learned(account.learned),
        authorised_until=_fit_moment(account.authorised_until),
    )


def _fit_moment(moment: datetime | None) -> datetime | None:
    """The time in UTC; None if it cannot be stored."""
    if moment is None or _problem_of_time(moment):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def seconds_of(plan: Plan) -> float | None:
    """The seconds that the slowest dataset of a plan takes; None if any of them is unknown. All
    datasets are read in parallel."""
    durations = [fit_number(way.seconds) for way in plan.values()]
    known = [seconds for seconds in durations if seconds is not None]
    return max(known) if known and len(known) == len(durations) else None


def calls_of(plan: Plan) -> int | None:
    """The calls of all datasets of a plan; None if the calls of any dataset are unknown."""
    counts = [fit_number(way.calls) for way in plan.values()]
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def fit_settings(public: Mapping[str, Any]) -> dict[str, Any]:
    """Public settings with repaired texts. No text is cut off."""
    return {name: _fit_value(value) for name, value in public.items()}


def _fit_value(value: Any) -> Any:
    if isinstance(value, str):
        return _fit_id(value)
    return [_fit_value(item) for item in value] if isinstance(value, list | tuple) else value


def fit_findings(findings: Findings) -> Findings:
    """Findings that can be stored. An amount that is not a number becomes unknown."""
    return Findings(
        claims=[_fit_claim(claim) for claim in findings.claims],
        ran=[fit_text(rule) for rule in findings.ran],
        settled=[_fit_id(claim_id) for claim_id in findings.settled],
        skipped={fit_text(rule): fit_text(why) for rule, why in findings.skipped.items()},
        closed={_fit_id(claim_id): reason for claim_id, reason in findings.closed.items()},
        unpaid=[_fit_id(claim_id) for claim_id in findings.unpaid],
        payments={
            _fit_id(claim_id): _fit_paid(paid) for claim_id, paid in findings.payments.items()
        },
        searched_since={fit_text(rule): day for rule, day in findings.searched_since.items()},
    )


# Records ------------------------------------------------------------------------------------------


async def _fit_records(records: Sequence[Record]) -> Sequence[Record]:
    checked, size = [], 0
    for record in records:
        checked.append(_fit_record(record))
        size += len(record.data)
        if size > CHECKED_AT_ONCE:
            await checkpoint()
            size = 0
    return checked


def _fit_record(record: Record) -> Record:
    """The record if it can be stored, else a failed record, with the same id if possible."""
    plain = _is_plain(record)
    id_problem = None if plain else _problem_of_id(record.id)
    why = record.error
    if why is None:
        why = id_problem or _problem_of_data(record.data)
    if plain and why is None:
        return record
    if why is None:
        why = _problem_of_time(record.at)
    name = fit_text(record.name, LONGEST_NAME)
    if why is None and name == record.name:
        return record
    if why is None:
        return msgspec.structs.replace(record, name=name)
    record_id = _replacement_id(record) if id_problem else record.id
    return Record(record_id, b"{}", name, error=fit_text(why) or "The source gives no reason.")


def _is_plain(record: Record) -> bool:
    """Whether the id, the name and the time can certainly be stored. The check is quick and true
    for almost all records. Other records may also be storable."""
    if not 0 < len(record.id) <= LONGEST_ID or len(record.name) > LONGEST_NAME:
        return False
    text, at = record.id + record.name, record.at
    return text.isascii() and "\0" not in text and (at is None or at.tzinfo is UTC)


def _replacement_id(record: Record) -> str:
    """A storable id, which is the same for the same id and data."""
    raw = record.id.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(b"%d\n%s" % (len(raw), raw), digest_size=12)
    digest.update(record.data)
    return f"unreadable-{digest.hexdigest()}"


def _problem_of_id(record_id: str) -> str | None:
    if not record_id:
        return "Cannot be stored: the id is empty."
    length = len(record_id)
    if length > LONGEST_ID:
        return f"Cannot be stored: the id has {length:,} characters, more than {LONGEST_ID:,}."
    if character := _bad_character(record_id):
        return f"Cannot be stored: the id contains {character}: {fit_text(record_id, 80)}"
    return None


def _problem_of_data(data: bytes) -> str | None:
    if len(data) > LARGEST_DATA:
        return f"Cannot be stored: the data has {len(data):,} bytes, more than {LARGEST_DATA:,}."
    try:
        _DECODER.decode(data)  # completely, since unused fields must also be valid
    except (ValueError, RecursionError) as error:
        return f"Cannot be stored: the data is not valid JSON in UTF-8 ({error})."
    return None


def _problem_of_time(at: datetime | None) -> str | None:
    try:
        if at is not None and at.tzinfo is not None:
            at.astimezone(UTC)
    except (OverflowError, ValueError):
        return "Cannot be stored: the time is outside the years 1 to 9999 in UTC."
    return None


def _bad_character(text: str) -> str:
    """The character in the text that databases or JSON parsers refuse; empty if there is none."""
    if "\0" in text:
        return "U+0000"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "an unpaired surrogate"
    return ""


# Cursors, learned values and claims ---------------------------------------------------------------


def _fit_cursor(cursor: Cursor | None, before: Cursor | None) -> Cursor | None:
    """Falls back to an empty cursor, the start of a dataset. None would mean its end."""
    if cursor is None or _storable(cursor):
        return cursor
    return before or Cursor("")


def _fit_learned(learned: Mapping[str, str]) -> Mapping[str, str]:
    """The learned values that can be stored. The connector learns the others again."""
    return {name: value for name, value in learned.items() if _storable(name) and _storable(value)}


def _storable(text: str) -> bool:
    return len(text) <= LONGEST_CURSOR and not _bad_character(text)


def _fit_claim(claim: Claim) -> Claim:
    """The claim, repaired if needed. A storable claim is not copied: there may be very many."""
    fit = _fit_copy(claim)
    return claim if fit == claim else fit


def _fit_copy(claim: Claim) -> Claim:
    amount = claim.amount if claim.amount is None or _is_amount(claim.amount) else None
    valuation = claim.valuation
    if amount != claim.amount:
        valuation = f"The amount cannot be stored: {claim.amount}"
    return msgspec.structs.replace(
        claim,
        id=_fit_id(claim.id),
        rule=fit_text(claim.rule),
        title=fit_text(claim.title),
        status=fit_text(claim.status),
        amount=amount,
        currency=claim.currency and fit_text(claim.currency),
        confidence=fit_text(claim.confidence),
        valuation=fit_text(valuation),
        evidence={
            fit_text(dataset): tuple(fit_text(record_id) for record_id in ids)
            for dataset, ids in claim.evidence.items()
        },
        details={fit_text(name): fit_text(value) for name, value in claim.details.items()},
        summary=fit_text(claim.summary),
        case_text=fit_text(claim.case_text, LONGEST_CASE_TEXT),
        steps=[] if amount != claim.amount else [_fit_step(step) for step in claim.steps],
    )


def _fit_step(step: ValuationStep) -> ValuationStep:
    amount = step.amount if step.amount is None or _is_amount(step.amount) else None
    return ValuationStep(fit_text(step.text), amount, step.currency and fit_text(step.currency))


def _fit_paid(paid: Paid) -> Paid:
    return msgspec.structs.replace(
        paid,
        amount=paid.amount if paid.amount is None or _is_amount(paid.amount) else None,
        currency=paid.currency and fit_text(paid.currency),
        reimbursement_id=paid.reimbursement_id and fit_text(paid.reimbursement_id),
    )


def fit_money(money: Money | None) -> Money | None:
    """The money; None if the amount is not a number, or the currency is not three capital
    letters."""
    if money is None or not _is_amount(money.amount):
        return None
    return money if _CURRENCY.fullmatch(money.currency) else None


def _is_amount(text: str) -> bool:
    try:
        return abs(Decimal(text)) * 100 < LARGEST_NUMBER
    except ArithmeticError:  # not a number, NaN, or an exponent that is too large
        return False


def _fit_id(claim_id: str) -> str:
    """Repair an id without cutting it off: two ids must not become one."""
    return fit_text(claim_id, len(claim_id) * 10)
