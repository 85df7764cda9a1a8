"""Claims over HTTP: pages, totals, the download and the evidence; uploads of unit costs."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from connectors.claims import Claim, Findings
from service.store.syncs import save
from service.wire.paging import cursor
from tests.service.api.answers import fields, problem
from tests.service.store.stores import claim_statements
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

TODAY = datetime.now(UTC).date()


def claim(number: int, **changes: object) -> Claim:
    shape: dict[str, object] = {
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
        "details": {"number": str(number), "sku": f"SKU-{number}"},
        "happened_at": TODAY - timedelta(days=number),
        "evidence": {"orders": ["orders-0000001", "orders-0000002"]},
    }
    return Claim(**{**shape, **changes})  # type: ignore[arg-type]


async def store_claims(service: Serving, user: User, *claims: Claim) -> None:
    """Store these claims as if a sync had detected them."""
    await user.connect()
    sync_id = await user.start()
    done = await user.until(sync_id)
    assert done["status"] == "complete"
    sync = await service.parts.registry.find(sync_id)
    assert sync is not None
    late = sync.staged(sync.stage, "later", sync.updated_at)
    statements = claim_statements(late, Findings(claims, ran=("R1",)))
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


# Order, filters and sums --------------------------------------------------------------------------


async def every_page(user: User, **params: str) -> list[Json]:
    """All claims of a list, in small pages."""
    shown: list[Json] = []
    while True:
        page = read(await user.get("/api/recoveries", params={"limit": "3", **params}))
        shown += page["recoveries"]
        if not page["nextCursor"]:
            return shown
        params["cursor"] = page["nextCursor"]


def days(opens: int, closes: int) -> dict[str, date]:
    return {"opens": TODAY + timedelta(opens), "closes": TODAY + timedelta(closes)}


MIXED = (
    claim(1, amount="5.00", **days(-5, 20)),
    claim(2, amount=None, currency=None, **days(-5, 3)),
    claim(3, amount="50.00", **days(5, 40)),
    claim(4, amount="7.00", **days(-90, -2)),
    claim(5, amount="7.00", **days(-5, 3)),
    claim(6, amount="900", currency="JPY", **days(-5, 7), rule="R2"),
    claim(7, amount="1.00", **days(2, 9)),
)


def number_of(recovery: Json) -> int:
    return int(recovery["details"]["number"])


async def numbers(user: User, **params: str) -> list[int]:
    return [number_of(recovery) for recovery in await every_page(user, **params)]


async def test_claimable_claims_come_first_and_what_closes_soonest(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *MIXED)
    shown = await every_page(ann)
    assert [recovery["status"] for recovery in shown] == [
        *["claimable"] * 4,
        *["waiting"] * 2,
        "expired",
    ]
    assert {number_of(recovery) for recovery in shown[:2]} == {2, 5}
    assert [number_of(recovery) for recovery in shown[2:]] == [6, 1, 7, 3, 4]


async def test_claims_are_sorted_by_amount_or_by_when_they_were_found(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *MIXED)
    by_amount = await numbers(ann, sort="amount")
    assert by_amount[:2] == [6, 3] and set(by_amount[2:4]) == {4, 5}
    assert by_amount[4:] == [1, 7, 2], "unknown amounts come last"
    assert sorted(await numbers(ann, sort="found")) == [1, 2, 3, 4, 5, 6, 7]
    assert await numbers(ann, sort="amount", status="waiting") == [3, 7]


async def test_filters_choose_claims_and_their_totals(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *MIXED)
    for params, expected in (
        ({"currency": "JPY"}, {6}),
        ({"currency": "jpy"}, {6}),
        ({"q": " sku-3 "}, {3}),
        ({"q": "FNSKU-%"}, set()),
        ({"closesBefore": str(TODAY + timedelta(7))}, {2, 4, 5}),
        ({"from": str(TODAY - timedelta(3)), "to": str(TODAY - timedelta(1))}, {2, 3}),
        ({"from": f"{TODAY - timedelta(2)}T23:00:00Z", "status": "claimable"}, {1, 2}),
        ({"status": "closed"}, set()),
        ({"rule": "R2", "status": "claimable", "currency": "USD"}, set()),
    ):
        page = read(await ann.get("/api/recoveries", params={"limit": "100", **params}))
        assert {number_of(recovery) for recovery in page["recoveries"]} == expected, params
        assert sum(total["claims"] for total in page["totals"]) == len(expected), params


async def test_totals_name_what_closes_within_a_week_and_within_a_month(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *MIXED)
    page = read(await ann.get("/api/recoveries"))
    assert page["closing"] == [
        {"currency": None, "days": 7, "claims": 1, "unvalued": 1, "amount": None},
        {"currency": None, "days": 30, "claims": 1, "unvalued": 1, "amount": None},
        {"currency": "JPY", "days": 7, "claims": 1, "unvalued": 0, "amount": "900"},
        {"currency": "JPY", "days": 30, "claims": 1, "unvalued": 0, "amount": "900"},
        {"currency": "USD", "days": 7, "claims": 1, "unvalued": 0, "amount": "7.00"},
        {"currency": "USD", "days": 30, "claims": 2, "unvalued": 0, "amount": "12.00"},
    ]
    usd = read(await ann.get("/api/recoveries", params={"currency": "USD", "sort": "found"}))
    assert usd["closing"] == page["closing"][4:]


async def test_the_series_sums_claims_by_month_and_rule(service: Serving) -> None:
    ann = service.user()
    months = (
        ("2026-01-31", "R1"),
        ("2026-02-01", "R1"),
        ("2026-02-28", "R1"),
        ("2026-02-03", "R2"),
    )
    claims = [
        claim(number, happened_at=date.fromisoformat(day), rule=rule)
        for number, (day, rule) in enumerate(months)
    ]
    await store_claims(service, ann, *claims, claim(9, happened_at=None, amount=None))
    path = "/api/recoveries/series"
    points = read(await ann.get(path, params={"by": "month", "group": "rule"}))["series"]
    assert [tuple(point.values()) for point in points] == [
        (None, "R1", "USD", 1, 1, None),
        ("2026-01", "R1", "USD", 1, 0, "10.50"),
        ("2026-02", "R1", "USD", 2, 0, "21.00"),
        ("2026-02", "R2", "USD", 1, 0, "10.50"),
    ]
    assert read(await ann.get(path, params={"currency": "EUR"})) == {"series": []}
    (january,) = read(await ann.get(path, params={"to": "2026-02-01"}))["series"]
    assert january["month"] == "2026-01"


WRONG = (
    ("sort=price", "sort"),
    ("status=lost", "status"),
    ("currency=EURO", "currency"),
    ("currency=%C3%84BC", "currency"),
    ("closesBefore=soon", "closesBefore"),
    ("closesBefore=2026-02-30", "closesBefore"),
    ("from=2026-01-15T12:00:00", "from"),
    ("to=x", "to"),
    ("from=2026-02-01&to=2026-02-01", "to"),
    (f"q={'x' * 201}", "q"),
    ("order=closes", "order"),
    ("cursor=x", "cursor"),
)


async def test_an_invalid_parameter_is_named(service: Serving) -> None:
    ann = service.user()
    for query, field in WRONG:
        answer = await ann.get(f"/api/recoveries?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query
    for query, field in (
        *WRONG[1:9],
        ("by=day", "by"),
        ("group=sku", "group"),
        ("limit=3", "limit"),
    ):
        answer = await ann.get(f"/api/recoveries/series?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query


async def test_a_cursor_of_another_order_or_of_no_claim_is_refused(service: Serving) -> None:
    ann = service.user()
    await store_claims(service, ann, *MIXED)
    page = read(await ann.get("/api/recoveries", params={"limit": "1", "sort": "amount"}))
    keys = (
        ("9", "x", "x"),
        ("-1", "x", "x"),
        ("x", "x", "x"),
        ("0", "x", "x"),
        ("0", "9" * 20, "x"),
    )
    cursors = [page["nextCursor"].replace("=", "")]
    for sort in ("closes", "found"):
        answer = await ann.get("/api/recoveries", params={"sort": sort, "cursor": cursors[0]})
        problem(answer, 422, "invalid")
    for key in keys:
        forged = {"sort": "amount", "cursor": cursor("recoveries by amount", *key)}
        problem(await ann.get("/api/recoveries", params=forged), 422, "invalid")


# One claim, and the download ----------------------------------------------------------------------


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
    assert rows[0]["happenedAt"] and rows[0]["foundAt"] and rows[0]["caseText"]
    assert rows[0]["closedReason"] == rows[0]["paidAmount"] == ""


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
