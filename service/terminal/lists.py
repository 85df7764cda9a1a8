"""Prints lists of the service, as a table or as one JSON object per line."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote

from service.terminal.client import Client, Json

ROWS_AT_ONCE = 100
"""Rows that are aligned with each other: a whole list may not fit into memory."""
LONGEST_CELL = 60

Row = Callable[[Json], Sequence[object]]


def connections(client: Client, as_json: bool) -> None:
    """Print the user's connections."""
    found = client.objects("/api/connections", "connections")["connections"]
    _print(
        found, as_json, ("ID", "NAME", "CONNECTOR", "STATUS", "RECORDS", "LAST SYNC"), _connection
    )


def history(client: Client, as_json: bool, most: int, filters: Mapping[str, object]) -> None:
    """Print syncs, the newest first."""
    found = client.pages("/api/sync/history", "syncs", filters, most)
    heads = ("ID", "STATUS", "STARTED", "ENDED", "RECORDS", "CLAIMS", "MESSAGE")
    _print(found, as_json, heads, _sync)


def recoveries(client: Client, as_json: bool, most: int, filters: Mapping[str, object]) -> None:
    """Print claims, the claimable ones first, and their total value."""
    found = client.pages("/api/recoveries", "recoveries", filters, most)
    heads = ("ID", "RULE", "STATUS", "UNITS", "AMOUNT", "CLOSES", "TITLE")
    _print(found, as_json, heads, _claim)
    if not as_json:
        for total in client.get("/api/recoveries", {**filters, "limit": 1})["totals"]:
            amount = _money(total["amount"], total["currency"])
            print(f"{total['status']}: {amount} in {total['claims']:,} claims")


def records(
    client: Client, as_json: bool, most: int, dataset: str, filters: Mapping[str, object]
) -> None:
    """Print stored records of a dataset, in the order of their connections and ids."""
    path = f"/api/data/{quote(dataset, safe='')}"
    found = client.pages(path, "records", filters, most)
    _print(found, as_json, ("ID", "CONNECTION", "CHANGED", "DATA"), _record)


def _connection(connection: Json) -> Sequence[object]:
    last = connection["lastSync"]
    ended = f"{last['status']} {_time(last['completedAt'])}".strip() if last else ""
    return (
        *(connection["id"], connection["name"], connection["connector"], connection["status"]),
        *(connection["records"], ended),
    )


def _sync(sync: Json) -> Sequence[object]:
    return (
        *(sync["syncId"], sync["status"], _time(sync["startedAt"]), _time(sync["completedAt"])),
        *(sync["recordsProcessed"], sync["claimsDetected"], sync["message"]),
    )


def _claim(claim: Json) -> Sequence[object]:
    amount = _money(claim["amount"], claim["currency"])
    return (
        *(claim["id"], claim["rule"], claim["status"], claim["units"], amount, claim["closes"]),
        claim["title"],
    )


def _record(record: Json) -> Sequence[object]:
    data = json.dumps(record["data"], ensure_ascii=False)
    return record["id"], record["connectionId"], _time(record["updatedAt"]), data


def _print(found: Iterable[Json], as_json: bool, heads: Sequence[str], row: Row) -> None:
    """Print objects as lines of JSON, or as a table whose columns are aligned."""
    remaining = iter(found)
    if as_json:
        for each in remaining:
            print(json.dumps(each, ensure_ascii=False))
        return
    heading: Sequence[Sequence[str]] = [heads]
    while part := list(islice(remaining, ROWS_AT_ONCE)):
        rows = [*heading, *([_cell(value) for value in row(each)] for each in part)]
        heading = []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for cells in rows:
            aligned = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            print("  ".join(aligned).rstrip())
    if heading:
        print("Nothing found.")


def _cell(value: Any) -> str:
    """A value in a column. An unknown value is a word, never 0; control characters are not
    printed."""
    if value is None:
        return "unknown"
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _time(moment: str | None) -> str:
    """A time without its fraction of a second."""
    return f"{moment[:19]}Z" if moment else ""


def _money(amount: str | None, currency: str | None) -> str:
    return f"{amount} {currency}" if amount else "unknown"
