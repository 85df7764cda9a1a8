"""The commands of the terminal client."""

import sys
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import get_completion_class

from service.errors import ServiceError, StartupError
from service.terminal import following, lists
from service.terminal.client import Client

PROGRAM = "seller-sync"
SHELLS = ("bash", "zsh", "fish")


def of_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command of the client has."""
    options = (
        click.option(
            *("--url", "url"),
            default="http://127.0.0.1:8000",
            show_default=True,
            envvar="SYNC_URL",
            help="The service; default: SYNC_URL.",
        ),
        click.option(
            *("--token", "token"),
            default="",
            envvar="SYNC_TOKEN",
            help="A JWT (see `token`); default: SYNC_TOKEN. None is needed in demo mode.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def of_list(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a list."""
    limit = click.option(
        *("--limit", "most"),
        default=20,
        show_default=True,
        type=click.IntRange(0),
        help="How many at most; 0: all.",
    )
    return limit(command)


@click.command()
@of_client
@click.option("--connection", default=None, help="ID of the connection, if you have several.")
def sync(url: str, token: str, as_json: bool, connection: str | None) -> None:
    """Start a sync and follow it.

    Follows the running sync if there is one. The exit code is 0 only if the sync completes.
    """
    _exit_with(lambda: following.start(Client(url, token), connection, as_json))


@click.command()
@of_client
@click.argument("sync_id")
def watch(url: str, token: str, as_json: bool, sync_id: str) -> None:
    """Follow a sync. The exit code is 0 only if it completes."""
    _exit_with(lambda: following.watch(Client(url, token), sync_id, as_json))


@click.command()
@of_client
def connections(url: str, token: str, as_json: bool) -> None:
    """List your connections."""
    _exit_with(lambda: lists.connections(Client(url, token), as_json))


@click.command()
@of_client
@of_list
@click.option("--status", default="", help="in_progress, paused, complete, failed or cancelled.")
@click.option("--connection", default="", help="ID of a connection.")
@click.option("--warnings", is_flag=True, help="Only syncs with warnings.")
def history(
    url: str, token: str, as_json: bool, most: int, status: str, connection: str, warnings: bool
) -> None:
    """List your syncs, the newest first."""
    filters = {
        "status": status,
        "connectionId": connection,
        "warnings": "true" if warnings else "",
    }
    _exit_with(lambda: lists.history(Client(url, token), as_json, most, filters))


@click.command()
@of_client
@of_list
@click.option("--status", default="", help="waiting, claimable, expired, reimbursed or closed.")
@click.option("--rule", default="", help="Code of a rule, like R1.")
@click.option("--connection", default="", help="ID of a connection.")
@click.option("--sort", default="closes", show_default=True, help="closes, amount or found.")
def recoveries(
    *,
    url: str,
    token: str,
    as_json: bool,
    most: int,
    status: str,
    rule: str,
    connection: str,
    sort: str,
) -> None:
    """List the money that you are owed, and its totals."""
    filters = {"status": status, "rule": rule, "connectionId": connection, "sort": sort}
    _exit_with(lambda: lists.recoveries(Client(url, token), as_json, most, filters))


@click.command()
@of_client
@of_list
@click.argument("dataset")
@click.option("--connection", default="", help="ID of a connection.")
@click.option("--id", "begins", default="", help="Only records whose id begins with this text.")
@click.option("--since", default="", help="Only records changed since this time (RFC 3339).")
def records(
    *,
    url: str,
    token: str,
    as_json: bool,
    most: int,
    dataset: str,
    connection: str,
    begins: str,
    since: str,
) -> None:
    """List the stored records of a dataset, like orders."""
    filters = {"connectionId": connection, "q": begins, "updatedSince": since}
    _exit_with(lambda: lists.records(Client(url, token), as_json, most, dataset, filters))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    \b
    bash  eval "$(seller-sync completion bash)"     in ~/.bashrc
    zsh   eval "$(seller-sync completion zsh)"      in ~/.zshrc
    fish  seller-sync completion fish | source      in ~/.config/fish/config.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise StartupError(f"{shell} is not supported. Use one of {', '.join(SHELLS)}.")
    root = context.find_root().command
    click.echo(script(root, {}, PROGRAM, "_SELLER_SYNC_COMPLETE").source())


COMMANDS = (sync, watch, connections, history, recoveries, records, completion)


def _exit_with(run: Callable[[], int | None]) -> None:
    """Run a command. For an expected error, print a sentence and exit with code 1."""
    try:
        sys.exit(run() or 0)
    except ServiceError as error:
        click.echo(f"error: {error.detail}", err=True)
        sys.exit(1)
