"""Cases that one service tries in turn: it takes longer to start than a case to try."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

Test = Callable[..., Awaitable[None]]


def each(names: str, cases: Iterable[Any]) -> Callable[[Test], Test]:
    """`pytest.mark.parametrize`, but with the same fixtures for every case. Each case is a subtest:
    those that fail are named, and the others are tried."""
    wanted, tried = [name.strip() for name in names.split(",")], list(cases)

    def decorate(test: Test) -> Test:
        async def tries_each(subtests: pytest.Subtests, **fixtures: Any) -> None:
            assert tried
            for case in tried:
                values = dict(zip(wanted, case if len(wanted) > 1 else [case], strict=True))
                with subtests.test(**values):
                    await test(**fixtures, **values)

        kind = inspect.Parameter.KEYWORD_ONLY
        others = [name for name in inspect.signature(test).parameters if name not in wanted]
        parameters = [inspect.Parameter(name, kind) for name in ("subtests", *others)]
        tries_each.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        tries_each.__name__, tries_each.__doc__ = test.__name__, test.__doc__
        tries_each.__module__ = test.__module__
        return tries_each

    return decorate
