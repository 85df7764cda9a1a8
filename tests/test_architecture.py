"""Who may import whom, as the README's chapter on the house says, read from the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {
    "connectors.base",
    "service.model",
    "service.users",
    "service.progress",
    "service.errors",
    "service.links",
}
NOUNS = GROUND | {"service.settings"}
# What is kept, whichever the database is.
STORES = {
    f"service.store.{name}"
    for name in ("syncs", "records", "connections", "claims", "audit", "engine", "ids")
}

# A room (a module, or every module of a package) and the rooms that it may import.
ROOMS = {
    "service.__main__": {
        "service",
        "service.app",
        "service.server",
        "service.edge",
        "service.api.parts",
        "service.connections",
        "service.settings",
        "service.errors",
        "service.logs",
        "service.model",
        "service.users",
        "service.terminal",
        "connectors",
        "connectors.base",
    },
    "service.server": {"service.edge", "service.streams", "service.errors"},
    "service.app": {
        "service.api",
        "service.edge",
        "service.streams",
        "service.wire",
        "service.housekeeping",
        "service.erasing",
        "service.pipeline",
        "service.registry",
        "service.starting",
        "service.connections",
        "service.consents",
        "service.credentials",
        "service.plans",
        "service.sources",
        "service.store",
        "service.events",
        "service.runner",
        "service.settings",
        "connectors",
        *GROUND,
    },
    "service.api": {
        "service.edge",
        "service.streams",
        "service.wire",
        "service.registry",
        "service.starting",
        "service.erasing",
        "service.connections",
        "service.consents",
        "service.connection_settings",
        "service.schedules",
        "service.sources",
        *STORES,
        "service.settings",
        *GROUND,
    },
    "service.edge": {"service.wire", *NOUNS},
    "service.streams": {"service.wire", *GROUND},
    "service.wire": {*STORES, *GROUND},
    "service.pipeline": {
        "service.intake",
        "service.registry",
        "service.connections",
        "service.sources",
        *STORES,
        *GROUND,
    },
    "service.housekeeping": {
        "service.starting",
        "service.registry",
        "service.connections",
        *STORES,
        *GROUND,
    },
    "service.erasing": {"service.registry", *STORES, *GROUND},
    "service.starting": {
        "service.registry",
        "service.planning",
        "service.plans",
        "service.sources",
        *STORES,
        *GROUND,
    },
    "service.registry": {
        "service.planning",
        "service.plans",
        *STORES,
        "service.store.patience",
        "service.events.bus",
        "service.runner.runner",
        *GROUND,
    },
    "service.intake": {"connectors.base"},
    "service.consents": {
        "service.connections",
        "service.sources",
        *STORES,
        *GROUND,
    },
    "service.connections": {
        "service.connection_settings",
        "service.credentials",
        "service.intake",
        "service.schedules",
        *STORES,
        "service.sources",
        *GROUND,
    },
    "service.planning": {"service.plans", *STORES, *GROUND},
    "service.schedules": {"service.store.connections", "service.errors"},
    "service.sources": {"connectors.base", "service.connection_settings", "service.errors"},
    "service.connection_settings": {"connectors.base", "service.errors"},
    "service.credentials": {"service.errors"},
    "service.store": NOUNS,
    "service.events": NOUNS,
    "service.runner": NOUNS,
    "service.model": {"connectors.base", "service.progress", "service.errors"},
    "service.progress": {"connectors.base"},
    "service.users": set(),
    "service.plans": {"service.errors"},
    "service.terminal": {"service.errors"},
    "service.settings": {"service.plans", "service.errors"},
    "service.logs": set(),
    "service.errors": set(),
    "service.links": set(),
    "connectors.base": set(),
    "connectors.quota": {"connectors.base"},
    "connectors.http": {"connectors.base", "connectors.addresses", "connectors.calls"},
    "connectors.calls": {"connectors.base"},
    "connectors.addresses": {"connectors.base"},
    "connectors.turns": set(),
}
SANDBOX = "_sandbox"
SHARED_BY_CONNECTORS = {
    "connectors.base",
    "connectors.http",
    "connectors.quota",
    "connectors.turns",
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("service", "connectors"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> set[str]:
    """Every module of ours that a file imports, at any depth of it."""
    known = {name for name, _ in modules()}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in whole}
    return {name for name in found if name.split(".")[0] in ("service", "connectors")}


def room_of(module: str) -> str | None:
    """The most specific row of the table that a module belongs to."""
    rows = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    return max(rows, key=len, default=None)


def allowed(module: str, imported: str) -> bool:
    room = room_of(module)
    if room is None and module.startswith("connectors."):
        own = ".".join(module.split(".")[:2])
        shared = {"connectors.base"} if own.endswith(SANDBOX) else SHARED_BY_CONNECTORS
        return imported in shared or within(imported, own)
    if room is None:
        return module in ("service", "connectors") and imported == "connectors.base"
    return within(imported, room) or any(
        imported == other or (other not in ("service", "connectors") and within(imported, other))
        for other in ROOMS[room]
    )


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_imports_only_go_down(module: str, path: Path) -> None:
    wrong = [name for name in sorted(imports(path)) if not allowed(module, name)]
    assert not wrong, f"{module} may not import {wrong}"


def test_a_sandbox_and_its_connector_share_only_the_connector_interface() -> None:
    for module, path in modules():
        own = ".".join(module.split(".")[:2])
        others = {name for name in imports(path) if not within(name, own)}
        if own.endswith(SANDBOX):
            assert others <= {"connectors.base"}, f"{module} may not import {sorted(others)}"
        elif module.startswith("connectors."):
            wrong = [name for name in others if name.split(".")[1].endswith(SANDBOX)]
            assert not wrong, f"{module} may not import {wrong}"


def test_reading_an_account_does_not_depend_on_the_rules_of_its_claims() -> None:
    for module, path in modules():
        own = module.split(".")
        if own[0] == "connectors" and len(own) > 2 and own[2] not in ("claims", "connector"):
            claims = f"connectors.{own[1]}.claims"
            wrong = [name for name in sorted(imports(path)) if within(name, claims)]
            assert not wrong, f"{module} may not import {wrong}"


def test_only_one_file_knows_the_http_library() -> None:
    users = [name for name, path in modules() if "\nimport httpx" in path.read_text()]
    assert users == ["connectors.http"]


def test_the_service_names_no_connector() -> None:
    names = [
        path.name for path in (ROOT / "connectors").iterdir() if (path / "__init__.py").exists()
    ]
    for module, path in modules():
        if not module.startswith("service"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in set(names) - {"demo"}, f"{module} names {node.value}"


def test_every_file_says_what_it_holds() -> None:
    for module, path in modules():
        if path.read_text().strip():
            assert ast.get_docstring(ast.parse(path.read_text())), f"{module} has no first line"


def test_there_are_no_loops() -> None:
    graph = {name: imports(path) - {name} for name, path in modules()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
