"""The open connectors of this process, by name."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from connectors.base import Clock, Connector, ConnectorError, Consent, Opener, Use
from connectors.claims import ClaimRule, RemovalColumns
from connectors.findings import Examining, Finding
from service.connection_settings import SettingsType
from service.errors import Invalid, NotFound, StartupError


class Sources:
    """Every connector, opened once and shared by all syncs."""

    def __init__(self, connectors: Mapping[str, Connector]) -> None:
        """Raises StartupError for a connector whose settings have reserved names."""
        self._connectors = connectors
        self._settings = {
            name: SettingsType(name, connector.settings) for name, connector in connectors.items()
        }

    def get(self, name: str) -> Connector:
        """A connector by name. Raises Invalid, which lists the connectors of this service."""
        self._check(name)
        return self._connectors[name]

    def settings(self, name: str) -> SettingsType:
        """The settings of its connections. Raises Invalid, which lists the connectors."""
        self._check(name)
        return self._settings[name]

    def titles(self, name: str, public: Mapping[str, Any]) -> Mapping[str, str | Sequence[str]]:
        """The titles of the public settings that have choices; none if this service no longer has
        the connector."""
        settings = self._settings.get(name)
        return settings.titles(public) if settings else {}

    def consent(self, name: str) -> Consent:
        """The connector's consent page. Raises NotFound if it has none."""
        if not self.consents(name):
            raise NotFound(
                f"Connector {name} has no consent page. POST /api/connections connects an account."
            )
        return cast(Consent, self._connectors[name])

    def consents(self, name: str) -> bool:
        """Whether users can authorise this connector on a page of its source."""
        return hasattr(self._connectors.get(name), "authorize_url")

    def notifies(self, name: str) -> bool:
        """Whether the connector's source sends notifications."""
        return hasattr(self._connectors.get(name), "notices")

    def rules(self, name: str) -> Sequence[ClaimRule]:
        """The claim rules of a connector; empty if it has none."""
        rules: Sequence[ClaimRule] = getattr(self.get(name), "rules", ())
        return rules

    def removals(self, name: str) -> Sequence[RemovalColumns]:
        """The fields in which records of a connector name removal orders; empty if its source has
        none."""
        connector = self._connectors.get(name)
        removals: Sequence[RemovalColumns] = getattr(connector, "removals", ())
        return removals

    async def examine(self) -> Mapping[str, Sequence[Finding]]:
        """What each connector that can check its settings has found, by its name."""
        found = {}
        for name, connector in self._connectors.items():
            if hasattr(connector, "examine"):
                found[name] = await cast(Examining, connector).examine()
        return found

    def uses(self) -> Mapping[str, Mapping[str, Use]]:
        """The quotas of each source that this process has used, by connector and operation."""
        return {
            name: getattr(connector, "uses", {}) for name, connector in self._connectors.items()
        }

    @property
    def datasets_by_name(self) -> Mapping[str, Sequence[str]]:
        """The names of each connector's datasets."""
        return {
            name: [dataset.name for dataset in connector.datasets]
            for name, connector in self._connectors.items()
        }

    @property
    def names(self) -> Sequence[str]:
        return sorted(self._connectors)

    @property
    def datasets(self) -> Sequence[str]:
        """The names of all datasets of all connectors."""
        connectors = self._connectors.values()
        names = {dataset.name for connector in connectors for dataset in connector.datasets}
        return sorted(names)

    def _check(self, name: str) -> None:
        if name not in self._connectors:
            names = ", ".join(self.names)
            raise Invalid.field("connector", f"Unknown connector {name!r}. Must be one of {names}.")


@asynccontextmanager
async def open_sources(
    names: Sequence[str],
    find: Callable[[str], Opener],
    environ: Mapping[str, str],
    clock: Clock,
) -> AsyncIterator[Sources]:
    """Open the connectors with these names in order, and close them in reverse. Raises StartupError
    for a connector that cannot be opened."""
    async with AsyncExitStack() as stack:
        opened = {}
        for name in names:
            try:
                opened[name] = await stack.enter_async_context(find(name)(environ, clock))
            except ConnectorError as error:
                raise StartupError(str(error)) from error
        yield Sources(opened)
