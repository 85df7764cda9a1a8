"""The connectors, one package each, and their sandboxes. Only this module knows which exist.

A folder `connectors` elsewhere on Python's path adds its packages to those in this folder."""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import cast

from connectors.base import Opener

__path__ = pkgutil.extend_path(__path__, __name__)

SANDBOX = "_sandbox"
"""The package `amazon_sandbox` is the local stand-in for the source of the connector `amazon`."""

TEMPLATE = "demo"
"""The template for new connectors. It generates its records, so it is offered only in demo mode."""


def names() -> tuple[str, ...]:
    """The names of all connectors: the packages that are not sandboxes."""
    return tuple(name for name in _packages() if not name.endswith(SANDBOX))


def offered(wanted: Sequence[str], demo: bool) -> tuple[str, ...]:
    """The names of the connectors that a service offers: the wanted ones. If none are wanted, all
    of them; the template only in demo mode."""
    chosen = set(wanted) or {name for name in names() if demo or name != TEMPLATE}
    return tuple(name for name in names() if name in chosen)


def find(name: str) -> Opener:
    """The opener of a connector. Raises LookupError if no connector has this name."""
    if name not in names():
        raise LookupError(f"Unknown connector {name!r}. Available: {', '.join(names())}.")
    return cast(Opener, importlib.import_module(f"connectors.{name}").open_connector)


def sandbox(name: str | None = None) -> ModuleType:
    """The sandbox of a connector; without a name, the first one.

    Raises LookupError if the connector has no sandbox."""
    for package in _packages():
        if package.endswith(SANDBOX) and name in (None, package.removesuffix(SANDBOX)):
            return importlib.import_module(f"connectors.{package}")
    raise LookupError(f"No sandbox exists for {name or 'any connector'}.")


def _packages() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
