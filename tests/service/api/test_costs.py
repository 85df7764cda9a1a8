"""Unit costs: every file is accepted, or refused with the invalid line and the reason."""

import csv
import io

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.costs import read_costs
from service.errors import Invalid
from tests.cases import each
from tests.service.api.answers import problem
from tests.serving import Json, Serving, User, read

pytestmark = pytest.mark.anyio

HEAD = "sku,cost,currency"
GOOD = {"sku": "A-1", "cost": "1.50", "currency": "USD"}


async def put(user: User, body: bytes | str, kind: str = "text/csv") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return await user.http.put("/api/costs", content=content, headers={"Content-Type": kind})


async def stored_costs(user: User) -> list[Json]:
    costs: list[Json] = []
    params: Json = {"limit": 1000}
    while True:
        page = read(await user.get("/api/costs", params=params))
        costs += page["costs"]
        if page["nextCursor"] is None:
            return costs
        params["cursor"] = page["nextCursor"]


VALID = {
    "LF": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR\n".encode(),
    "CRLF": f"{HEAD}\r\nA-1,1.50,USD\r\nA-2,2,EUR\r\n".encode(),
    "CR": f"{HEAD}\rA-1,1.50,USD\rA-2,2,EUR\r".encode(),
    "no final line break": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "BOM": f"\ufeff{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "two BOMs": f"\ufeff\ufeff{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "UTF-16": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode("utf-16"),
    "UTF-16 big": b"\xfe\xff" + f"{HEAD}\r\nA-1,1.50,USD\r\nA-2,2,EUR".encode("utf-16-be"),
    "semicolons": b"sku;cost;currency\nA-1;1,50;USD\nA-2;2;EUR\n",
    "tabs": b"sku\tcost\tcurrency\nA-1\t1.50\tUSD\nA-2\t2\tEUR\n",
    "sep": b"sep=;\r\nsku;cost;currency\r\nA-1;1,50;USD\r\nA-2;2;EUR\r\n",
    "quotes": b'"sku","cost","currency"\n"A-1","1.50","USD"\n"A-2","2","EUR"\n',
    "another order of columns": b"Currency , COST, note,SKU\nusd,1.50,,A-1\neur,2,x,A-2\n",
    "empty lines": b"\n\nsku,cost,currency\n\nA-1,1.50,USD\n,,\nA-2,2,EUR\n\n",
    "empty cells at the end": b"sku,cost,currency,,\nA-1,1.50,USD,,\nA-2,2,EUR,,\n",
    "a duplicate line": b"sku,cost,currency\nA-1,1.50,USD\nA-2,2,EUR\nA-1,1.50,USD\n",
}


@each("name", VALID)
async def test_valid_files_are_accepted(service: Serving, name: str) -> None:
    ann = service.user()
    answer = await put(ann, VALID[name])
    assert answer.status_code == 200, answer.text
    assert read(answer)["rejected"] == 0
    assert await stored_costs(ann) == [GOOD, {"sku": "A-2", "cost": "2", "currency": "EUR"}]


MALFORMED = {
    "CR in a cell": (f"{HEAD}\nA-1,1,USD\nA\r2,2,USD\n".encode(), 3),
    "CR in quotes": (f'{HEAD}\nA-1,1,USD\n"A\r2",2,USD\n'.encode(), 3),
    "LF in quotes": (f'{HEAD}\nA-1,1,USD\n"A\n2",2,USD\n'.encode(), 3),
    "a long cell": (f"{HEAD}\nA-1,1,USD\n{'x' * 140_000},2,USD\n".encode(), 3),
    "a long cell in quotes": (f'{HEAD}\nA-1,1,USD\n"{"x" * 140_000}",2,USD\n'.encode(), 3),
    "a long cell in another column": (f"{HEAD},note\nA-1,1,USD,{'x' * 140_000}\n".encode(), 2),
    "an unclosed quote": (f'{HEAD}\nA-1,1,USD\n"A-2,2,USD\nA-3,3,USD\n'.encode(), 3),
    "text after a quote": (f'{HEAD}\nA-1,1,USD\n"A"-2,2,USD\n'.encode(), 3),
    "NUL": (f"{HEAD}\nA-1,1,USD\nA\0-2,2,USD\n".encode(), 3),
    "NUL in the header": (f"sku\0,cost,currency\n{HEAD}\n".encode(), 1),
    "a control character": (f"{HEAD}\nA-1,1,USD\nA\x1b[2J,2,USD\n".encode(), 3),
    "UTF-16 without a BOM": (f"{HEAD}\nA-1,1,USD\n".encode("utf-16-le"), 1),
    "Latin 1": (f"{HEAD}\nA-1,1,USD\nGr\xf6\xdfe,2,USD\n".encode("latin-1"), 3),
    "a duplicate column": (b"sku,sku,cost,currency\nA,B,1,USD\n", 1),
    "no header": (b"A-1,1,USD\n", 1),
    "an empty file": (b"", 1),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1),
}


@each("name", MALFORMED)
async def test_a_malformed_file_is_refused_and_the_line_is_named(
    service: Serving, name: str
) -> None:
    ann = service.user()
    body, line = MALFORMED[name]
    refused = problem(await put(ann, body), 422, "invalid")
    assert [error["field"] for error in refused["errors"]][:1] == [f"line {line}"], refused
    assert len(str(refused)) < 2000
    assert await stored_costs(ann) == [], "nothing was changed"


WRONG = (
    *(
        "A-2,cheap,USD",
        "A-2,-1,USD",
        "A-2,,USD",
        "A-2,1e3,USD",
        "A-2,NaN,USD",
        "A-2,1000000000,USD",
    ),
    *("A-2,2,Dollar", "A-2,2,", "A-2,2", ",2,USD", f"{'x' * 201},2,USD", "A-2,1,234,JPY"),
    *('A-2,"1,234",USD', "A-2,1.234,EUR", 'A-2,"1,23,4",USD', 'A-2,"1.234.56",EUR', "A-1,3,USD"),
    *(
        "A-2,\u0661\u0662,USD",
        f"A-2,{'1' * 300},USD",
        'A-2,"1,234",KWD',
        "A-2,1..2,USD",
        "A-2,.,USD",
    ),
)


@each("line", WRONG)
async def test_an_invalid_line_is_named_and_the_others_are_accepted(
    service: Serving, line: str
) -> None:
    ann = service.user()
    result = read(await put(ann, f"{HEAD}\nA-1,1.50,USD\n{line}\n"))
    assert (result["accepted"], result["rejected"]) == (1, 1)
    assert result["errors"][0]["line"] == 3 and len(result["errors"][0]["message"]) < 300
    assert await stored_costs(ann) == [GOOD]


@each("line", WRONG)
async def test_a_file_without_a_valid_line_is_refused(service: Serving, line: str) -> None:
    ann = service.user()
    if line.startswith("A-1"):
        return
    error = problem(await put(ann, f"{HEAD}\n{line}\n"), 422, "invalid")
    assert error["errors"][0]["field"] == "line 2"


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_accepted_or_refused(body: bytes) -> None:
    for raw in (body, f"{HEAD}\nA-1,1,USD\n".encode() + body):
        try:
            parsed = read_costs(raw)
        except Invalid as error:
            assert error.errors[0]["field"].startswith("line ")
        else:
            assert len(parsed.values) <= parsed.accepted


# JSON ----------------------------------------------------------------------------------------


async def test_in_json_a_point_is_always_the_decimal_point(service: Serving) -> None:
    ann = service.user()
    answer = await ann.http.put("/api/costs", json=[GOOD | {"cost": "1.234"}])
    assert read(answer)["accepted"] == 1
    assert await stored_costs(ann) == [GOOD | {"cost": "1.234"}]


async def test_costs_in_json_are_validated_like_csv(service: Serving) -> None:
    ann = service.user()
    wrong = (
        *({"sku": "A\0B"}, {"sku": ""}, {"sku": "x" * 201}, {"cost": "1,234"}, {"cost": "1e3"}),
        *({"currency": "X"}, {"sku": "A\nB"}, {"cost": ""}, {"sku": "A-1", "cost": "2"}),
    )
    body = [GOOD, *({**GOOD, "sku": "B", **fields} for fields in wrong)]
    result = read(await ann.http.put("/api/costs", json=body))
    assert (result["accepted"], result["rejected"]) == (1, len(wrong))
    assert [error["line"] for error in result["errors"]] == list(range(2, 2 + len(wrong)))
    raw = b'[{"sku":"A\\ud800","cost":"1","currency":"USD"}]'
    assert (await put(ann, raw, "application/json")).status_code in (400, 422)
    assert await stored_costs(ann) == [GOOD]


# Limits --------------------------------------------------------------------------------------


def lines(first: int, count: int) -> str:
    return "sku,cost,currency\n" + "".join(f"{n:x},1,USD\n" for n in range(first, first + count))


async def test_a_file_with_too_many_lines_is_refused_as_a_whole(service: Serving) -> None:
    ann = service.user()
    body = "sku,cost,currency\n" + "A,1,USD\n" * 100_007
    error = problem(await put(ann, body), 422, "invalid")
    assert error["errors"][0]["field"] == "line 100002"
    assert "100,000" in error["detail"] and "7" in error["errors"][0]["message"]
    assert await stored_costs(ann) == []


async def test_a_user_has_at_most_a_hundred_thousand_costs(service: Serving) -> None:
    ann, bob = service.user(), service.user("bob")
    for first in range(0, 100_000, 50_000):
        assert read(await put(ann, lines(first, 50_000)))["accepted"] == 50_000
    error = problem(await put(ann, lines(99_999, 2)), 422, "invalid")
    assert "100,000" in error["detail"]
    changed = (await put(ann, "sku,cost,currency\n0,2,EUR\n")).json()
    assert changed["accepted"] == 1, "stored costs can still be changed"
    assert read(await put(bob, lines(0, 3)))["accepted"] == 3
    last = read(await ann.get("/api/costs", params={"limit": 1}))["costs"]
    assert last == [{"sku": "0", "cost": "2", "currency": "EUR"}]


async def test_invalid_lines_beyond_the_first_thousand_are_counted(service: Serving) -> None:
    ann = service.user()
    bad = "x,cheap,USD\n" * 1500
    result = read(await put(ann, f"{HEAD}\nA-1,1,USD\n{bad}"))
    assert (result["rejected"], len(result["errors"])) == (1500, 1000)
    refused = problem(await put(ann, f"{HEAD}\n{bad}"), 422, "invalid")
    assert len(refused["errors"]) == 1000 and "500 more" in refused["detail"]


# Reading -------------------------------------------------------------------------------------


async def test_every_cost_is_on_exactly_one_page(service: Serving) -> None:
    ann = service.user()
    await put(ann, lines(1, 250))
    costs, params = [], {"limit": "100"}
    while True:
        page = read(await ann.get("/api/costs", params=params))
        costs += page["costs"]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    assert len({cost["sku"] for cost in costs}) == len(costs) == 250
    for params in ({"limit": "0"}, {"limit": "1001"}, {"cursor": "x"}, {"page": "2"}):
        problem(await ann.get("/api/costs", params=params), 422, "invalid")
    assert await stored_costs(service.user("bob")) == []


SKUS = ("=1+1", "'=1+1", "''-2", "-5", "-2+3", "+A", "@A", "A;=1", 'A"B', "Ä ö", " =1", "\uff1d1")


async def test_a_download_can_be_uploaded_unchanged_and_contains_no_formula(
    service: Serving,
) -> None:
    ann, bob = service.user(), service.user("bob")
    costs = [{"sku": sku.strip(), "cost": "1.234", "currency": "USD"} for sku in set(SKUS)]
    costs = list({cost["sku"]: cost for cost in costs}.values())
    assert read(await ann.http.put("/api/costs", json=costs))["accepted"] == len(costs)
    answer = await ann.get("/api/costs", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0] == ["sku", "cost", "currency"] and len(rows) == 1 + len(costs)
    assert not [
        cell for row in rows for cell in row if cell[0] in "=+@\t\r\uff1d" or cell == "-2+3"
    ]
    assert read(await put(bob, answer.content))["rejected"] == 0
    assert {cost["sku"]: float(cost["cost"]) for cost in await stored_costs(bob)} == {
        cost["sku"]: 1.234 for cost in costs
    }
