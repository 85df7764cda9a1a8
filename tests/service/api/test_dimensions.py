"""Dimensions: lines without units, and those that cannot be read otherwise, are named."""

import csv
import io

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.claims import Dimensions
from service.api.dimensions import read_dimensions
from service.errors import Invalid
from service.users import user_id
from tests.cases import each
from tests.service.api.answers import problem
from tests.service.api.calls import DIMENSIONS
from tests.serving import Json, Serving, User, read

pytestmark = pytest.mark.anyio

HEAD = "sku,length,width,height,length_unit,weight,weight_unit"
LINE = "A-1,6,4,1,in,0.5,lb"
GOOD: Json = DIMENSIONS | {"sku": "A-1"}


async def put(user: User, body: bytes | str, kind: str = "text/csv") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return await user.http.put("/api/dimensions", content=content, headers={"Content-Type": kind})


async def stored(user: User) -> list[Json]:
    rows: list[Json] = []
    params: Json = {"limit": 1000}
    while True:
        page = read(await user.get("/api/dimensions", params=params))
        rows += page["dimensions"]
        if page["nextCursor"] is None:
            return rows
        params["cursor"] = page["nextCursor"]


async def test_dimensions_are_uploaded_as_csv_and_each_invalid_line_is_named(
    service: Serving,
) -> None:
    ann = service.user()
    lines = (HEAD, LINE, "A-2,six,4,1,in,0.5,lb", ",6,4,1,in,0.5,lb", "A-3,15.2,10,2.5,cm,227,g")
    answer = await put(ann, "\r\n".join(lines))
    body = read(answer)
    assert (answer.status_code, body["accepted"], body["rejected"]) == (200, 2, 2)
    assert [(error["line"], error["sku"]) for error in body["errors"]] == [(3, "A-2"), (4, "")]
    assert body["errors"][0]["message"] == "length: 'six' is not a number like 12.5"
    metric = {"length": "15.2", "width": "10", "height": "2.5", "lengthUnit": "cm"}
    assert await stored(ann) == [
        GOOD,
        {"sku": "A-3", **metric, "weight": "227", "weightUnit": "g"},
    ]


WITHOUT_UNITS = {
    "no unit of length": ("A-2,6,4,1,,0.5,lb", "length, width and height is missing: write cm or"),
    "another one": ("A-2,6,4,1,feet,0.5,lb", "'feet' is not a unit of length, width and height: w"),
    "no unit of weight": ("A-2,6,4,1,in,0.5,", "unit of weight is missing: write g, kg, lb or oz"),
    "a unit of length": ("A-2,6,4,1,in,0.5,cm", "'cm' is not a unit of weight: write g, kg, lb or"),
}


@pytest.mark.parametrize("name", WITHOUT_UNITS)
async def test_units_that_are_missing_or_unknown_are_named_with_what_to_write(
    service: Serving, name: str
) -> None:
    ann = service.user()
    line, message = WITHOUT_UNITS[name]
    body = read(await put(ann, f"{HEAD}\n{LINE}\n{line}\n"))
    assert (body["accepted"], body["errors"][0]["line"]) == (1, 3)
    assert message in body["errors"][0]["message"]
    assert await stored(ann) == [GOOD]


async def test_a_file_without_the_columns_of_units_says_what_to_write(service: Serving) -> None:
    ann = service.user()
    error = problem(
        await put(ann, "sku,length,width,height,weight\nA-1,6,4,1,0.5\n"), 422, "invalid"
    )
    assert error["errors"][0]["field"] == "line 2"
    assert "write cm or in" in error["detail"]
    wide = "sku,length,width,height,weight\nA-1,6,5,4,1,0,5\nA-2,6,4,1,0.5\n"
    error = problem(await put(ann, wide), 422, "invalid")
    assert "more cells than the header" in error["detail"]
    assert await stored(ann) == []


@each(
    "written, unit",
    [("Inches", "in"), ('""""', "in"), ("CM", "cm"), ("centimetres", "cm"), ("centimeters", "cm")],
)
async def test_units_may_be_written_in_words(service: Serving, written: str, unit: str) -> None:
    ann = service.user()
    assert read(await put(ann, f"{HEAD}\nA-1,6,4,1,{written},0.5,Pounds\n"))["accepted"] == 1
    [row] = await stored(ann)
    assert (row["lengthUnit"], row["weightUnit"]) == (unit, "lb")


NUMBERS = {
    "1,234": "ambiguous, 1234 or 1.234: write 1234 or 1.2340",
    "1.234": "ambiguous",
    "1e3": "not a number like 12.5",
    "-6": "not a number",
    "0": "not a number above 0 and below 100,000",
    "100000": "not a number above 0",
    "": "not a number",
    "nan": "not a number",
    "1.2345678": "more than 6 decimals",
    "6in": "not a number",
}


@each("text", NUMBERS)
async def test_ambiguous_and_impossible_numbers_are_refused(service: Serving, text: str) -> None:
    ann = service.user()
    for cells in (f'"{text}",4,1,in,0.5,lb', f'6,4,1,in,"{text}",lb'):
        body = read(await put(ann, f"{HEAD}\n{LINE}\nA-2,{cells}\n"))
        assert (body["accepted"], body["rejected"]) == (1, 1)
        assert NUMBERS[text] in body["errors"][0]["message"]


async def test_a_decimal_comma_needs_quotes_or_semicolons(service: Serving) -> None:
    ann = service.user()
    body = read(await put(ann, f"{HEAD}\n{LINE}\nA-2,6,5,4,1,in,0.5,lb\n"))
    assert "a number with a comma needs quotes" in body["errors"][0]["message"]
    semicolons = HEAD.replace(",", ";") + "\nA-2;15,24;10,16;2,54;cm;0,23;kg\n"
    assert read(await put(ann, semicolons))["accepted"] == 1
    assert (await stored(ann))[1]["length"] == "15.24"


async def test_dimensions_are_uploaded_as_json(service: Serving) -> None:
    ann = service.user()
    precise = GOOD | {"length": "6.125"}
    bad = {name: value for name, value in GOOD.items() if name != "lengthUnit"} | {"sku": "A-2"}
    body = read(await ann.http.put("/api/dimensions", json=[precise, bad]))
    assert (body["accepted"], body["errors"][0]["line"], body["errors"][0]["sku"]) == (1, 2, "A-2")
    assert "write cm or in" in body["errors"][0]["message"]
    assert await stored(ann) == [precise]
    problem(await ann.http.put("/api/dimensions", json=GOOD), 422, "invalid")
    problem(await ann.http.put("/api/dimensions", json=[GOOD | {"size": "6"}]), 422, "invalid")
    problem(await ann.http.put("/api/dimensions", content=b"[{"), 400, "invalid_json")


async def test_the_same_upload_changes_nothing_and_another_one_replaces_its_skus(
    service: Serving,
) -> None:
    ann = service.user()
    for _ in range(2):
        assert read(await put(ann, f"{HEAD}\n{LINE}\nA-2,9,6,2,in,1,lb\n"))["accepted"] == 2
    before = await stored(ann)
    assert read(await put(ann, f"{HEAD}\nA-2,8,6,2,in,1,lb\n"))["accepted"] == 1
    assert await stored(ann) == [before[0], before[1] | {"length": "8"}]


async def test_a_sku_with_two_sizes_in_one_file_is_named(service: Serving) -> None:
    ann = service.user()
    same, other = "A-1,6.0,4,1,in,0.50,lb", "A-1,6,4,1,cm,0.5,lb"
    body = read(await put(ann, f"{HEAD}\n{LINE}\n{same}\n{other}\n"))
    assert (body["accepted"], body["rejected"]) == (2, 1)
    assert body["errors"][0]["message"] == "A-1 is also on line 2, with a different size or weight"
    assert await stored(ann) == [GOOD]


async def test_a_file_without_its_columns_or_a_valid_line_changes_nothing(service: Serving) -> None:
    ann = service.user()
    for text in (b"sku;length\nA;1", b"", b"\xff\xfe\x00", f"{HEAD}\nA-1,x,4,1,in,1,lb".encode()):
        problem(await put(ann, text), 422, "invalid")
    assert await stored(ann) == []


async def test_a_user_has_dimensions_of_at_most_a_hundred_thousand_products(
    service: Serving,
) -> None:
    ann, bob = service.user("ann", tenant="acme"), service.user("bob")
    one = Dimensions("6", "4", "1", "in", "0.5", "lb")
    full = {f"{number:x}": one for number in range(100_000)}
    assert await service.parts.dimensions.store(user_id("acme", "ann"), full)
    error = problem(await put(ann, f"{HEAD}\n0,9,6,2,in,1,lb\nnew,9,6,2,in,1,lb\n"), 422, "invalid")
    assert "100,000" in error["detail"]
    first = read(await ann.get("/api/dimensions", params={"limit": 1}))["dimensions"]
    assert first[0]["length"] == "6", "nothing was stored"
    assert read(await put(ann, f"{HEAD}\n0,9,6,2,in,1,lb\n"))["accepted"] == 1
    assert read(await put(bob, f"{HEAD}\n{LINE}\n"))["accepted"] == 1


async def test_the_dimensions_of_every_product_are_on_exactly_one_page(service: Serving) -> None:
    ann = service.user()
    skus = [f"A-{number:03}" for number in range(25)]
    await ann.http.put("/api/dimensions", json=[GOOD | {"sku": sku} for sku in skus])
    seen, params = [], {"limit": "10"}
    while True:
        page = read(await ann.get("/api/dimensions", params=params))
        seen += [row["sku"] for row in page["dimensions"]]
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    assert seen == skus
    for wrong in ({"limit": "0"}, {"limit": "1001"}, {"cursor": "x"}, {"page": "2"}):
        problem(await ann.get("/api/dimensions", params=wrong), 422, "invalid")
    assert await stored(service.user("bob")) == []


async def test_a_download_can_be_uploaded_unchanged_and_contains_no_formula(
    service: Serving,
) -> None:
    ann, bob = service.user(), service.user("bob")
    rows = [GOOD | {"sku": sku, "length": "6.125"} for sku in ("=1+1", "@A", "Ä ö", 'A"B')]
    assert read(await ann.http.put("/api/dimensions", json=rows))["accepted"] == len(rows)
    answer = await ann.get("/api/dimensions", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    cells = list(csv.reader(io.StringIO(answer.content.decode())))
    assert ",".join(cells[0]) == HEAD and len(cells) == 1 + len(rows)
    assert not [cell for row in cells for cell in row if cell[0] in "=@"]
    assert read(await put(bob, answer.content))["rejected"] == 0
    assert {row["sku"]: float(row["length"]) for row in await stored(bob)} == {
        row["sku"]: 6.125 for row in rows
    }


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_accepted_or_refused(body: bytes) -> None:
    for raw in (body, f"{HEAD}\n{LINE}\n".encode() + body):
        try:
            table = read_dimensions(raw)
        except Invalid as error:
            assert error.errors[0]["field"].startswith("line ")
        else:
            assert len(table.values) <= table.accepted
