"""The result of a sync, compared with that of the same sync elsewhere."""

from collections import Counter
from typing import Any

import msgspec

from tests.serving import Json, User, read

COUNTERS = ("processed", "total", "created", "updated", "unchanged", "failed", "status")


class Result(msgspec.Struct, frozen=True):
    """The result of a sync, which must not depend on kills."""

    counters: dict[str, Any]
    records: dict[str, list[Any]]
    claims: list[Any]
    attempt: int
    status: str


async def result_of(user: User, sync_id: str) -> Result:
    """The result of an ended sync, and what its user then has."""
    status = await user.status(sync_id)
    names = [item["name"] for item in status["datasets"] if item["name"] != "claims"]
    return Result(
        counters={item["name"]: [item[c] for c in COUNTERS] for item in status["datasets"]},
        records={name: await _records(user, name) for name in names},
        claims=await _claims(user),
        attempt=status["attempt"],
        status=status["status"],
    )


async def _records(user: User, dataset: str) -> list[Any]:
    return sorted(_record(dataset, record) for record in await user.records(dataset))


def _record(dataset: str, record: Json) -> tuple[str, str]:
    """The id and data; of a fee preview, without the time when it was made."""
    record_id, data = record["id"], record["data"]
    if dataset == "fees":
        record_id, data = record_id.partition("/")[2], {**data, "snapshotat": ""}
    return record_id, msgspec.json.encode(data, order="deterministic").decode()


async def _claims(user: User) -> list[Any]:
    """The claims without their ids, which depend on the connection."""
    claims: list[Json] = []
    params: Json = {"limit": 100}
    while True:
        page = read(await user.get("/api/recoveries", params=params))
        claims += page["recoveries"]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    fields = ("rule", "title", "status", "units", "amount", "currency", "opens", "closes")
    return sorted(str([claim[name] for name in fields]) for claim in claims)


def differences(expected: Result, result: Result) -> list[str]:
    """The differences in a few words: a diff of thousands of records would be unreadable."""
    found = [
        f"{name}: {getattr(result, name)}, not {getattr(expected, name)}"
        for name in ("status", "attempt")
        if getattr(result, name) != getattr(expected, name)
    ]
    found += [
        f"counters of {name} {COUNTERS}: {result.counters.get(name)}, not {counters}"
        for name, counters in expected.counters.items()
        if result.counters.get(name) != counters
    ]
    pairs = {name: (expected.records[name], result.records[name]) for name in expected.records}
    pairs["claims"] = (expected.claims, result.claims)
    for name, (before, after) in pairs.items():
        lost, more = Counter(before) - Counter(after), Counter(after) - Counter(before)
        same = _read_the_other_way(lost, more) if name == "orders" else 0
        if lost.total() > same or more.total() > same:
            found.append(f"{name}: {lost.total() - same} lost, {more.total() - same} too many")
    return found


def _read_the_other_way(lost: Counter[Any], more: Counter[Any]) -> int:
    """How many orders of Amazon are the same, read by a report in one sync and by a search in the
    other: a sync searches the last two days, so this depends on when it began."""
    before, after = (
        {record_id: msgspec.json.decode(text) for record_id, text in some} for some in (lost, more)
    )
    return sum(
        ("source" in before[record_id]) != ("source" in after[record_id])
        and _stated(before[record_id]) == _stated(after[record_id])
        for record_id in before.keys() & after.keys()
    )


def _stated(order: Json) -> list[Any]:
    """What a report and a search both state of an order; a report states no quantity of a cancelled
    one."""
    status = order["fulfillment"]["fulfillmentStatus"]
    items = [
        (item["product"]["sellerSku"], status != "CANCELLED" and item["quantityOrdered"])
        for item in order["orderItems"]
    ]
    return [status, *sorted(items)]
