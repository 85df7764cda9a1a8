"""Texts for users about reports without rows, and about reports that Amazon did not make."""

from collections.abc import Sequence
from datetime import timedelta

from connectors.amazon.marketplaces import COUNTRIES
from connectors.amazon.reports.bookmark import OrderedReport
from connectors.amazon.reports.documents import Part, ReportKind


def without_rows(part: Part, kind: ReportKind, order: OrderedReport, confirmed: bool) -> str:
    """The text for a report that shows that no data exists."""
    named = f"{part.type} for {_countries(part)}" if kind.per_marketplace else part.type
    if order.empty:
        text = f"Amazon created no report {named}, because there is no data for it."
    else:
        text = f"Amazon's report {named} has no rows."
    if confirmed:
        return text
    return (
        f"{text} Claims that rely on this have low confidence until a later report, requested "
        "when Amazon makes one again, confirms it."
    )


def missing(parts: Sequence[Part], kind: ReportKind) -> str:
    """The text that names the marketplaces whose reports Amazon did not make."""
    minutes = (kind.interval or timedelta(0)) / timedelta(minutes=1)
    return (
        f"Amazon created no report {parts[0].type} for "
        f"{', '.join(map(_countries, parts))}. It creates at most one in {minutes:.0f} minutes, "
        "for all marketplaces together. Its contents are unknown; a later sync tries again."
    )


def unfinished(part: Part, after: timedelta, documentless: bool) -> str:
    """The text for a report that does not arrive: unfinished, or finished without a document."""
    if documentless:
        return f"Amazon finished the report {part.type}, but returned no document for it."
    minutes = after / timedelta(minutes=1)
    return f"Amazon did not finish the report {part.type} in {minutes:.0f} minutes."


def _countries(part: Part) -> str:
    return ", ".join(f"{COUNTRIES.get(id, '?')} ({id})" for id in part.marketplaces)
