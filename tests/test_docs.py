"""The documents are true: tables, links, pictures, figures and indexes match the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.routing import Mount, Route

from connectors.amazon.claims import RULES
from connectors.amazon.connector import AmazonConnector
from connectors.amazon_sandbox.faults import Faults
from service.__main__ import main
from service.api.routes import routes
from service.model import MOVES
from service.progress import FLOORS
from service.settings import Settings
from service.wire.sync_shapes import EVENT_KINDS
from tests.contract import DOCUMENT
from tests.documents import snippets

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "fixtures").rglob("*.md")),
    *sorted(path for path in (ROOT / "tests").rglob("*.md") if "node_modules" not in path.parts),
]
MAX_WORDS = 1_800


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def table(name: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with this row."""
    text = page(name)
    assert text.count(head) == 1, f"{name} has no table {head}"
    rows = text.partition(head)[2].partition("\n\n")[0].splitlines()[2:]
    return [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in rows]


# Tables -------------------------------------------------------------------------------------------


def test_the_table_of_calls_names_every_route() -> None:
    expected = set()
    for route in routes:
        if isinstance(route, Mount):
            expected.add(route.path)
        elif isinstance(route, Route):
            expected |= {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}}
    named = {row[0].strip("`") for row in table("docs/api.md", "| call | does |")}
    assert named == expected


def test_the_table_of_settings_names_every_setting() -> None:
    rows = table("docs/settings.md", "| setting | default | meaning |")
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[0])}
    fields = {field.encode_name for field in msgspec.structs.fields(Settings)}
    assert named == fields - {"ENVIRON"}


def test_the_table_of_amazon_settings_names_every_variable_that_the_connector_reads() -> None:
    rows = table("docs/settings.md", "| setting | meaning |")
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[0])}
    source = page("connectors/amazon/settings.py")
    assert named == set(re.findall(r'environ\.get\("(AMAZON_[A-Z_]+)"', source))


def test_the_table_of_commands_names_every_command() -> None:
    text = "\n".join(row[0] for row in table("docs/settings.md", "| command | does |"))
    commands = re.findall(r"`python -m service ([\w-]+)|· `([\w-]+)", text)
    assert {first or second for first, second in commands} == set(main.commands)


def test_the_table_of_events_names_every_kind() -> None:
    rows = table("docs/integrating.md", "| event | when | then |")
    assert tuple(row[0].strip("`") for row in rows) == EVENT_KINDS


def test_the_status_that_a_document_shows_has_fields_of_the_contract() -> None:
    (text,) = snippets("docs/integrating.md", "Events of a sync", "json")
    shown = msgspec.json.decode(text)
    schemas = DOCUMENT["components"]["schemas"]
    assert shown.keys() <= schemas["SyncStatus"]["properties"].keys()
    assert shown["datasets"][0].keys() <= schemas["Dataset"]["properties"].keys()
    assert (shown["status"], shown["stage"]) == ("in_progress", "fetching")


def test_the_table_of_faults_names_every_fault_of_the_sandbox() -> None:
    rows = table("docs/sandbox.md", "| fault | value | does |")
    fields = [field.name for field in msgspec.structs.fields(Faults)]
    assert sorted(row[0].strip("`") for row in rows) == sorted(fields)


def test_the_table_of_rules_names_every_claim_rule_with_its_inputs() -> None:
    rows = table("docs/claims.md", "| rule | finds | inputs |")
    assert [row[0].split()[0] for row in rows] == [rule.code for rule in RULES]
    for rule, row in zip(RULES, rows, strict=True):
        assert rule.name == row[0].split()[1]
        assert set(rule.inputs) == set(row[2].split(", ")), rule.code


def test_the_table_of_datasets_names_every_dataset_with_its_reach() -> None:
    rows = table("docs/amazon.md", "| dataset | days | by |")
    reaches = {
        dataset.name: str(dataset.reach.days) if dataset.reach else "today"
        for dataset in AmazonConnector.datasets
    }
    assert {row[0]: row[1].split(",")[0] for row in rows} == reaches


# CONTRIBUTING.md ----------------------------------------------------------------------------------


def test_the_drawing_of_the_states_shows_every_move() -> None:
    text = page("CONTRIBUTING.md").partition("stateDiagram-v2\n")[2].partition("```")[0]
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)", text, re.MULTILINE))
    assert drawn == {(old.value, new.value) for old, news in MOVES.items() for new in news}


def test_the_table_of_stages_names_every_stage_with_its_percentage() -> None:
    rows = table("CONTRIBUTING.md", "| stage | begins at |")
    assert {row[0]: row[1] for row in rows} == {
        stage.value: f"{percent} %" for stage, percent in FLOORS.items()
    }


def test_the_drawing_names_every_package() -> None:
    drawing = page("CONTRIBUTING.md").partition("## The architecture")[2].partition("\n## ")[0]
    for package in ("service", "connectors"):
        for folder in (ROOT / package).iterdir():
            if (folder / "__init__.py").exists():
                assert f"{folder.name}/" in drawing, f"{package}/{folder.name}/ is not drawn"


def test_the_glossary_has_eighteen_words() -> None:
    assert len(table("CONTRIBUTING.md", "| word | meaning |")) == 18


# The index of tests -------------------------------------------------------------------------------


def test_every_module_of_the_service_has_a_test_file_or_is_in_the_index() -> None:
    rows = table("tests/README.md", "| module | tests |")
    index = {row[0].strip("`"): re.findall(r"`([\w/.]+)`", row[1]) for row in rows}
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service").rglob("*.py")
        if path.name not in ("__init__.py", "env.py") and path.parent.name != "versions"
    }
    missing = {name for name in modules - set(index) if not own_test(name).is_file()}
    assert not missing, "modules without a test file and without a row"
    assert not set(index) - modules, "rows of modules that do not exist"
    for module, tests in index.items():
        assert tests, module
        for name in tests:
            assert (ROOT / "tests" / name).is_file(), f"{module}: tests/{name}"


def own_test(module: str) -> Path:
    """The test file of a module: `service/a/b.py` is tested by `tests/service/a/test_b.py`."""
    path = ROOT / "tests" / module
    return path.with_name(f"test_{path.name}")


# Links and words ----------------------------------------------------------------------------------


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield from re.findall(r"!?\[[^\]]+\]\(([^)\s]+)\)", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub forms them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links(path):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:service|connectors|tests|docs|fixtures)/[\w/.]+\.\w+)`", text):
        assert (ROOT / name).is_file() or (path.parent / name).is_file(), name


def test_the_readme_links_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert {path for path in PAGES if path.parent == ROOT / "docs"} <= linked


def test_the_readme_is_short() -> None:
    assert len(page("README.md").split()) <= MAX_WORDS


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    for path in (*ROOT.glob("*.*"), *PAGES, *(ROOT / "service").rglob("*.py")):
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".yaml"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(?<!\w)/(root|home|work)/\w", text), path
