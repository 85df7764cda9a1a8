"""The orders of claims: each is complete, and each page is read along one index."""

import sqlite3
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest

from service.store.claim_orders import ORDERS, STATUSES, position, reads
from service.store.migrations import migrate

pytestmark = pytest.mark.sqlite

TODAY = date(2026, 1, 15)
SOME: dict[str, dict[str, str]] = {
    "nothing": {},
    "status": {"status": "claimable"},
    "rule": {"rule": "R1"},
    "connection": {"connection_id": "conn_1", "rule": "R1"},
    "days": {"since": "2026-01-01", "until": "2026-02-01", "closes_before": "2026-03-01"},
    "text": {"q": "sku", "currency": "USD"},
}


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    migrate(f"sqlite:///{tmp_path / 'sync.db'}")
    return sqlite3.connect(tmp_path / "sync.db")


def last_of_page(order: str, status: str) -> tuple[str, str, str]:
    closes = TODAY + timedelta(days=1)
    return position(order, status, closes, 1050, "2026-01-15T12:00:00Z", "claim_1")


@pytest.mark.parametrize("filters", SOME.values(), ids=SOME)
def test_no_page_sorts_and_a_later_page_begins_where_the_last_one_ended(
    database: sqlite3.Connection, filters: dict[str, str]
) -> None:
    for order, status, late in product(ORDERS, STATUSES, (False, True)):
        after = last_of_page(order, status) if late else ()
        for number, (source, values) in enumerate(reads("ann", filters, TODAY, order, after)):
            sql = f"EXPLAIN QUERY PLAN SELECT id, body FROM {source} LIMIT 20"
            plan = [row[3] for row in database.execute(sql, values)]
            assert len(plan) == 1 and "TEMP B-TREE" not in plan[0], plan
            if late and number == 0 and "status" not in filters:
                column = {"closes": "closes", "amount": "hundredths", "found": "found_at"}[order]
                assert f"{column}=? AND id>?" in plan[0], plan
    database.close()


@pytest.mark.parametrize(
    "after",
    [("9", "x", "x"), ("-1", "x", "x"), ("x", "x", "x"), ("0", "ten", "x"), ("0", "9" * 30, "x")],
)
def test_a_position_of_no_claim_is_refused(after: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError):
        list(reads("ann", {}, TODAY, "amount", after))
