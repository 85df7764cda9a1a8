"""What a user is shown of reports without rows, and of reports that Amazon did not make."""

from collections.abc import Sequence
from datetime import timedelta

from connectors.amazon.marketplaces import COUNTRIES
from connectors.amazon.reports.bookmark import OrderedReport
from connectors.amazon.reports.documents import Part, ReportKind


def without_rows(part: Part, kind: ReportKind, order: OrderedReport, confirmed: bool) -> str:
    """A report that shows that there is no data."""
    named = f"{part.type} for {_countries(part)}" if kind.per_marketplace else part.type
    if order.empty:
        text = f"Amazon made no report {named}, because there is no data for it."
    else:
        text = f"Amazon's report {named} has no rows."
    if confirmed:
        return text
    return (
        f"{text} Claims that rest on this have low confidence until a later report, ordered when "
        "Amazon makes one again, says the same."
    )


def missing(parts: Sequence[Part], kind: ReportKind) -> str:
    """The marketplaces whose reports Amazon did not make."""
    minutes = (kind.interval or timedelta(0)) / timedelta(minutes=1)
    return (
        f"Amazon made no report {parts[0].type} for {', '.join(map(_countries, parts))}. It makes "
        f"one in {minutes:.0f} minutes, for all marketplaces together. What it contains is "
        "unknown; a later sync asks again."
    )


def unfinished(part: Part, after: timedelta, documentless: bool) -> str:
    """A report that does not arrive: unfinished, or finished without a document."""
    if documentless:
        return f"Amazon finished the report {part.type}, but names no document of it."
    minutes = after / timedelta(minutes=1)
    return f"Amazon did not finish the report {part.type} in {minutes:.0f} minutes."


def _countries(part: Part) -> str:
    return ", ".join(f"{COUNTRIES.get(id, '?')} ({id})" for id in part.marketplaces)
