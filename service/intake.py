"""What a connector hands over, made fit to be kept: no connector has to think of it.

A record that cannot be stored, or could not be read again, becomes a failed record. Everything else
that is unfit (names, warnings, bookmarks, numbers) is repaired or left out and costs no record."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec
from anyio.lowlevel import checkpoint

from connectors.base import Account, Claim, Cursor, Findings, Page, Record

LONGEST_ID = 1_000
"""Characters of a record's id."""
LARGEST_DATA = 4 * 1024 * 1024
"""Bytes of a record's data."""
LONGEST_NAME = 1_000
LONGEST_TEXT = 2_000
"""Characters of a text for the user: a reason, a warning, the title of a claim."""
LONGEST_BOOKMARK = 1_000_000
"""Characters of a cursor, and of each value that a connector learned."""
MOST = 2**53
"""The largest number that every reader of JSON reads without a loss."""
A_TURN = 1024 * 1024
"""Bytes of records that are checked before others on the event loop get their turn."""

_DECODER = msgspec.json.Decoder()


def fit_text(text: str, most: int = LONGEST_TEXT) -> str:
    """U+0000 and unpaired surrogates as their escapes (\\x00, \\ud800); cut off after `most`
    characters."""
    if _fault_of(text):
        text = text[:most].replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text[:most]


def reason(error: Exception) -> str:
    """The text of an error, fit to be kept and shown."""
    return fit_text(str(error))


async def fit_page(page: Page, before: Cursor | None) -> Page:
    """The page as it can be kept. `before` is the cursor that the page was read from: it stands in
    for one that cannot be kept, so that a later attempt reads this page again."""
    return msgspec.structs.replace(
        page,
        records=await _fit_records(page.records),
        cursor=_fit_cursor(page.cursor, before),
        total=page.total if page.total is not None and 0 <= page.total <= MOST else None,
        share=None if page.share is None else min(fit_number(page.share) or 0.0, 1.0),
        seconds_left=fit_number(page.seconds_left),
        learned=_fit_learned(page.learned),
        warning=fit_text(page.warning),
        account=page.account and fit_text(page.account),
    )


def fit_number(number: float | None) -> float | None:
    """None for what is negative, infinite or not a number."""
    return number if number is not None and isfinite(number) and 0 <= number <= MOST else None


def fit_account(account: Account) -> Account:
    return msgspec.structs.replace(
        account,
        id=account.id and fit_text(account.id),
        name=fit_text(account.name, LONGEST_NAME),
        learned=_fit_learned(account.learned),
    )


def fit_settings(public: Mapping[str, Any]) -> dict[str, Any]:
    """Public settings with the texts in them repaired, none cut off."""
    return {name: _fit_value(value) for name, value in public.items()}


def _fit_value(value: Any) -> Any:
    if isinstance(value, str):
        return _whole(value)
    return [_fit_value(item) for item in value] if isinstance(value, list | tuple) else value


def fit_findings(found: Findings) -> Findings:
    """Every claim is kept; one whose amount is no number is a claim of an unknown amount."""
    return Findings(
        claims=[_fit_claim(each) for each in found.claims],
        ran=[fit_text(each) for each in found.ran],
        settled=[_whole(each) for each in found.settled],
        skipped={fit_text(rule): fit_text(why) for rule, why in found.skipped.items()},
    )


# Records ------------------------------------------------------------------------------------------


async def _fit_records(records: Sequence[Record]) -> Sequence[Record]:
    found, size = [], 0
    for record in records:
        found.append(_fit_record(record))
        size += len(record.data)
        if size > A_TURN:
            await checkpoint()
            size = 0
    return found


def _fit_record(record: Record) -> Record:
    """The record itself if it is fit. If not, and if its id is, it fails under its own id."""
    unnamed = _fault_of_id(record.id)
    why = record.error
    if why is None:
        why = unnamed or _fault_of_data(record.data) or _fault_of_time(record.at)
    name = fit_text(record.name, LONGEST_NAME)
    if why is None and name == record.name:
        return record
    if why is None:
        return msgspec.structs.replace(record, name=name)
    key = _stand_in(record) if unnamed else record.id
    return Record(key, b"{}", name, error=fit_text(why) or "The source gives no reason.")


def _stand_in(record: Record) -> str:
    """An id that can be kept, the same for the same id and data."""
    key = record.id.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(b"%d\n%s" % (len(key), key), digest_size=12)
    digest.update(record.data)
    return f"unreadable-{digest.hexdigest()}"


def _fault_of_id(key: str) -> str | None:
    if not key:
        return "Cannot be kept: its id is empty."
    if len(key) > LONGEST_ID:
        return f"Cannot be kept: its id has {len(key):,} characters, more than {LONGEST_ID:,}."
    if fault := _fault_of(key):
        return f"Cannot be kept: its id contains {fault}: {fit_text(key, 80)}"
    return None


def _fault_of_data(data: bytes) -> str | None:
    if len(data) > LARGEST_DATA:
        return f"Cannot be kept: its data has {len(data):,} bytes, more than {LARGEST_DATA:,}."
    try:
        _DECODER.decode(data)  # all of it: what nobody names must be readable too
    except (ValueError, RecursionError) as error:
        return f"Cannot be kept: its data is not valid JSON in UTF-8 ({error})."
    return None


def _fault_of_time(at: datetime | None) -> str | None:
    try:
        if at is not None and at.tzinfo is not None:
            at.astimezone(UTC)
    except (OverflowError, ValueError):
        return "Cannot be kept: its time is outside the years 1 to 9999 in UTC."
    return None


def _fault_of(text: str) -> str:
    """What no database, or no reader, takes in a text; empty if there is nothing."""
    if "\0" in text:
        return "U+0000"
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "an unpaired surrogate"
    return ""


# What comes with them -----------------------------------------------------------------------------


def _fit_cursor(cursor: Cursor | None, before: Cursor | None) -> Cursor | None:
    """An empty cursor is where a dataset begins; None would say that it has ended."""
    if cursor is None or _storable(cursor):
        return cursor
    return before or Cursor("")


def _fit_learned(learned: Mapping[str, str]) -> Mapping[str, str]:
    """Without what cannot be kept: the connector learns it once more."""
    return {k: v for k, v in learned.items() if _storable(k) and _storable(v)}


def _storable(text: str) -> bool:
    return len(text) <= LONGEST_BOOKMARK and not _fault_of(text)


def _fit_claim(claim: Claim) -> Claim:
    amount = claim.amount if claim.amount is None or _is_amount(claim.amount) else None
    text = claim.valuation
    if amount != claim.amount:
        text = f"Its amount cannot be kept: {claim.amount}"
    return msgspec.structs.replace(
        claim,
        id=_whole(claim.id),
        rule=fit_text(claim.rule),
        title=fit_text(claim.title),
        status=fit_text(claim.status),
        amount=amount,
        currency=claim.currency and fit_text(claim.currency),
        confidence=fit_text(claim.confidence),
        valuation=fit_text(text),
        evidence={fit_text(k): [fit_text(v) for v in vs] for k, vs in claim.evidence.items()},
        details={fit_text(k): fit_text(v) for k, v in claim.details.items()},
    )


def _is_amount(text: str) -> bool:
    try:
        return abs(Decimal(text)) * 100 < MOST
    except ArithmeticError:  # no number, NaN, or an exponent that is too large
        return False


def _whole(key: str) -> str:
    """An id is repaired, but never cut off: two of them must not become one."""
    return fit_text(key, len(key) * 10)
