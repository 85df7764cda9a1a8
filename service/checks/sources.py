"""Check the settings of the connectors at their sources. It changes nothing there."""

from collections.abc import Mapping, Sequence

from connectors.findings import Finding
from service.check import Check, ok, problem, warning


def check_findings(findings: Mapping[str, Sequence[Finding]]) -> list[Check]:
    """What the connectors have found, by connector. A source that cannot be used is a problem of
    this connector; the service starts without it."""
    return [_check(name, one) for name, found in findings.items() for one in found]


def _check(connector: str, found: Finding) -> Check:
    name = f"{connector} {found.name}"
    if found.serious:
        return problem(name, found.text, found.remedy)
    return warning(name, found.text, found.remedy) if found.remedy else ok(name, found.text)
