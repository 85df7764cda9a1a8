"""The commands of the terminal client and `token`, against the real service."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from service.__main__ import main
from tests.service.api.test_recoveries import claim, store_claims
from tests.serving import KEY, PATIENCE, SECRET, Json, Serving, User, read, serve, token

pytestmark = pytest.mark.anyio

AUTH = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY}


@pytest.fixture
async def ann(service: Serving) -> User:
    """A user with one complete sync and 25 claims."""
    user = service.user()
    await store_claims(service, user, *(claim(number) for number in range(25)))
    return user


async def run(service: Serving, *arguments: str, token: str = token()) -> Result:
    """The result of a command, run in a thread beside the service."""
    environ = {"SYNC_URL": service.url, "SYNC_TOKEN": token}
    with anyio.fail_after(PATIENCE):
        return await anyio.to_thread.run_sync(
            partial(CliRunner().invoke, main, arguments, env=environ), abandon_on_cancel=True
        )


def rows(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]  # others are logs


async def test_lists_show_what_the_api_returns(service: Serving, ann: User) -> None:
    for path, name, arguments in (
        ("/api/connections", "connections", ["connections"]),
        ("/api/sync/history", "syncs", ["history"]),
        ("/api/recoveries?limit=100", "recoveries", ["recoveries", "--limit", "0"]),
        ("/api/data/orders?limit=1000", "records", ["records", "orders", "--limit", "0"]),
    ):
        expected = (await ann.get(path)).json()[name]
        assert expected
        assert rows(await run(service, *arguments, "--json")) == expected
        table = await run(service, *arguments)
        assert table.exit_code == 0, table.output
        first = expected[0]
        assert str(first.get("syncId" if name == "syncs" else "id")) in table.output
        heads, *lines = table.output.splitlines()
        assert heads.startswith("ID") and len(lines) >= len(expected)


async def test_totals_of_claims_are_below_their_table(service: Serving, ann: User) -> None:
    result = await run(service, "recoveries", "--status", "claimable", "--sort", "amount")
    (total,) = (await ann.get("/api/recoveries?status=claimable")).json()["totals"]
    expected = f"claimable: {total['amount']} {total['currency']} in {total['claims']} claims"
    assert expected in result.output


async def test_a_limit_is_kept_across_pages(service: Serving, ann: User) -> None:
    result = await run(service, "records", "orders", "--limit", "3", "--json")
    assert len(rows(result)) == 3
    some = rows(result)[0]["id"]
    assert [
        row["id"] for row in rows(await run(service, "records", "orders", "--id", some, "--json"))
    ]


async def test_nothing_found_is_said(service: Serving) -> None:
    await service.user().connect()
    result = await run(service, "history")
    assert (result.exit_code, result.output) == (0, "Nothing found.\n")
    assert rows(await run(service, "history", "--json")) == []


async def test_a_sync_as_json_is_one_status_a_line(service: Serving) -> None:
    await service.user().connect()
    *_, last = rows(await run(service, "sync", "--json"))
    assert last["status"] == "complete"
    assert rows(await run(service, "watch", last["syncId"], "--json"))[-1] == last


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["records", "nonsense"], "nonsense"),
        (["history", "--status", "odd"], "Must be"),
        (["recoveries", "--rule", "R1", "--sort", "odd"], "Must be"),
        (["records", "orders", "--since", "yesterday"], "Must be"),
    ],
)
async def test_a_refusal_is_a_sentence(
    service: Serving, ann: User, arguments: list[str], text: str
) -> None:
    result = await run(service, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and text in result.stderr
    forged = await run(service, *arguments, token="forged")
    assert (forged.exit_code, "token" in forged.stderr) == (1, True)


# token --------------------------------------------------------------------------------------------


def issued(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["token", *arguments], env={**AUTH, **environ})


async def identity(service: Serving, token: str) -> Json:
    """Who the service says that the owner of a token is."""
    async with service.anonymous(headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await client.get("/api/me")
        assert answer.status_code == 200, answer.text
        return read(answer)


async def test_a_token_opens_the_service(service: Serving) -> None:
    result = issued("--user", "zoe", "--tenant", "acme", "--role", "operator", "--plan", "pro")
    assert result.exit_code == 0, result.output
    shown = await identity(service, result.stdout.strip())
    assert (shown["user"], shown["tenant"], shown["role"]) == ("zoe", "acme", "operator")


async def test_a_token_has_the_issuer_and_the_tenant_claim_of_the_settings(tmp_path: Path) -> None:
    checked: dict[str, Any] = {
        "AUTH_ISSUER": "https://issuer.example",
        "AUTH_AUDIENCE": "sync",
        "AUTH_TENANT_CLAIM": "org.id",
    }
    async with serve(tmp_path, **checked) as service:
        result = issued("--user", "zoe", "--tenant", "acme", "--ttl", "90s", **checked)
        assert (await identity(service, result.stdout.strip()))["tenant"] == "acme"


@pytest.mark.parametrize(
    ("arguments", "environ", "text"),
    [
        (["--user", "zoe", "--ttl", "8"], {}, "--ttl"),
        (["--user", "zoe", "--ttl", "0h"], {}, "--ttl"),
        (["--user", "zoe", "--ttl", "367d"], {}, "--ttl"),
        (["--user", "zoe", "--ttl", "999999999d"], {}, "--ttl"),
        (["--user", ""], {}, "sub"),
        (["--user", "a\nb"], {}, "sub"),
        (["--user", "a", "--tenant", "jwks:x"], {}, "jwks:"),
        (["--user", "a"], {"AUTH_SECRET": "short"}, "5 bytes"),
        (["--user", "a"], {"AUTH_SECRET": "", "AUTH_JWKS": "/keys.json"}, "AUTH_SECRET"),
        (["--user", "a"], {"PORT": "abc"}, "PORT must be a whole number, not 'abc'"),
    ],
)
def test_what_cannot_be_signed_is_named(
    arguments: list[str], environ: dict[str, str], text: str
) -> None:
    result = issued(*arguments, **environ)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and text in result.stderr
    assert result.stdout == ""


# The shell ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "seller-sync" in result.output and "_SELLER_SYNC_COMPLETE" in result.output


def test_every_command_has_a_help_that_begins_with_a_sentence() -> None:
    for name, command in main.commands.items():
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0
        assert (command.help or "").partition("\n")[0].endswith("."), name


async def test_a_reader_that_stops_reading_ends_a_command(service: Serving, ann: User) -> None:
    environ = {**os.environ, "SYNC_URL": service.url, "SYNC_TOKEN": token()}
    command = [sys.executable, "-m", "service", "records", "orders", "--limit", "0"]
    process = await anyio.open_process(command, env=environ)
    assert process.stdout and process.stderr
    with anyio.fail_after(PATIENCE):
        await process.stdout.receive(1)
        await process.stdout.aclose()
        await process.wait()
        errors = b"".join([part async for part in process.stderr])
    assert b"Traceback" not in errors
