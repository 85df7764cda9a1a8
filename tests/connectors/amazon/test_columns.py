"""The columns of the datasets: each is found in Amazon's answers, and no column of a report is left
out."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.amazon.datasets import DATASETS
from connectors.amazon.reports.tables import key
from connectors.amazon_sandbox.reports import fees, goods, ledger, parcels, replacements, storage

FIXTURES = Path(__file__).parents[3] / "fixtures" / "amazon"
HEADERS = {
    "reimbursements": goods.REIMBURSEMENTS,
    "ledger": ledger.HEADER,
    "returns": goods.RETURNS,
    "removals": goods.REMOVALS,
    "removal_shipments": parcels.HEADER,
    "replacements": replacements.HEADER,
    "storage_fees": storage.HEADER,
    "stock": goods.STOCK,
    "fees": (*fees.AMERICAN, *fees.EUROPEAN, "snapshot-at", "marketplace-id"),
}
LEFT_OUT = {"estimatedfuturefeecurrentsellingonamazonfuturefulfillmentfees"}
"""A column whose header is a sentence."""


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_columns_with_names_of_their_own(name: str) -> None:
    columns = DATASETS[name].about.columns
    assert columns
    assert len({column.name for column in columns}) == len(columns)
    assert len({column.path for column in columns}) == len(columns)
    paths = {column.path for column in columns}
    for column in columns:
        assert column.name.isalnum() and column.name[0].islower() and column.label
        assert not column.currency or (column.kind == "money" and column.currency in paths)
        assert column.name not in ("id", "connectionId", "updatedAt", "data")


@pytest.mark.parametrize("name", HEADERS)
def test_the_columns_of_a_report_are_those_of_its_document(name: str) -> None:
    paths = {column.path for column in DATASETS[name].about.columns}
    assert paths == {key(title) for title in HEADERS[name]} - LEFT_OUT


@pytest.mark.parametrize(
    ("name", "lists", "lacking"),
    [
        ("orders", ("orders",), {"proceeds", "fulfillment"}),
        ("inventory", ("payload", "inventorySummaries"), {"inventoryDetails"}),
        ("transactions", ("payload", "transactions"), set()),
    ],
)
def test_the_columns_of_an_operation_are_in_its_answers(
    name: str, lists: tuple[str, ...], lacking: set[str]
) -> None:
    """But for `lacking`, which these answers were not asked for."""
    answer: Any = json.loads((FIXTURES / f"{name}.json").read_text())
    for field in lists:
        answer = answer[field]
    for column in DATASETS[name].about.columns:
        if column.path.partition(".")[0] not in lacking:
            assert any(_at(record, column.path) is not None for record in answer), column


def _at(record: Any, path: str) -> Any:
    for field in path.split("."):
        record = record.get(field) if isinstance(record, dict) else None
    return record
