"""The generator has rules of its own: it shares no code and no constant with the connector."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from connectors import amazon, amazon_sandbox


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(info.name)


def imported(module: ModuleType) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_module_of_the_sandbox_imports_the_connector() -> None:
    for module in modules(amazon_sandbox):
        for name in imported(module):
            assert not f"{name}.".startswith("connectors.amazon."), module.__name__
    for module in modules(amazon):
        for name in imported(module):
            assert not name.startswith("connectors.amazon_sandbox"), module.__name__


def test_the_generator_imports_nothing_of_this_project_but_itself() -> None:
    for module in modules(amazon_sandbox):
        if ".generator" in module.__name__:
            ours = {name for name in imported(module) if name.startswith(("connectors", "service"))}
            own = {name for name in ours if name.startswith("connectors.amazon_sandbox.generator")}
            assert ours == own, module.__name__


def test_the_generator_and_the_rules_share_no_constant() -> None:
    """No container of either is the same object as one of the other."""

    def constants(package: ModuleType, part: str) -> dict[int, str]:
        return {
            id(value): f"{module.__name__}.{name}"
            for module in modules(package)
            if part in module.__name__
            for name, value in vars(module).items()
            if isinstance(value, dict | frozenset | set | list | tuple)
            and value
            and not name.startswith("__")
        }

    generators, rules = constants(amazon_sandbox, ".generator"), constants(amazon, ".claims")
    assert generators and rules
    assert not [generators[key] for key in generators.keys() & rules.keys()]
