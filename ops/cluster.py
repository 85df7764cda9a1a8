"""A cluster on this machine: migrate, two web processes, two workers, and nginx if installed.

It uses the servers of DATABASE_URL and REDIS_URL. Without AUTH_SECRET, AUTH_JWKS and SECRETS_KEYS
it runs in demo mode, with an account of the demo connector. Ctrl-C stops everything."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import monotonic
from typing import Any

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from service.credentials import demo_key
from service.errors import StartupError

ROOT = Path(__file__).parents[1]
DATABASE_URL = "postgresql://postgres@127.0.0.1:5432/sync"
REDIS_URL = "redis://127.0.0.1:6379/0"
SECRETS = ("AUTH_SECRET", "AUTH_JWKS", "SECRETS_KEYS")
#: A sync of the demo account that lasts long enough to be watched.
DEMO = {"DEMO_ORDERS": "2500", "DEMO_PAGE": "50", "DEMO_PAUSE": "0.5"}
NGINX_CONF = ROOT / "ops" / "nginx.conf"
CONNECT_TIMEOUT = 5
LONGEST_START = 180.0
"""Seconds until every process must answer; more than processes wait for the database."""
LONGEST_STOP = 4.0
"""Seconds after which processes that have not stopped are killed."""


class Problem(Exception):
    """A problem and its remedy, as text for the user."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of nginx; the next two are web's")
    parser.add_argument(
        "--data", type=Path, default=Path("data"), help="keeps the key of demo mode"
    )
    parser.add_argument("--nginx", default="nginx", help="the program; empty: without nginx")
    arguments = parser.parse_args()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(arguments.port, arguments.data, find(arguments.nginx), stop)
    except Problem as problem:
        sys.exit(f"error: {problem}")
    except StartupError as error:
        sys.exit(f"error: {error.detail}")


def run(port: int, data: Path, nginx: str | None, stop: Event) -> None:
    """Run the cluster until `stop` is set. Raises Problem, also for a process that ends."""
    settings = environment(os.environ, data)
    check_servers(settings["DATABASE_URL"], settings["REDIS_URL"])
    migrated = subprocess.run(service("migrate"), env=settings, cwd=ROOT).returncode == 0
    if stop.is_set():
        return
    if not migrated:
        raise Problem("The database was not migrated; the reason is above.")
    urls = [f"http://127.0.0.1:{port + number}" for number in (1, 2)]
    with TemporaryDirectory(prefix="cluster-") as folder, Processes(settings) as processes:
        for number, name in enumerate(("web-1", "web-2"), 1):
            processes.start(name, service("serve"), ROLE="web", PORT=str(port + number))
        for name in ("worker-1", "worker-2"):
            processes.start(name, service("work"))
        if nginx:
            conf = Path(folder, "nginx.conf")
            conf.write_text(nginx_conf(port, urls, folder))
            processes.start("nginx", [nginx, "-p", folder, "-c", str(conf), "-g", "daemon off;"])
        proxies = [f"http://127.0.0.1:{port}"] if nginx else []
        if not processes.until_answered([*urls, *proxies], stop):
            return
        if settings["AUTH_MODE"] == "demo":
            connect_demo(urls[0])
        print_addresses(port if nginx else None, urls, settings)
        processes.watch(stop)


def find(program: str) -> str | None:
    """The path of a program. Debian's nginx is in /usr/sbin, where only root looks."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")


def service(command: str) -> list[str]:
    return [sys.executable, "-m", "service", command]


def environment(environ: Mapping[str, str], data: Path) -> dict[str, str]:
    """The settings of every process; demo mode if no secret is set."""
    defaults = {
        "DATABASE_URL": DATABASE_URL,
        "REDIS_URL": REDIS_URL,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    defaults |= {"LOG_FORMAT": "console", "LOG_LEVEL": "warning", "AUTH_MODE": "jwt"}
    given = {name: value for name, value in environ.items() if value}
    if not any(name.removesuffix("_FILE") in SECRETS for name in given):
        defaults |= {**DEMO, "AUTH_MODE": "demo", "SECRETS_KEYS": demo_key(data)}
    fixed = {"HOST": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    return {**defaults, **given, **fixed}


def check_servers(database_url: str, redis_url: str) -> None:
    """Raises Problem if one of the two does not answer."""
    if not database_url.startswith(("postgresql://", "postgres://")):
        raise Problem(f"DATABASE_URL must be postgresql://…, like {DATABASE_URL}.")
    try:
        psycopg.connect(database_url, connect_timeout=CONNECT_TIMEOUT).close()
    except psycopg.Error as error:
        raise Problem(
            f"PostgreSQL of DATABASE_URL cannot be used: {sentence(error)} Start the server, "
            f"create the database (createdb), or set DATABASE_URL. Default: {DATABASE_URL}"
        ) from error
    try:
        with Redis.from_url(redis_url, socket_connect_timeout=CONNECT_TIMEOUT) as redis:
            redis.ping()
    except (RedisError, OSError, ValueError) as error:
        raise Problem(
            f"Redis of REDIS_URL cannot be used: {sentence(error)} Start the server, or "
            f"set REDIS_URL. Default: {REDIS_URL}"
        ) from error


def sentence(error: Exception) -> str:
    """The text of an error in one line, with a full stop."""
    return " ".join(str(error).split()).rstrip(".") + "."


def nginx_conf(port: int, urls: list[str], folder: str) -> str:
    """`ops/nginx.conf` with these addresses, and with its own files in a folder."""
    servers = "".join(
        f"        server {url.removeprefix('http://')} max_fails=0;\n" for url in urls
    )
    paths = "".join(
        f"    {name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    changes = {
        "http {\n": f"http {{\n{paths}    upstream web {{\n{servers}    }}\n",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "http://web:8000;": "http://web;",
    }
    text = NGINX_CONF.read_text()
    for old, new in changes.items():
        if text.count(old) != 1:
            raise Problem(f"{NGINX_CONF} must contain {old.strip()!r} once.")
        text = text.replace(old, new)
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is root's
    return f"{user}pid {folder}/nginx.pid;\n{text}"


class Processes:
    """Processes that are started together and stopped together."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._running.values():
            process.terminate()
        until = monotonic() + LONGEST_STOP
        for process in self._running.values():
            try:
                process.wait(max(0.0, until - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, command: list[str], **environ: str) -> None:
        # In a session of their own, the processes do not receive Ctrl-C: a second signal after the
        # one that this process sends would cut their streams off.
        self._running[name] = subprocess.Popen(
            command, cwd=ROOT, env={**self._environ, **environ}, start_new_session=True
        )

    def watch(self, stop: Event) -> None:
        """Wait until `stop` is set. Raises Problem if a process ends before."""
        while not stop.wait(0.1):
            self._check()

    def until_answered(self, urls: list[str], stop: Event) -> bool:
        """Wait until every address answers. Returns False if `stop` was set before."""
        until = monotonic() + LONGEST_START
        waiting = list(urls)
        while waiting and not stop.wait(0.1):
            self._check()
            if answers(waiting[0]):
                waiting.pop(0)
            elif monotonic() > until:
                raise Problem(f"{waiting[0]} does not answer; the reason is above.")
        return not waiting

    def _check(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                how = f"ended with exit code {process.returncode}"
                raise Problem(f"{name} {how}; all others were stopped. The reason is above.")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5):
            return True
    except OSError:
        return False


def connect_demo(url: str) -> None:
    """Connect an account, unless one is connected. The first sync is the user's."""
    if not call(f"{url}/api/connections")["connections"]:
        body = {"connector": "demo", "refreshToken": "demo", "skipHistoricalSync": True}
        call(f"{url}/api/connections", body)


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Problem(f"The demo account was not connected: {error.read().decode()}") from error
    except OSError as error:
        raise Problem(f"The demo account was not connected: {error}") from error


def print_addresses(port: int | None, urls: list[str], settings: Mapping[str, str]) -> None:
    if port:
        print(f"Dashboard      http://127.0.0.1:{port}   (nginx, in front of both)")
    else:
        print("nginx is not installed: use the web processes, or apt-get install nginx-light.")
    for number, url in enumerate(urls, 1):
        print(f"web-{number}          {url}")
    if settings["AUTH_MODE"] == "demo":
        print("Demo mode: press Start sync. It runs in worker-1 or worker-2.")
    print("Ctrl-C stops all.", flush=True)


if __name__ == "__main__":
    main()
