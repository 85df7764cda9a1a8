"""The types of client.js name the fields of the contract."""

import re

import pytest

from service.api.pages import WEB
from tests.contract import DOCUMENT

TYPES = (WEB / "client.d.ts").read_text(encoding="utf-8")


def _fields(interface: str) -> set[str]:
    """The fields of an interface, with those that it inherits."""
    found = re.search(
        rf"^export interface {interface}(?: extends (\w+))? \{{\n(.*?)^\}}", TYPES, re.M | re.S
    )
    assert found, f"client.d.ts has no {interface}"
    inherited = _fields(found[1]) if found[1] else set()
    return inherited | set(re.findall(r"^  (\w+)\??:", found[2], re.M))


@pytest.mark.parametrize(
    ("interface", "schema"),
    [
        ("Sync", "SyncStatus"),
        ("SyncRow", "HistoryRow"),
        ("Dataset", "Dataset"),
        ("Warning", "Warning"),
        ("Started", "Started"),
        ("History", "History"),
    ],
)
def test_an_interface_has_the_fields_of_its_schema(interface: str, schema: str) -> None:
    assert _fields(interface) == set(DOCUMENT["components"]["schemas"][schema]["properties"])
