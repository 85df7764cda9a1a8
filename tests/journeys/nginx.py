"""A real nginx with the configuration of `ops/`, in front of web processes of a test."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from ops.cluster import find, nginx_conf
from tests.serving import PATIENCE

LOGGED = "log_format tried '$status $upstream_addr'; access_log {folder}/access.log tried;"


def require_nginx() -> str:
    """Its path. Skip the test without it; fail it where CI is set."""
    if path := find("nginx"):
        return path
    text = "nginx is not installed: apt-get install nginx-light"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


class Nginx:
    """nginx at `url`, and the web processes that it tried for each request."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "error.log").read_text()

    def answered(self) -> Counter[str]:
        """How many requests each web process answered, by its host and port."""
        lines = (self._folder / "access.log").read_text().splitlines()
        return Counter(line.rpartition(" ")[2] for line in lines)

    def passed_on(self) -> int:
        """How many requests a second web process got because the first one was stopping."""
        return len(
            re.findall(r"^\d+ .*, ", (self._folder / "access.log").read_text(), re.MULTILINE)
        )


@contextmanager
def nginx(folder: Path, port: int, urls: Sequence[str], http: str = "1.1") -> Iterator[Nginx]:
    """nginx in front of these web processes, which it asks by this version of HTTP."""
    folder.mkdir()
    text = nginx_conf(port, list(urls), str(folder))
    for old, new in (
        ("access_log off;", LOGGED.format(folder=folder)),
        ("error_log stderr warn;", f"error_log {folder}/error.log info;"),
        ("proxy_http_version 1.1;", f"proxy_http_version {http};"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    conf = folder / "nginx.conf"
    conf.write_text(text)
    command = [require_nginx(), "-p", str(folder), "-c", str(conf), "-g", "daemon off;"]
    popen = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    server = Nginx(f"http://127.0.0.1:{port}", folder)
    try:
        until = monotonic() + 60
        while True:
            assert popen.poll() is None and monotonic() < until, server.log
            try:
                httpx.get(f"{server.url}/healthz", timeout=PATIENCE)
                break
            except httpx.TransportError:
                sleep(0.05)
        yield server
    finally:
        popen.terminate()
        popen.wait(30)
