"""How the process starts, refuses to start, and stops."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import anyio
import httpx
import pytest
from click.testing import CliRunner

from connectors import amazon_sandbox as amazon
from connectors.amazon_sandbox.faults import Faults
from service.__main__ import main
from tests.databases import DATABASES
from tests.journeys.process import ROOT, demo, sandbox, service
from tests.service.api.issuer import ec, jwks
from tests.serving import KEY, PATIENCE, SECRET, User, token

pytestmark = pytest.mark.anyio

STREAMS = 100


async def test_sigterm_ends_a_hundred_streams_cleanly_and_the_sync_continues_after_a_restart(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    headers = {"Authorization": f"Bearer {token()}"}
    limits = httpx.Limits(max_connections=STREAMS + 10)
    with service(tmp_path, port, DEMO_PAUSE="0.1", DEMO_PAGE="2") as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, limits=limits) as client:
            ann = User(client)
            await ann.connect()
            sync_id = await ann.start()
            ended: list[str] = []
            async with anyio.create_task_group() as group:
                for _ in range(STREAMS):
                    await group.start(_follow, client, sync_id, ended)
                await ann.until_processed(sync_id, "orders", 10)
                exit_code = await anyio.to_thread.run_sync(server.terminate, 5.0)
    assert exit_code == 0
    assert len(ended) == STREAMS, "every stream ended cleanly, none was cut off"
    assert all(last.startswith("retry: ") for last in ended)
    for word in ("error", "Traceback", "warning"):
        assert word not in server.log
    with service(tmp_path, port) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
            done = await User(client).until(sync_id)
            assert (done["status"], done["attempt"], done["ordersProcessed"]) == (
                "complete",
                1,
                250,
            )


async def _follow(
    client: httpx.AsyncClient,
    sync_id: str,
    ended: list[str],
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    """Read a stream to its end; the task counts as started once the stream is open."""
    path = f"/api/sse/sync-progress/{sync_id}"
    async with client.stream("GET", path, timeout=PATIENCE) as response:
        task_status.started()
        text = "".join([chunk async for chunk in response.aiter_text()])
    ended.append(text.rstrip("\n").split("\n\n")[-1])


async def test_sigterm_answers_requests_that_wait(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    headers = {"Authorization": f"Bearer {token()}", "Prefer": "wait=60"}
    with service(tmp_path, free_port(), DEMO_PAUSE="0.9", DEMO_PAGE="10") as server:
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, timeout=PATIENCE
        ) as client:
            await User(client).connect()
            answers: list[httpx.Response] = []
            async with anyio.create_task_group() as group:
                group.start_soon(_start, client, answers)
                with anyio.fail_after(PATIENCE):
                    while (await client.get("/api/sync/status")).status_code != 200:
                        await anyio.sleep(0.01)
                exit_code = await anyio.to_thread.run_sync(server.terminate, 5.0)
    assert exit_code == 0
    assert [answer.status_code for answer in answers] == [202], answers[0].text
    assert answers[0].headers["preference-applied"] == "wait=60"
    assert "Traceback" not in server.log


async def _start(client: httpx.AsyncClient, answers: list[httpx.Response]) -> None:
    answers.append(await client.post("/api/sync/start"))


@pytest.fixture(autouse=True)
def keep_descriptor_limit() -> Iterator[None]:
    """A command that runs in the test's process raises its limit."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _refusal(*command: str, **environ: str) -> str:
    """The error of a command that fails: one sentence, not a traceback."""
    with patch.dict(os.environ, environ, clear=True):
        done = CliRunner().invoke(main, command)
    assert isinstance(done.exception, SystemExit), done.exception
    return _sentence(done.exit_code, done.stderr)


def _refusal_of_process(*command: str, **environ: str) -> str:
    """The same of a process."""
    done = subprocess.run(
        [sys.executable, "-m", "service", *command],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return _sentence(done.returncode, done.stderr)


def _sentence(exit_code: int, error: str) -> str:
    assert exit_code == 1, error
    assert "Traceback" not in error
    assert error.startswith("error: ")
    return error


def _environ(folder: Path) -> dict[str, str]:
    return {
        "AUTH_SECRET": SECRET,
        "SECRETS_KEYS": KEY,
        "PORT": "0",
        **DATABASES.environ(folder),
    }


def test_missing_secrets_are_named() -> None:
    error = _refusal_of_process("serve")
    assert "AUTH_SECRET" in error and "SECRETS_KEYS" in error and "AUTH_MODE=demo" in error


def test_a_malformed_key_is_named(tmp_path: Path) -> None:
    assert "SECRETS_KEYS" in _refusal("serve", **{**_environ(tmp_path), "SECRETS_KEYS": "short"})


def test_an_invalid_jwks_is_named_and_a_valid_one_hides_no_other_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / "jwks.json"
    path.write_text("{}")
    environ = {**_environ(tmp_path), "AUTH_JWKS": str(path)}
    error = _refusal("serve", **environ)
    assert "AUTH_JWKS" in error and str(path) in error
    path.write_bytes(jwks(ec()))
    (tmp_path / "file").touch()
    elsewhere = f"sqlite:///{tmp_path / 'file' / 'data' / 'sync.db'}"
    environ |= {"DATABASE_URL": elsewhere, "REDIS_URL": ""}
    assert "DATABASE_URL" in _refusal("serve", **environ)


def test_demo_mode_refuses_a_public_address(tmp_path: Path) -> None:
    public = ("demo", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path / "data"))
    error = _refusal_of_process(*public)  # it has listened, and leaves that to its end
    assert "loopback" in error
    assert not (tmp_path / "data").exists(), "nothing was written"
    environ = {**_environ(tmp_path), "AUTH_MODE": "demo", "HOST": "0.0.0.0"}
    assert "loopback" in _refusal("serve", **environ)


@pytest.mark.sqlite
def test_a_database_of_a_newer_schema_is_not_changed(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "sync.db")
    database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.commit()
    database.close()
    before = (tmp_path / "sync.db").read_bytes()
    assert "newer version" in _refusal("serve", **_environ(tmp_path))
    assert (tmp_path / "sync.db").read_bytes() == before


@pytest.mark.sqlite
def test_a_file_that_is_not_a_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "sync.db").write_text("This is a letter, not a database. " * 100)
    assert "database" in _refusal("serve", **_environ(tmp_path))


@pytest.mark.sqlite
@pytest.mark.parametrize("command", ["serve", "migrate", "rotate-keys"])
def test_an_unusable_data_folder_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    error = _refusal(command, **_environ(tmp_path / "file" / "data"))
    assert str(tmp_path / "file" / "data") in error and "DATABASE_URL" in error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMAZON_SP_API_URL", "sandbox:9000"),
        ("AMAZON_CLAIM_WINDOWS", "{R4}"),
        ("AMAZON_REFUND_FEE_LIMITS", "5.00"),
        ("AMAZON_SP_API_URL", "http://["),
        ("AMAZON_LWA_URL", "http://127.0.0.1:http"),
        ("AMAZON_CONSENT_URL", "http://127.0.0.1:99999"),
        ("DEMO_ORDERS", "many"),
        ("DEMO_PAGE", "0"),
        ("DEMO_PAUSE", "-1"),
    ],
)
def test_a_connectors_malformed_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    environ = {**_environ(tmp_path), "CONNECTORS": "amazon,demo"}
    assert name in _refusal("serve", **environ, **{name: value})


@pytest.mark.sqlite  # it locks its file; PostgreSQL serves many processes
def test_a_second_process_names_the_holder(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with service(tmp_path, free_port()) as first:
        holder, environ = f"process {first.popen.pid}", _environ(tmp_path)
        assert holder in _refusal_of_process("serve", **environ)
        for command in ("serve", "migrate", "rotate-keys"):
            assert holder in _refusal(command, **environ)


def test_a_port_in_use_is_named(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    with service(tmp_path, port):
        environ = {**_environ(tmp_path / "other"), "PORT": str(port)}
        assert f"127.0.0.1:{port}" in _refusal("serve", **environ)


def _get(url: str, path: str) -> httpx.Response:
    """An answer of the sandbox at this address."""
    form = {"grant_type": "refresh_token", "refresh_token": "Atzr|sandbox-1"}
    form |= {"client_id": "client", "client_secret": "secret"}
    token = httpx.post(f"{url}/auth/o2/token", data=form).json()["access_token"]
    return httpx.get(url + path, headers={"x-amz-access-token": token})


ACCOUNT = "/sellers/v1/marketplaceParticipations"


def test_the_sandbox_starts_with_faults_and_with_sellers_of_other_places(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    faults = (" error500 = 1.0 , ", "error500=1", '{"error500": 1}')
    assert [amazon.read_faults(spelling) for spelling in faults] == [Faults(error500=1)] * 3
    options = ("--faults", faults[0], "--marketplaces", "de,FR")
    with sandbox(tmp_path, free_port(), 50, 60, *options) as source:
        assert _get(source.url, ACCOUNT).status_code == 500
        httpx.post(source.url + "/_sandbox/faults", json={})
        assert _get(source.url, ACCOUNT).status_code == 200
        httpx.post(source.url + "/_sandbox/reset")
        assert _get(source.url, ACCOUNT).status_code == 500
        counts = httpx.get(source.url + "/_sandbox/sellers/1").json()["counts"]
        assert counts["orders"]["byMarketplace"].keys() == {"A1PA6795UKMFR9", "A13V1IB3VIYZZH"}


def test_the_demo_connects_a_seller_of_another_place(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with demo(tmp_path, free_port(), 20, 600, "--marketplaces", "JP") as server:
        [connection] = httpx.get(server.url + "/api/connections").json()["connections"]
        assert (connection["region"], connection["marketplaceIds"]) == ("FE", ["A1VC38T7YXB528"])


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_marketplaces_that_no_account_covers_are_refused(command: str) -> None:
    error = _refusal(command, "--port", "0", "--marketplaces", "DE,US")
    assert "--marketplaces" in error and "'DE,US'" in error and "US, CA, MX" in error


def test_the_sandbox_can_be_static(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with sandbox(tmp_path, free_port(), 0, 60, "--static") as source:
        assert "BestSellerStore" in _get(source.url, ACCOUNT).text
        assert "Could not match" in _get(source.url, "/orders/2026-01-01/orders").text


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ("eror500=1", "eror500"),
        ("error500=2", "<= 1.0"),
        ("error500=often", "error500 must be given as NAME=NUMBER, not 'often'"),
        ("error500", "error500 must be given as NAME=NUMBER"),
        ("{", "--faults"),
        ('{"quotas": {"getNothing": [1, 1]}}', "getNothing"),
    ],
)
def test_invalid_faults_are_named(tmp_path: Path, faults: str, error: str) -> None:
    output = _refusal("sandbox", "--port", "0", "--faults", faults)
    assert error in output and "--faults" in output
    folder = tmp_path / "data"
    output = _refusal("demo", "--port", "0", "--data", str(folder), "--faults", faults)
    assert error in output and not folder.exists()


def test_the_process_has_help_which_names_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0 and "Usage:" in done.stdout
    for name in ("serve", "demo", "sandbox", "sync", "watch", "migrate"):
        assert f"\n  {name} " in done.stdout
        helped = CliRunner().invoke(main, [name, "--help"])
        assert helped.exit_code == 0 and "Usage:" in helped.output
