"""Measures a cluster at full size: `python -m tests.cluster kills --syncs 200`.

It needs PostgreSQL (TEST_POSTGRES_URL) and Redis (TEST_REDIS_URL). Each command prints its figures
as a table, and exits with 1 if one of them is beyond its bound."""

import sys
from importlib import import_module

import click

from tests.cluster.report import Report
from tests.databases import DATABASES

COMMANDS = (
    "kills",
    "races",
    "pauses",
    "rolling",
    "quotas",
    "schedules",
    "polls",
    "reconnects",
    "outages",
)
"""Modules of this package. Each has a click command `main` that returns a Report."""


@click.group(help=__doc__)
def main() -> None:
    """The group of the commands."""


@main.result_callback()
def finish(report: Report) -> None:
    """Print the report; exit with 1 if a bound is broken."""
    print(report)
    if report.broken:
        sys.exit(1)


if __name__ == "__main__":
    for name in COMMANDS:
        main.add_command(import_module(f"tests.cluster.{name}").main, name)
    try:
        main()
    finally:
        DATABASES.drop()
