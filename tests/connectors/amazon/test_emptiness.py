"""What reports without rows show, one after the other."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.amazon.emptiness import Emptiness

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
INTERVAL = timedelta(hours=4)


def report(hours: float, days: float = 300, *marketplaces: str) -> Emptiness:
    """A report without rows, made some hours after noon."""
    made_at = NOON + timedelta(hours=hours)
    since = made_at - timedelta(days=days)
    return Emptiness(made_at, made_at, str(hours), marketplaces or ("US",), since, made_at)


def after(*reports: Emptiness) -> Emptiness:
    known: Emptiness | None = None
    for made in reports:
        known = made.after(known, INTERVAL)
    assert known
    return known


def test_one_report_confirms_nothing() -> None:
    assert not after(report(0)).confirmed


@pytest.mark.parametrize(("hours", "confirmed"), [(1, False), (3.9, False), (4, True), (90, True)])
def test_a_second_report_confirms_the_first_if_it_was_made_after_the_interval(
    hours: float, confirmed: bool
) -> None:
    known = after(report(0), report(hours))
    assert (known.confirmed, known.first, known.report) == (confirmed, NOON, str(hours))


def test_the_interval_counts_from_the_first_of_several_reports() -> None:
    assert after(report(0), report(3), report(6)).confirmed


def test_the_same_report_read_again_changes_nothing() -> None:
    known = after(report(0), report(5))
    assert after(report(0), report(5), report(5), report(0)) == known


def test_a_report_of_a_later_day_confirms_although_its_span_is_some_hours_shorter() -> None:
    assert after(report(0, 301.6), report(14, 301)).confirmed


@pytest.mark.parametrize("less", [report(5, 3), report(5, 300, "CA")], ids=["days", "places"])
def test_a_report_of_less_confirms_nothing_and_replaces_nothing(less: Emptiness) -> None:
    whole = report(0, 300, "US", "CA")
    assert after(whole, less) == whole


@pytest.mark.parametrize("less", [report(0, 3), report(0, 300, "CA")], ids=["days", "places"])
def test_a_report_of_more_begins_anew(less: Emptiness) -> None:
    whole = report(5, 300, "US", "CA")
    assert after(less, whole) == whole
    assert after(less, whole, report(9, 300, "US", "CA")).confirmed


def test_a_report_of_other_marketplaces_begins_anew() -> None:
    assert after(report(0, 300, "US"), report(5, 300, "CA")) == report(5, 300, "CA")
