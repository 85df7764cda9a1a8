"""Claims over HTTP: pages, totals, the download and the evidence; uploads of unit costs."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Claim, Findings
from service.store.claims import findings
from service.store.syncs import save
from tests.service.api.answers import problem
from tests.serving import Serving, User, read, serve

pytestmark = pytest.mark.anyio

TODAY = datetime.now(UTC).date()


def claim(number: int, **changes: object) -> Claim:
    fields: dict[str, object] = {
        "id": f"R1:X00{number}/=ä",
        "rule": "R1",
        "title": "Lost in the warehouse",
        "status": "claimable",
        "units": 1,
        "amount": "10.50",
        "currency": "USD",
        "opens": TODAY - timedelta(days=5),
        "closes": TODAY + timedelta(days=5),
        "confidence": "high",
        "valuation": "=your cost",
        "evidence": {"orders": ["orders-0000001", "orders-0000002"]},
    }
    return Claim(**{**fields, **changes})  # type: ignore[arg-type]


async def store_claims(service: Serving, user: User, *claims: Claim) -> None:
    """Store these claims as if a sync had detected them."""
    await user.connect()
    sync_id = await user.start()
    done = await user.until(sync_id)
    assert done["status"] == "complete"
    sync = await service.parts.registry.find(sync_id)
    assert sync is not None
    late = sync.staged(sync.stage, "later", sync.updated_at)
    statements = findings(late, Findings(claims, ran=("R1",)), sync.updated_at)
    assert await service.parts.store.write(save(late), *statements)


async def test_every_claim_is_on_exactly_one_page(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *(claim(number) for number in range(25)))
    ids, params = [], {"limit": "10"}
    while True:
        page = read(await ann.get("/api/recoveries", params=params))
        ids += [recovery["id"] for recovery in page["recoveries"]]
        if not page["nextCursor"]:
            break
        params["cursor"] = page["nextCursor"]
    assert len(ids) == len(set(ids)) == 25
    assert page["totals"] == [
        {
            "currency": "USD",
            "status": "claimable",
            "claims": 25,
            "unvalued": 0,
            "amount": "262.50",
        }
    ]


async def test_claims_are_filtered_by_status_rule_and_connection(service: Serving) -> None:
    ann = service.user()
    expired = claim(2, closes=TODAY - timedelta(days=1))
    await store_claims(service, ann, claim(1), expired, claim(3, rule="R2"))
    for params, count in (
        ({"status": "expired"}, 1),
        ({"status": "claimable"}, 2),
        ({"rule": "R2"}, 1),
        ({"connectionId": "conn_x"}, 0),
    ):
        page = read(await ann.get("/api/recoveries", params=params))
        assert len(page["recoveries"]) == count, params
    problem(await ann.get("/api/recoveries", params={"status": "lost"}), 422, "invalid")


async def test_one_claim_shows_the_records_that_prove_it(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, claim(1))
    listed = read(await ann.get("/api/recoveries"))["recoveries"][0]
    shown = read(await ann.get(f"/api/recoveries/{listed['id']}"))
    proof = shown["evidence"]["orders"]
    assert [record["id"] for record in proof] == ["orders-0000001", "orders-0000002"]
    assert proof[0]["data"]["number"] == 1
    bob = service.user("bob")
    problem(await bob.get(f"/api/recoveries/{listed['id']}"), 404, "not_found")
    assert read(await bob.get("/api/recoveries"))["recoveries"] == []


async def test_the_download_has_a_line_for_each_claim_and_contains_no_formula(
    service: Serving,
) -> None:
    ann = service.user()
    await store_claims(service, ann, *(claim(number) for number in range(3)))
    answer = await ann.get("/api/recoveries", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 3
    assert rows[0]["amount"] == "10.50"
    assert rows[0]["valuation"] == "'=your cost"


async def test_costs_are_uploaded_as_csv_and_each_invalid_line_is_named(service: Serving) -> None:
    ann = service.user()
    lines = ("SKU, cost, currency", "A-1,1.50,usd", "A-2,cheap,USD", ",1,USD")
    text = "\r\n".join((*lines, "A-3,2,Dollar", 'A-4,"3,25",EUR'))
    answer = await ann.http.put(
        "/api/costs", content=text.encode(), headers={"Content-Type": "text/csv"}
    )
    body = read(answer)
    assert (answer.status_code, body["accepted"], body["rejected"]) == (200, 2, 3)
    assert [error["line"] for error in body["errors"]] == [3, 4, 5]
    assert read(await ann.get("/api/costs"))["costs"] == [
        {"sku": "A-1", "cost": "1.50", "currency": "USD"},
        {"sku": "A-4", "cost": "3.25", "currency": "EUR"},
    ]


async def test_semicolons_and_empty_lines_are_accepted(service: Serving) -> None:
    ann = service.user()
    text = b"sku;cost;currency\n\nA-1;1,50;EUR\n\nA-2;x;EUR\n"
    headers = {"Content-Type": "text/csv"}
    body = read(await ann.http.put("/api/costs", content=text, headers=headers))
    assert (body["accepted"], [error["line"] for error in body["errors"]]) == (1, [5])


async def test_costs_are_uploaded_as_json(service: Serving) -> None:
    ann = service.user()
    good = {"sku": "A-1", "cost": "1.50", "currency": "USD"}
    answer = await ann.http.put("/api/costs", json=[good, good | {"sku": "A-2", "cost": "NaN"}])
    assert read(answer)["accepted"] == 1
    assert read(answer)["errors"][0]["sku"] == "A-2"
    problem(await ann.http.put("/api/costs", json={"sku": "A-1"}), 422, "invalid")
    problem(await ann.http.put("/api/costs", content=b"[{"), 400, "invalid_json")


async def test_a_file_of_costs_without_its_columns_changes_nothing(service: Serving) -> None:
    ann = service.user()
    headers = {"Content-Type": "text/csv"}
    for text in (b"sku;price\nA;1", b"", b"\xff\xfe\x00"):
        answer = await ann.http.put("/api/costs", content=text, headers=headers)
        problem(answer, 422, "invalid")
    assert read(await ann.get("/api/costs"))["costs"] == []


async def test_a_connector_without_a_consent_page_is_404(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        for path in ("demo/authorize", "nowhere/authorize"):
            problem(await ann.get(f"/api/connections/{path}"), 404, "not_found")
