"""The open connectors of this process, by name."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

from connectors.base import Clock, Connector, ConnectorError, Consent, Opener
from service.errors import Invalid, NotFound, StartupError


class Sources:
    """Every connector there is, opened once and shared by all syncs."""

    def __init__(self, connectors: Mapping[str, Connector]) -> None:
        self._connectors = connectors

    def get(self, name: str) -> Connector:
        """Raises Invalid, naming those that there are."""
        if name not in self._connectors:
            known = ", ".join(self.names)
            raise Invalid.field("connector", f"There is no connector {name!r}. There are: {known}.")
        return self._connectors[name]

    def consent(self, name: str) -> Consent:
        """The connector's page of consent. Raises NotFound if it has none."""
        connector = self._connectors.get(name)
        if connector is None or not hasattr(connector, "authorize_url"):
            raise NotFound(
                f"There is no page of consent of {name}. POST /api/connections connects an account."
            )
        return cast(Consent, connector)

    @property
    def names(self) -> Sequence[str]:
        return sorted(self._connectors)

    @property
    def datasets(self) -> Sequence[str]:
        """The names of all datasets of all connectors."""
        found = [each.name for one in self._connectors.values() for each in one.datasets]
        return sorted(set(found))


@asynccontextmanager
async def open_sources(
    names: Sequence[str],
    find: Callable[[str], Opener],
    environ: Mapping[str, str],
    clock: Clock,
) -> AsyncIterator[Sources]:
    async with AsyncExitStack() as stack:
        opened = {}
        for name in names:
            try:
                opened[name] = await stack.enter_async_context(find(name)(environ, clock))
            except ConnectorError as error:
                raise StartupError(str(error)) from error
        yield Sources(opened)
