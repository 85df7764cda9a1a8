"""`make cluster`: what it starts and prints, how it stops, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from httpx_sse import connect_sse

from ops.cluster import Problem, check_servers, environment, nginx_conf
from service.errors import StartupError
from tests.databases import DATABASES, ON_POSTGRES, REDIS, SERVER
from tests.journeys.nginx import require_nginx
from tests.journeys.process import ROOT
from tests.serving import PATIENCE

on_postgres = pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres")
SECRETS = ("AUTH_SECRET", "AUTH_JWKS", "SECRETS_KEYS", "AUTH_MODE")


def three_ports() -> int:
    """The first of three free ports in a row."""
    for first in range(20_000 + os.getpid() % 5_000 * 3, 60_000, 3):
        try:
            for port in range(first, first + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise AssertionError("no free ports")


@contextmanager
def make_cluster(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environ |= {**DATABASES.environ(folder), "DEMO_PAUSE": "0.1"}
    command = [sys.executable, "-m", "ops.cluster", "--port", str(port), *options]
    with (folder / "cluster.log").open("w") as log:
        popen = subprocess.Popen(
            [*command, "--data", str(folder / "data")],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with popen:
        try:
            yield popen
        finally:
            popen.terminate()


def processes(pid: int) -> Mapping[int, str]:
    """The child processes of a process and their commands."""
    lines = subprocess.run(
        ["ps", "-e", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    return {int(child): args for parent, child, args in rows if int(parent) == pid}


@on_postgres
def test_a_newcomer_follows_a_sync_through_nginx_and_stops_all_by_ctrl_c(tmp_path: Path) -> None:
    require_nginx()
    port = three_ports()
    with make_cluster(tmp_path, port) as cluster:
        assert cluster.stdout
        printed = ""
        while "Ctrl-C" not in printed:
            line = cluster.stdout.readline()
            assert line, (tmp_path / "cluster.log").read_text()
            printed += line
        assert all(f"http://127.0.0.1:{port + number}" in printed for number in range(3))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as browser:
            assert "<title>" in browser.get("/").text
            sync_id = browser.post("/api/sync/start").json()["syncId"]
            events = []
            with connect_sse(browser, "GET", f"/api/sse/sync-progress/{sync_id}") as source:
                for event in source.iter_sse():
                    events.append(event.event)
            assert events[-1] == "complete" and events.count("progress") > 3
            polls = [browser.get(f"/api/sync/status/{sync_id}").json() for _ in range(4)]
            assert all(poll == polls[0] for poll in polls), "both web processes say the same"
            assert polls[0]["ordersProcessed"] == 2500
        started = processes(cluster.pid)
        commands = sorted(args.rpartition(" ")[2] for args in started.values())
        assert commands[-4:] == ["serve", "serve", "work", "work"] and len(commands) == 5
        cluster.send_signal(signal.SIGINT)
        assert cluster.wait(60) == 0
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in (tmp_path / "cluster.log").read_text()


@on_postgres
def test_a_process_that_ends_is_named_and_all_others_are_stopped(tmp_path: Path) -> None:
    with make_cluster(tmp_path, three_ports(), "--nginx", "") as cluster:
        until = monotonic() + 240
        while len(workers := _named(processes(cluster.pid), " work")) < 2:
            assert cluster.poll() is None and monotonic() < until
            sleep(0.05)
        started = processes(cluster.pid)
        os.kill(max(workers), signal.SIGKILL)
        assert cluster.wait(60) == 1
    error = (tmp_path / "cluster.log").read_text()
    assert "error: worker-2 ended with exit code -9" in error and "Traceback" not in error
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def _named(started: Mapping[int, str], end: str) -> list[int]:
    return [pid for pid, args in started.items() if args.endswith(end)]


# What it refuses ----------------------------------------------------------------------------------


@on_postgres
def test_servers_that_do_not_answer_are_named_with_what_to_do() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Problem, match=r"PostgreSQL of DATABASE_URL .*\. Start the server"):
            check_servers(f"postgresql://postgres@{host}/sync", REDIS)
        with pytest.raises(Problem, match=r"Redis of REDIS_URL .*\. Start the server"):
            check_servers(f"{SERVER}/postgres", f"redis://{host}/0")
    with pytest.raises(Problem, match=r"does not exist.*createdb"):
        check_servers(f"{SERVER}/sync_test_missing", REDIS)
    with pytest.raises(Problem, match="REDIS_URL"):
        check_servers(f"{SERVER}/postgres", "127.0.0.1:6379")
    check_servers(f"{SERVER}/postgres", REDIS)


def test_sqlite_is_refused() -> None:
    with pytest.raises(Problem, match="must be postgresql://"):
        check_servers("sqlite:///data/sync.db", REDIS)


def test_demo_mode_needs_that_no_secret_is_set(tmp_path: Path) -> None:
    demo = environment({}, tmp_path)
    assert demo["AUTH_MODE"] == "demo" and demo["HOST"] == "127.0.0.1"
    assert environment({}, tmp_path)["SECRETS_KEYS"] == demo["SECRETS_KEYS"], "the key is kept"
    secured = environment({"AUTH_SECRET": "s" * 32, "SECRETS_KEYS": "k"}, tmp_path)
    assert secured["AUTH_MODE"] == "jwt" and secured["SECRETS_KEYS"] == "k"
    assert "DEMO_ORDERS" not in secured


def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="--data"):
        environment({}, tmp_path / "file" / "data")


def test_the_configuration_of_nginx_has_the_addresses_of_this_cluster(tmp_path: Path) -> None:
    conf = nginx_conf(8000, ["http://127.0.0.1:8001", "http://127.0.0.1:8002"], str(tmp_path))
    assert "listen 127.0.0.1:8000;" in conf
    assert "server 127.0.0.1:8001 " in conf and "server 127.0.0.1:8002 " in conf
    assert "web:8000" not in conf
