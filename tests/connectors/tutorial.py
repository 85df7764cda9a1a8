"""The connector that `docs/connectors.md` builds, as a package in a folder for Python's path."""

from pathlib import Path

from tests.documents import snippets

PAGE = "docs/connectors.md"
NAME = "helpdesk"


def connector_code() -> str:
    (code,) = snippets(PAGE, "The connector", "python")
    return code


def write_package(folder: Path, code: str, name: str = NAME) -> Path:
    """Write the connector with this code, and its case. Return the folder for the path."""
    (case,) = snippets(PAGE, "The conformance case", "python")
    package = folder / "sources" / "connectors" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code.replace(NAME, name))
    (package / "conformance.py").write_text(case.replace(NAME, name))
    return folder / "sources"
