"""Costs of goods: every file is understood, or refused with the line that is wrong and why."""

import csv
import io
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.costs import read_costs
from service.errors import Invalid
from service.wire.amounts import amount
from tests.service.api.answers import problem
from tests.serving import Json, Serving, User, read

pytestmark = pytest.mark.anyio

HEAD = "sku,cost,currency"
GOOD = {"sku": "A-1", "cost": "1.50", "currency": "USD"}


async def put(user: User, body: bytes | str, kind: str = "text/csv") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return await user.http.put("/api/costs", content=content, headers={"Content-Type": kind})


async def kept(user: User) -> list[Json]:
    found: list[Json] = []
    params: Json = {"limit": 1000}
    while True:
        page = read(await user.get("/api/costs", params=params))
        found += page["costs"]
        if page["nextCursor"] is None:
            return found
        params["cursor"] = page["nextCursor"]


UNDERSTOOD = {
    "LF": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR\n".encode(),
    "CRLF": f"{HEAD}\r\nA-1,1.50,USD\r\nA-2,2,EUR\r\n".encode(),
    "CR": f"{HEAD}\rA-1,1.50,USD\rA-2,2,EUR\r".encode(),
    "no end": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "BOM": f"\ufeff{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "two BOMs": f"\ufeff\ufeff{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode(),
    "UTF-16": f"{HEAD}\nA-1,1.50,USD\nA-2,2,EUR".encode("utf-16"),
    "UTF-16 big": b"\xfe\xff" + f"{HEAD}\r\nA-1,1.50,USD\r\nA-2,2,EUR".encode("utf-16-be"),
    "semicolons": b"sku;cost;currency\nA-1;1,50;USD\nA-2;2;EUR\n",
    "tabs": b"sku\tcost\tcurrency\nA-1\t1.50\tUSD\nA-2\t2\tEUR\n",
    "sep": b"sep=;\r\nsku;cost;currency\r\nA-1;1,50;USD\r\nA-2;2;EUR\r\n",
    "quotes": b'"sku","cost","currency"\n"A-1","1.50","USD"\n"A-2","2","EUR"\n',
    "order": b"Currency , COST, note,SKU\nusd,1.50,,A-1\neur,2,x,A-2\n",
    "empty lines": b"\n\nsku,cost,currency\n\nA-1,1.50,USD\n,,\nA-2,2,EUR\n\n",
    "empty cells at the end": b"sku,cost,currency,,\nA-1,1.50,USD,,\nA-2,2,EUR,,\n",
    "the same twice": b"sku,cost,currency\nA-1,1.50,USD\nA-2,2,EUR\nA-1,1.50,USD\n",
}


@pytest.mark.parametrize("name", UNDERSTOOD)
async def test_these_files_are_understood(service: Serving, name: str) -> None:
    ann = service.user()
    answer = await put(ann, UNDERSTOOD[name])
    assert answer.status_code == 200, answer.text
    assert read(answer)["rejected"] == 0
    assert await kept(ann) == [GOOD, {"sku": "A-2", "cost": "2", "currency": "EUR"}]


MALFORMED = {
    "CR in a cell": (f"{HEAD}\nA-1,1,USD\nA\r2,2,USD\n".encode(), 3),
    "CR in quotes": (f'{HEAD}\nA-1,1,USD\n"A\r2",2,USD\n'.encode(), 3),
    "LF in quotes": (f'{HEAD}\nA-1,1,USD\n"A\n2",2,USD\n'.encode(), 3),
    "a long cell": (f"{HEAD}\nA-1,1,USD\n{'x' * 140_000},2,USD\n".encode(), 3),
    "a long cell in quotes": (f'{HEAD}\nA-1,1,USD\n"{"x" * 140_000}",2,USD\n'.encode(), 3),
    "a long cell beside": (f"{HEAD},note\nA-1,1,USD,{'x' * 140_000}\n".encode(), 2),
    "a quote without its end": (f'{HEAD}\nA-1,1,USD\n"A-2,2,USD\nA-3,3,USD\n'.encode(), 3),
    "text after a quote": (f'{HEAD}\nA-1,1,USD\n"A"-2,2,USD\n'.encode(), 3),
    "NUL": (f"{HEAD}\nA-1,1,USD\nA\0-2,2,USD\n".encode(), 3),
    "NUL in the header": (f"sku\0,cost,currency\n{HEAD}\n".encode(), 1),
    "a control character": (f"{HEAD}\nA-1,1,USD\nA\x1b[2J,2,USD\n".encode(), 3),
    "UTF-16 without a BOM": (f"{HEAD}\nA-1,1,USD\n".encode("utf-16-le"), 1),
    "Latin 1": (f"{HEAD}\nA-1,1,USD\nGr\xf6\xdfe,2,USD\n".encode("latin-1"), 3),
    "a header of two": (b"sku,sku,cost,currency\nA,B,1,USD\n", 1),
    "no header": (b"A-1,1,USD\n", 1),
    "nothing": (b"", 1),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_file_is_refused_with_its_line(service: Serving, name: str) -> None:
    ann = service.user()
    body, line = MALFORMED[name]
    found = problem(await put(ann, body), 422, "invalid")
    assert [each["field"] for each in found["errors"]][:1] == [f"line {line}"], found
    assert len(str(found)) < 2000
    assert await kept(ann) == [], "nothing was changed"


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


@pytest.mark.parametrize("line", WRONG)
async def test_a_wrong_line_is_named_and_the_others_count(service: Serving, line: str) -> None:
    ann = service.user()
    found = read(await put(ann, f"{HEAD}\nA-1,1.50,USD\n{line}\n"))
    assert (found["accepted"], found["rejected"]) == (1, 1)
    assert found["errors"][0]["line"] == 3 and len(found["errors"][0]["message"]) < 300
    assert await kept(ann) == [GOOD]


@pytest.mark.parametrize("line", WRONG)
async def test_a_file_of_which_no_line_is_right_is_refused(service: Serving, line: str) -> None:
    ann = service.user()
    if line.startswith("A-1"):
        return
    found = problem(await put(ann, f"{HEAD}\n{line}\n"), 422, "invalid")
    assert found["errors"][0]["field"] == "line 2"


# Amounts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "currency", "value"),
    [
        ("1,234", "JPY", "1234"),
        ("1.234", "JPY", "1234"),
        ("1,234,567", "JPY", "1234567"),
        ("1,234.50", "USD", "1234.50"),
        ("1.234,50", "EUR", "1234.50"),
        ("1.234.567,89", "EUR", "1234567.89"),
        ("1,234,567", "USD", "1234567"),
        ("1,23,456.00", "INR", "123456.00"),
        ("1 234,50", "EUR", "1234.50"),
        ("1\u202f234,50", "EUR", "1234.50"),
        ("1\u00a0234", "SEK", "1234"),
        ("1'234.50", "CHF", "1234.50"),
        ("1\u2019234.50", "CHF", "1234.50"),
        ("3,25", "EUR", "3.25"),
        ("3.5", "USD", "3.5"),
        (" 4.20 ", "USD", "4.20"),
        ("0.125", "USD", "0.125"),
        ("0,125", "EUR", "0.125"),
        (",5", "EUR", "0.5"),
        (".5", "USD", "0.5"),
        ("1234.567", "USD", "1234.567"),
        ("1.2340", "USD", "1.2340"),
        ("1.234", "KWD", "1.234"),
        ("12", "JPY", "12"),
        ("0", "USD", "0"),
        ("007", "USD", "7"),
    ],
)
def test_an_amount_is_read_as_it_was_meant(text: str, currency: str, value: str) -> None:
    assert amount(text, currency) == value


@pytest.mark.parametrize(
    ("text", "currency"), [("1,234", "USD"), ("1.234", "EUR"), ("12.345", "GBP")]
)
def test_an_amount_that_may_mean_two_things_is_refused_with_what_to_write(
    text: str, currency: str
) -> None:
    whole = text.replace(",", "").replace(".", "")
    with pytest.raises(ValueError, match=f"{whole} or .*0"):
        amount(text, currency)


@given(st.decimals(0, 999_999_999, places=2), st.sampled_from(["USD", "EUR", "JPY", "KWD"]))
def test_whatever_way_it_is_grouped_an_amount_with_cents_is_the_same(
    value: Any, currency: str
) -> None:
    english = f"{value:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    french = english.replace(",", "\u202f").replace(".", ",")
    plain = f"{value:.2f}"
    assert {amount(each, currency) for each in (english, german, french, plain)} == {plain}


@given(st.text(max_size=30) | st.from_regex(r"[0-9.,' ]{1,12}", fullmatch=True))
def test_no_text_is_an_amount_by_accident(text: str) -> None:
    try:
        found = amount(text, "USD")
    except ValueError:
        return
    digits = [each for each in found if each.isdigit()]
    assert "".join(digits).lstrip("0") == "".join(filter(str.isdigit, text)).lstrip("0")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_understood_or_refused(body: bytes) -> None:
    for raw in (body, f"{HEAD}\nA-1,1,USD\n".encode() + body):
        try:
            found = read_costs(raw)
        except Invalid as error:
            assert error.errors[0]["field"].startswith("line ")
        else:
            assert len(found.costs) <= found.accepted


# JSON ----------------------------------------------------------------------------------------


async def test_in_json_a_point_is_always_the_decimal_point(service: Serving) -> None:
    ann = service.user()
    answer = await ann.http.put("/api/costs", json=[GOOD | {"cost": "1.234"}])
    assert read(answer)["accepted"] == 1
    assert await kept(ann) == [GOOD | {"cost": "1.234"}]


async def test_costs_in_json_are_held_to_the_same_rules(service: Serving) -> None:
    ann = service.user()
    wrong = (
        *({"sku": "A\0B"}, {"sku": ""}, {"sku": "x" * 201}, {"cost": "1,234"}, {"cost": "1e3"}),
        *({"currency": "X"}, {"sku": "A\nB"}, {"cost": ""}, {"sku": "A-1", "cost": "2"}),
    )
    body = [GOOD, *({**GOOD, "sku": "B", **each} for each in wrong)]
    found = read(await ann.http.put("/api/costs", json=body))
    assert (found["accepted"], found["rejected"]) == (1, len(wrong))
    assert [each["line"] for each in found["errors"]] == list(range(2, 2 + len(wrong)))
    raw = b'[{"sku":"A\\ud800","cost":"1","currency":"USD"}]'
    assert (await put(ann, raw, "application/json")).status_code in (400, 422)
    assert await kept(ann) == [GOOD]


# Limits --------------------------------------------------------------------------------------


def lines(first: int, count: int) -> str:
    return "sku,cost,currency\n" + "".join(f"{n:x},1,USD\n" for n in range(first, first + count))


async def test_a_file_of_too_many_lines_is_refused_whole(service: Serving) -> None:
    ann = service.user()
    body = "sku,cost,currency\n" + "A,1,USD\n" * 100_007
    found = problem(await put(ann, body), 422, "invalid")
    assert found["errors"][0]["field"] == "line 100002"
    assert "100,000" in found["detail"] and "7" in found["errors"][0]["message"]
    assert await kept(ann) == []


async def test_a_user_has_at_most_a_hundred_thousand_costs(service: Serving) -> None:
    ann, bob = service.user(), service.user("bob")
    for first in range(0, 100_000, 50_000):
        assert read(await put(ann, lines(first, 50_000)))["accepted"] == 50_000
    found = problem(await put(ann, lines(99_999, 2)), 422, "invalid")
    assert "100,000" in found["detail"]
    changed = (await put(ann, "sku,cost,currency\n0,2,EUR\n")).json()
    assert changed["accepted"] == 1, "those that are there can still be changed"
    assert read(await put(bob, lines(0, 3)))["accepted"] == 3
    last = read(await ann.get("/api/costs", params={"limit": 1}))["costs"]
    assert last == [{"sku": "0", "cost": "2", "currency": "EUR"}]


async def test_wrong_lines_beyond_the_first_thousand_are_counted(service: Serving) -> None:
    ann = service.user()
    bad = "x,cheap,USD\n" * 1500
    found = read(await put(ann, f"{HEAD}\nA-1,1,USD\n{bad}"))
    assert (found["rejected"], len(found["errors"])) == (1500, 1000)
    refused = problem(await put(ann, f"{HEAD}\n{bad}"), 422, "invalid")
    assert len(refused["errors"]) == 1000 and "500 more" in refused["detail"]


# Reading -------------------------------------------------------------------------------------


async def test_pages_hold_every_cost_once(service: Serving) -> None:
    ann = service.user()
    await put(ann, lines(1, 250))
    found, params = [], {"limit": "100"}
    while True:
        page = read(await ann.get("/api/costs", params=params))
        found += page["costs"]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    assert len({each["sku"] for each in found}) == len(found) == 250
    for params in ({"limit": "0"}, {"limit": "1001"}, {"cursor": "x"}, {"page": "2"}):
        problem(await ann.get("/api/costs", params=params), 422, "invalid")
    assert await kept(service.user("bob")) == []


SKUS = ("=1+1", "'=1+1", "''-2", "-5", "-2+3", "+A", "@A", "A;=1", 'A"B', "Ä ö", " =1", "\uff1d1")


async def test_a_download_can_be_given_back_as_it_is_and_runs_no_formula(service: Serving) -> None:
    ann, bob = service.user(), service.user("bob")
    given = [{"sku": each.strip(), "cost": "1.234", "currency": "USD"} for each in set(SKUS)]
    given = list({each["sku"]: each for each in given}.values())
    assert read(await ann.http.put("/api/costs", json=given))["accepted"] == len(given)
    answer = await ann.get("/api/costs", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[0] == ["sku", "cost", "currency"] and len(rows) == 1 + len(given)
    assert not [
        cell for row in rows for cell in row if cell[0] in "=+@\t\r\uff1d" or cell == "-2+3"
    ]
    assert read(await put(bob, answer.content))["rejected"] == 0
    assert {each["sku"]: float(each["cost"]) for each in await kept(bob)} == {
        each["sku"]: 1.234 for each in given
    }
