"""The sources, a folder each. This file finds them by name; nothing else knows which there are."""

import importlib
import importlib.util
import pkgutil
from types import ModuleType
from typing import cast

from connectors.base import Opener


def names() -> tuple[str, ...]:
    """The name of every connector: each folder beside this file."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def find(name: str) -> Opener:
    """The opener of a connector. Raises LookupError if there is none of that name."""
    if name not in names():
        raise LookupError(f"There is no connector {name!r}. There are: {', '.join(names())}.")
    return cast(Opener, importlib.import_module(f"connectors.{name}").open_connector)


def sandbox(name: str | None = None) -> ModuleType:
    """A connector's local stand-in for its source; without a name, the first that has one."""
    for each in (name,) if name else names():
        if importlib.util.find_spec(f"connectors.{each}.sandbox"):
            return importlib.import_module(f"connectors.{each}.sandbox")
    raise LookupError(f"There is no sandbox of {name or 'any connector'}.")
