"""The README is true: its tables name every route, command and setting, and no other."""

import re
from pathlib import Path

import msgspec
from starlette.routing import Mount, Route

from connectors.amazon.claims import RULES
from connectors.amazon.connector import AmazonConnector
from connectors.amazon_sandbox.faults import Faults
from service.__main__ import main
from service.api.routes import routes
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_routes_is_the_table_of_routes() -> None:
    real = set()
    for route in routes:
        if isinstance(route, Mount):
            real.add(route.path)
        elif isinstance(route, Route):
            real |= {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}}
    table = README.partition("| call | does |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(.+?)`", table, re.MULTILINE)) == real


def test_the_table_of_settings_is_the_table_of_settings() -> None:
    table = README.partition("| setting | default | meaning |")[2].partition("\n\n")[0]
    named = {
        name
        for line in table.splitlines()
        for name in re.findall(r"`([A-Z_]+)`", line.split(" | ")[0])
    }
    real = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"ENVIRON"}
    assert {name for name in named if not name.startswith("AMAZON_")} == real


def test_the_amazon_settings_are_those_that_the_connector_reads() -> None:
    source = (ROOT / "connectors" / "amazon" / "settings.py").read_text()
    assert set(re.findall(r"`(AMAZON_[A-Z_]+)`", README)) == set(
        re.findall(r'environ\.get\("(AMAZON_[A-Z_]+)"', source)
    )


def test_the_table_of_commands_is_the_table_of_commands() -> None:
    table = README.partition("| command | does |")[2].partition("\n\n")[0]
    words = re.findall(r"`python -m service ([\w-]+)|· `([\w-]+) ", table)
    assert {first or second for first, second in words} == set(main.commands)


def test_every_fault_of_the_sandbox_is_named() -> None:
    text = README.partition("`--faults fatal_reports")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z_0-9]+)`", text)) - {"sandbox", "demo"}
    assert named == {each.name for each in msgspec.structs.fields(Faults)}


def test_every_rule_has_its_row_with_its_inputs() -> None:
    table = README.partition("| rule | finds |")[2].partition("\n\n")[0]
    rows = {line.split(" ")[1]: line for line in table.splitlines() if line.startswith("| R")}
    assert list(rows) == [rule.code for rule in RULES]
    for rule in RULES:
        assert rule.name in rows[rule.code]
        named = set(rows[rule.code].split(" | ")[2].split(", "))
        assert named == set(rule.inputs), rule.code


def test_every_dataset_has_its_row_with_its_reach() -> None:
    table = README.partition("| dataset | days | by |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| (\w+) \| (\d+|today)", table, re.MULTILINE))
    real = {each.name: each.reach for each in AmazonConnector.datasets}
    assert rows == {name: str(reach.days) if reach else "today" for name, reach in real.items()}


def test_every_picture_and_file_that_the_readme_names_is_there() -> None:
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", README)
    files = re.findall(r"(?:service|connectors|tests)/[\w/.]+\.py", README)
    for name in (*pictures, *files):
        assert (ROOT / name).is_file(), name


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    for path in (*ROOT.glob("*.*"), *(ROOT / "service").rglob("*.py")):
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yaml"):
            assert not re.search(r"(?<!\w)/(root|home|work)/\w", path.read_text()), path
