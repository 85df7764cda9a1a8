"""The tutorial's connector keeps the laws of connectors, which notice when it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def conform(sources: Path, chosen: str) -> subprocess.CompletedProcess[str]:
    """Run the conformance tests with the connectors of another folder."""
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", chosen]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, CONFORMANCE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(sources), "BACKEND": ""},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )


def test_the_tutorial_has_under_a_hundred_lines() -> None:
    assert len([line for line in connector_code().splitlines() if line.strip()]) < 100


def test_the_tutorials_connector_keeps_every_law(tmp_path: Path) -> None:
    done = conform(write_package(tmp_path, connector_code()), NAME)
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.rpartition(" passed")[0].split()[-1])
    assert passed > 15, done.stdout


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_connector_breaks_a_law(tmp_path: Path, what: str) -> None:
    old, new, law = BROKEN[what]
    code = connector_code()
    assert code.count(old) == 1
    sources = write_package(tmp_path, code.replace(old, new) + SILENTLY)
    done = conform(sources, f"{NAME} and {law}")
    assert done.returncode == 1, done.stdout
    assert f"FAILED {CONFORMANCE}::{law}[{NAME}]" in done.stdout


def test_a_connector_without_a_case_is_named(tmp_path: Path) -> None:
    sources = write_package(tmp_path, connector_code())
    (sources / "connectors" / NAME / "conformance.py").unlink()
    done = conform(sources, f"{NAME} and test_every_connector_has_a_case")
    assert f"need connectors/{NAME}/conformance.py" in done.stdout
