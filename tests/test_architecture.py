"""The architecture: which modules may import which, as CONTRIBUTING.md shows."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {
    "connectors.base",
    "connectors.claims",
    "connectors.completing",
    "connectors.findings",
    "connectors.restating",
    "service.model",
    "service.users",
    "service.progress",
    "service.warnings",
    "service.errors",
    "service.links",
    "service.check",
    "service.metrics",
}
NOUNS = GROUND | {"service.settings"}
# The stores, which do not depend on the database.
STORES = {
    f"service.store.{name}"
    for name in (
        *("syncs", "records", "connections", "claims", "claim_orders", "findings", "completeness"),
        *("activity", "audit", "changes", "consents", "dimensions", "removals", "engine"),
        *("ids", "chores", "notifications", "relay", "selections", "webhooks", "deliveries"),
        *("operations", "nodes"),
    )
}

# A module or package, and the modules and packages that it may import.
ALLOWED = {
    "service.__main__": {
        "service",
        "service.app",
        "service.backup",
        "service.credentials",
        "service.doctor",
        "service.server",
        "service.edge",
        "service.api.parts",
        "service.api.routes",
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
        "service.backends",
        "service.edge",
        "service.streams",
        "service.wire",
        "service.hooks",
        "service.housekeeping",
        "service.publishing",
        "service.notices",
        "service.erasing",
        "service.loop_lag",
        "service.nodes",
        "service.operations",
        "service.moving",
        "service.pipeline",
        "service.registry",
        "service.starting",
        "service.notifications",
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
        "service.notifications",
        "service.erasing",
        "service.hooks",
        "service.connections",
        "service.consents",
        "service.connection_settings",
        "service.schedules",
        "service.sources",
        "service.nodes",
        "service.operations",
        *STORES,
        "service.settings",
        *GROUND,
    },
    "service.edge": {"service.wire", *NOUNS},
    "service.streams": {"service.wire", "service.store.changes", *GROUND},
    "service.wire": {*STORES, *GROUND},
    "service.pipeline": {
        "service.intake",
        "service.registry",
        "service.connections",
        "service.sources",
        *STORES,
        *GROUND,
    },
    "service.backends": {
        "service.checks",
        "service.store",
        "service.events",
        "service.runner",
        "service.newest",
        *NOUNS,
    },
    "service.newest": {"service.model"},
    "service.doctor": {
        "service.checks",
        "service.store",
        "service.backends",
        "service.credentials",
        "service.edge.authenticator",
        "service.sources",
        "connectors",
        *NOUNS,
    },
    "service.backup": {"service.check", "service.store", "service.errors"},
    "service.checks": {
        "service.store",
        "service.credentials",
        *NOUNS,
    },
    "service.moving": {"service.store", "service.errors"},
    "service.housekeeping": {
        "service.runner.base",
        "service.starting",
        "service.notifications",
        "service.registry",
        "service.connections",
        "service.notices",
        *STORES,
        *GROUND,
    },
    "service.notifications": {"service.starting", "service.sources", *STORES, *GROUND},
    "service.publishing": {
        "service.checks.redis",
        "service.runner.base",
        "service.wire",
        *STORES,
        *GROUND,
    },
    "service.notices": {"service.schedules", "service.store", *GROUND},
    "service.hooks": {
        "connectors.addresses",
        "service.credentials",
        "service.wire.offsets",
        *STORES,
        *GROUND,
    },
    "service.erasing": {"service.registry", *STORES, *GROUND},
    "service.loop_lag": {"service.metrics"},
    "service.nodes": {"service.runner.base", *STORES, *GROUND},
    "service.operations": {
        "service.nodes",
        "service.runner.base",
        "service.schedules",
        *STORES,
        *GROUND,
    },
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
        "service.runner.base",
        "service.newest",
        *GROUND,
    },
    "service.intake": {"connectors.base", "connectors.claims"},
    "service.consents": {
        "service.connections",
        "service.source_calls",
        "service.sources",
        *STORES,
        *GROUND,
    },
    "service.connections": {
        "service.connection_settings",
        "service.credentials",
        "service.intake",
        "service.schedules",
        "service.source_calls",
        *STORES,
        "service.sources",
        *GROUND,
    },
    "service.source_calls": {
        "connectors.base",
        "service.connection_settings",
        "service.intake",
        "service.errors",
    },
    "service.planning": {"service.plans", *STORES, *GROUND},
    "service.schedules": {"service.store.connections", "service.errors"},
    "service.sources": {
        "connectors.base",
        "connectors.claims",
        "connectors.findings",
        "service.connection_settings",
        "service.errors",
    },
    "service.connection_settings": {"connectors.base", "service.errors"},
    "service.credentials": {"service.errors"},
    "service.check": {"service.errors"},
    "service.store": NOUNS,
    "service.events": {"service.checks.redis", *NOUNS},
    # A job is part of the write of a start.
    "service.runner": {"service.store.engine", "service.store.postgres_session", *NOUNS},
    "service.model": {
        "connectors.base",
        "service.progress",
        "service.warnings",
        "service.errors",
    },
    "service.metrics": {"service.model", "service.progress"},
    "service.progress": {"connectors.base"},
    "service.users": set(),
    "service.plans": {"service.errors"},
    "service.terminal": {"service.errors"},
    "service.settings": {"service.plans", "service.errors"},
    "service.logs": set(),
    "service.errors": set(),
    "service.links": set(),
    "connectors.base": {"connectors.claims"},
    "connectors.claims": set(),
    "connectors.completing": {"connectors.base"},
    "connectors.findings": set(),
    "connectors.restating": {"connectors.base", "connectors.claims"},
    "connectors.quota": {"connectors.base"},
    "connectors.http": {"connectors.base", "connectors.addresses", "connectors.calls"},
    "connectors.calls": {"connectors.base"},
    "connectors.addresses": {"connectors.base"},
    "connectors.turns": set(),
    "connectors.json_api": {"connectors.base", "connectors.http"},
    "connectors.conformance": {"connectors.base"},
}
SANDBOX = "_sandbox"
SHARED_BY_CONNECTORS = {
    "connectors.base",
    "connectors.claims",
    "connectors.completing",
    "connectors.findings",
    "connectors.http",
    "connectors.quota",
    "connectors.turns",
    "connectors.json_api",
    "connectors.conformance",
}


@cache
def modules() -> list[tuple[str, Path]]:
    found = []
    for package in ("service", "connectors"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Every module of this project that a file imports, anywhere in it."""
    names = {name for name, _ in modules()}
    imported = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {name if name in names else str(node.module) for name in whole}
    return {name for name in imported if name.split(".")[0] in ("service", "connectors")}


def row_of(module: str) -> str | None:
    """The most specific row of the table that a module belongs to."""
    rows = [row for row in ALLOWED if within(module, row)]
    return max(rows, key=len, default=None)


def allowed(module: str, imported: str) -> bool:
    row = row_of(module)
    if row is None and module.startswith("connectors."):
        own = ".".join(module.split(".")[:2])
        shared = {"connectors.base"} if own.endswith(SANDBOX) else SHARED_BY_CONNECTORS
        return imported in shared or within(imported, own)
    if row is None:
        return module in ("service", "connectors") and imported == "connectors.base"
    return within(imported, row) or any(
        imported == other or (other not in ("service", "connectors") and within(imported, other))
        for other in ALLOWED[row]
    )


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_imports_only_go_down() -> None:
    wrong = [
        f"{module} may not import {name}"
        for module, path in modules()
        for name in sorted(imports(path))
        if not allowed(module, name)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_sandbox_and_its_connector_share_only_the_connector_interface() -> None:
    for module, path in modules():
        own = ".".join(module.split(".")[:2])
        others = {name for name in imports(path) if not within(name, own)}
        if own.endswith(SANDBOX):
            assert others <= {"connectors.base"}, f"{module} may not import {sorted(others)}"
        elif module.startswith("connectors."):
            wrong = [name for name in others if name.split(".")[1].endswith(SANDBOX)]
            assert not wrong, f"{module} may not import {wrong}"


def test_reading_does_not_import_claim_rules() -> None:
    for module, path in modules():
        own = module.split(".")
        if own[0] == "connectors" and len(own) > 2 and own[2] not in ("claims", "connector"):
            claims = f"connectors.{own[1]}.claims"
            wrong = [name for name in sorted(imports(path)) if within(name, claims)]
            assert not wrong, f"{module} may not import {wrong}"


def test_only_the_client_of_connectors_and_webhooks_import_the_http_library() -> None:
    importers = {name for name, path in modules() if "\nimport httpx" in path.read_text()}
    webhooks = {name for name in importers if within(name, "service.hooks")}
    assert importers - webhooks == {"connectors.http"}


def test_only_conformance_cases_import_what_the_tests_need() -> None:
    for module, path in modules():
        wrong = {name for name in imports(path) if name.endswith(".conformance")}
        assert not wrong or module.endswith(".conformance"), f"{module} may not import {wrong}"


def test_the_service_names_no_connector() -> None:
    names = [
        path.name for path in (ROOT / "connectors").iterdir() if (path / "__init__.py").exists()
    ]
    for module, path in modules():
        if not module.startswith("service"):
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in set(names) - {"demo"}, f"{module} names {node.value}"


def test_every_module_has_a_docstring() -> None:
    for module, path in modules():
        if path.read_text().strip():
            assert ast.get_docstring(parsed(path)), f"{module} has no docstring"


def test_imports_have_no_loops() -> None:
    graph = {name: imports(path) - {name} for name, path in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("package", ["service", "connectors"])
def test_no_class_name_is_used_twice_in_a_package(package: str) -> None:
    names: dict[str, list[str]] = {}
    for module, path in modules():
        if within(module, package):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ClassDef):
                    names.setdefault(node.name, []).append(module)
    twice = {name: where for name, where in names.items() if len(where) > 1}
    assert not twice, twice


@pytest.mark.parametrize("package", ["service", "connectors"])
def test_no_folder_holds_more_than_a_fifth_of_its_package(package: str) -> None:
    """Each folder without its subfolders; the modules of the package itself count one by one."""
    lines: dict[Path, int] = {}
    for module, path in modules():
        if within(module, package):
            place = path if path.parent == ROOT / package else path.parent
            lines[place] = lines.get(place, 0) + len(path.read_text().splitlines())
    largest = max(lines, key=lambda place: lines[place])
    assert lines[largest] < sum(lines.values()) / 5, largest
