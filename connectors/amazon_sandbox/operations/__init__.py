"""All operations: the `OPERATIONS` of each module in this folder."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from connectors.amazon_sandbox.operations.operation import ApiOperation

__all__ = ["NAMES", "OPERATIONS", "ApiOperation"]


def _all() -> Iterator[ApiOperation]:
    for module in pkgutil.iter_modules(__path__):
        yield from getattr(import_module(f"{__name__}.{module.name}"), "OPERATIONS", ())


OPERATIONS = tuple(_all())
NAMES = frozenset(operation.name for operation in OPERATIONS)
