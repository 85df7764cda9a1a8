"""The tutorial's connector keeps the laws of connectors, which notice when it does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT
from tests.serving import PATIENCE

from .tutorial import NAME, connector_code, write_package

CONFORMANCE = "tests/connectors/test_conformance.py"
#: What a change of the connector breaks: the code, its replacement, the law that fails.
BROKEN = {
    "a bad record ends the dataset": (
        "return unreadable(raw, error)",
        "raise error",
        "test_an_unreadable_record_fails_alone",
    ),
    "an unknown cursor ends the dataset": (
        "refused.status != 400",
        "True",
        "test_an_invalid_cursor_starts_from_the_beginning",
    ),
    "a read ignores its cursor": (
        "await fetch(cursor)",
        "await fetch(None)",
        "test_a_read_resumes_from_any_cursor",
    ),
    "a wait is not announced": (
        "token, waiting, Listing)",
        "token, silently, Listing)",
        "test_every_pause_of_more_than_a_second_is_announced",
    ),
}
SILENTLY = "\n\nasync def silently(until: datetime, why: str) -> None: ...\n"
CASELESS = f"{NAME}_without_a_case"


def broken(number: int) -> str:
    """The name of a connector that is broken in one way."""
    return f"{NAME}_{number}"


def outcomes(sources: Path, chosen: str) -> tuple[dict[str, str], str]:
    """Run the conformance tests with the connectors of another folder. Returns the outcome by law
    and connector, and the output."""
    options = ["-v", "-n", "0", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, CONFORMANCE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(sources), "BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )
    found = re.findall(r"::(\w+\[\w+\]) (PASSED|FAILED|ERROR|SKIPPED)", done.stdout)
    return dict(found), done.stdout


def test_the_tutorial_has_under_a_hundred_lines() -> None:
    assert len([line for line in connector_code().splitlines() if line.strip()]) < 100


def test_the_tutorials_connector_keeps_every_law_and_a_broken_one_does_not(tmp_path: Path) -> None:
    """In one process, which runs the laws for the connector and for each broken copy."""
    sources = write_package(tmp_path, connector_code())
    chosen = [f"{NAME} and not {NAME}_"]
    laws = set()
    for number, (old, new, law) in enumerate(BROKEN.values()):
        code = connector_code()
        assert code.count(old) == 1
        write_package(tmp_path, code.replace(old, new) + SILENTLY, broken(number))
        chosen.append(f"{broken(number)} and {law}")
        laws.add(f"{law}[{broken(number)}]")
    write_package(tmp_path, connector_code(), CASELESS)
    (sources / "connectors" / CASELESS / "conformance.py").unlink()
    chosen.append(f"{CASELESS} and test_every_connector_has_a_case")

    results, output = outcomes(sources, " or ".join(f"({choice})" for choice in chosen))

    kept = [result for law, result in results.items() if law.endswith(f"[{NAME}]")]
    assert set(kept) <= {"PASSED", "SKIPPED"}, output
    assert kept.count("PASSED") > 15, output
    failed = {law for law, result in results.items() if result == "FAILED"}
    assert failed == laws | {f"test_every_connector_has_a_case[{CASELESS}]"}, output
    assert f"need connectors/{CASELESS}/conformance.py" in output
