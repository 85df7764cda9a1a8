"""Files of records: each record a line, no cell a formula."""

import csv
import io
import json

import pytest

from service.store.selections import Row
from service.wire.record_files import CsvFile, NdjsonFile

AT = "2026-01-15T12:00:00.123456Z"


def row(data: str, record_id: str = "a") -> Row:
    return ("conn_1", record_id, "sync_1", AT, data)


def cells(file: CsvFile, *rows: Row) -> list[list[str]]:
    text = (file.head() + file.lines(rows)).decode()
    assert text.startswith("\ufeff") and text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text[1:], newline=""), strict=True))


def fields(*names: str) -> CsvFile:
    return CsvFile({name: name for name in names})


def test_a_record_is_one_line_of_ndjson_whatever_its_data_and_id() -> None:
    data = ['{\n "a" : [1,\r\n 2.50]\n}', '{"b":"line\\nbreak"}', "{}"]
    ids = ['quote"', "line\nbreak\u2028", "ü"]
    raw = NdjsonFile().lines([row(text, name) for text, name in zip(data, ids, strict=True)])
    lines = raw.decode().split("\n")
    assert lines.pop() == "" and len(lines) == 3
    for line, text, name in zip(lines, data, ids, strict=True):
        assert json.loads(line) == {
            "id": name,
            "connectionId": "conn_1",
            "syncId": "sync_1",
            "updatedAt": "2026-01-15T12:00:00.123Z",
            "data": json.loads(text),
        }
    assert b"2.50" in raw, "numbers stay as the source wrote them"


def test_columns_of_csv_are_scalars_as_they_were_written_and_json_for_the_rest() -> None:
    file = fields("text", "number", "flag", "none", "list", "object", "lacking", "zwei Wörter")
    data = (
        '{"more":{"text":"x"},"text":"ü \\"q\\"\\n2","number":1.50,"flag":true,"none":null,'
        '"list":[1, "a"],"object":{"b":2},"zwei Wörter":"ja"}'
    )
    header, line = cells(file, row(data))
    assert header[:3] == ["id", "connectionId", "updatedAt"]
    assert line[:3] == ["a", "conn_1", "2026-01-15T12:00:00.123Z"]
    assert dict(zip(header[3:], line[3:], strict=True)) == {
        "text": 'ü "q"\n2',
        "number": "1.50",
        "flag": "true",
        "none": "",
        "list": '[1, "a"]',
        "object": '{"b":2}',
        "lacking": "",
        "zwei Wörter": "ja",
    }


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "@SUM(A1)", "-x", "\t=1", " =1", "'=1", "＝1"],  # noqa: RUF001
)
def test_no_cell_is_a_formula(text: str) -> None:
    _, line = cells(fields("value", "other"), row(json.dumps({"value": text}), text))
    assert (line[0], line[3]) == (f"'{text}", f"'{text}")


def test_negative_numbers_are_not_changed() -> None:
    _, line = cells(fields("one", "two"), row('{"one":-1.5,"two":"-20"}'))
    assert line[3:] == ["-1.5", "-20"]


def test_without_columns_the_record_is_one_cell_of_json() -> None:
    file = CsvFile({}, whole=True)
    assert cells(file, row('{"a":1}'), row("[2]")) == [
        ["id", "connectionId", "updatedAt", "data"],
        ["a", "conn_1", "2026-01-15T12:00:00.123Z", '{"a":1}'],
        ["a", "conn_1", "2026-01-15T12:00:00.123Z", "[2]"],
    ]


def test_a_name_is_only_once_in_the_header_and_data_that_is_no_object_has_empty_cells() -> None:
    header, line = cells(fields("id", "number"), row("[1]"))
    assert header == ["id", "connectionId", "updatedAt", "number"]
    assert line == ["a", "conn_1", "2026-01-15T12:00:00.123Z", ""]


def test_values_inside_others_are_found_and_stay_as_the_source_wrote_them() -> None:
    file = CsvFile(
        {
            "total": "sum.of.amount",
            "currency": "sum.of.code",
            "sum": "sum.of",
            "beyond": "sum.of.amount.more",
            "list": "list.0",
            "place": "place",
        }
    )
    full = '{"sum":{"of":{"amount":1.50,"code":"=EUR"},"x":1},"list":[1],"place":"here"}'
    header, *lines = cells(file, row(full), row('{"sum":5}'), row('{"sum":{"of":null}}'))
    assert header[3:] == ["total", "currency", "sum", "beyond", "list", "place"]
    assert lines[0][3:] == ["1.50", "'=EUR", '{"amount":1.50,"code":"=EUR"}', "", "", "here"]
    assert lines[1][3:] == lines[2][3:] == [""] * 6
