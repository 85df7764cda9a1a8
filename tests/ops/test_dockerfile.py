"""The Dockerfile, walked step by step as uid 10001 in an environment of its own."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep

import httpx
import pytest

from tests.documents import ROOT
from tests.servers import free_port, program
from tests.serving import KEY, PATIENCE, SECRET

from .dockerfile import Image, build_context

NOBODY = ("--reuid", "10001", "--regid", "10001", "--clear-groups")
PLANTED = ("views/planted.js", "css/deep/planted.css")
"""Files in subfolders of the dashboard, which the wheel must hold as well."""

pytestmark = [
    pytest.mark.skipif(os.getuid() != 0, reason="only root can become uid 10001"),
    pytest.mark.timeout(1200),  # it downloads and installs every dependency
]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that other users may enter, unlike `tmp_path`."""
    folder = Path(mkdtemp(prefix="image-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def python() -> str:
    """A Python that uid 10001 may run and that can create environments."""
    # Below a private folder, setpriv could start it, but it could not read its own files.
    needs = (
        "import os, sys, venv, ensurepip; os.stat(sys.executable); os.stat(os.__file__); "
        "sys.exit(sys.version_info < (3, 11) or not os.__file__.startswith(sys.base_prefix))"
    )
    for found in (os.path.realpath(sys.executable), "/usr/local/bin/python3", "/usr/bin/python3"):
        command = [program("setpriv"), *NOBODY, found, "-c", needs]
        if not subprocess.run(command, cwd="/", capture_output=True).returncode:
            return found
    pytest.skip("no Python that uid 10001 may run")


def built(root: Path) -> Image:
    context = root / "context"
    build_context(context)
    for name in PLANTED:
        path = context / "service" / "web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("/* planted */\n")
    image = Image(root, context, python())
    try:
        image.build((ROOT / "Dockerfile").read_text())
    except subprocess.CalledProcessError as error:
        if "No matching distribution" in error.stderr and not os.environ.get("CI"):
            pytest.skip("no package index can be reached")
        pytest.fail(f"{error.cmd[-1]}\n{error.stderr[-4000:]}")
    return image


def until_healthy(image: Image, served: "subprocess.Popen[bytes]", port: str) -> None:
    until = monotonic() + 3 * PATIENCE
    while image.start(image.health, PORT=port).wait(PATIENCE):
        assert served.poll() is None and monotonic() < until, (image.root / "log").read_text()
        sleep(0.2)


def test_the_image_serves_as_an_unprivileged_user(root: Path) -> None:
    image = built(root)
    (user,) = (root / "etc" / "passwd").read_text().splitlines()
    assert user.split(":")[2:4] == image.said["USER"].split(":") == ["10001", "10001"]
    data, port = root / "data", str(free_port())
    served = image.start(image.command, AUTH_SECRET=SECRET, SECRETS_KEYS=KEY, PORT=port)
    try:
        until_healthy(image, served, port)
        web = image.context / "service" / "web"
        files = [path for path in web.rglob("*") if path.suffix in (".js", ".css", ".svg")]
        assert {web / name for name in PLANTED} < set(files)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as http:
            assert http.get("/").status_code == 200
            for path in files:
                answer = http.get(f"/web/{path.relative_to(web)}")
                assert answer.content == path.read_bytes(), path
        owned = {path for path in root.rglob("*") if path.lstat().st_uid == 10001}
        assert data / "sync.db" in owned
        assert all(path.is_relative_to(data) for path in owned), "it writes to /data alone"
        stop = getattr(signal, image.said["STOPSIGNAL"])
        served.send_signal(stop)
        assert served.wait(PATIENCE) == 0, (root / "log").read_text()
    finally:
        served.kill()
        served.wait()
    assert image.start(image.health, PORT=port).wait(PATIENCE) != 0, "nothing serves any longer"
