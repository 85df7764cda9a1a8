"""Walks a Dockerfile step by step, without Docker: its absolute paths lie below a folder."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.documents import ROOT

OURS = re.compile(r"(?<![\w.])/(opt/venv|src|data)\b")
"""The absolute paths that the Dockerfile writes to."""
TOOL = '#!/bin/sh\nexec {} "$@"\n'


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The instructions with their arguments, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for step in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if step.strip():
            name, _, rest = step.partition(" ")
            yield name, rest.strip()


def build_context(folder: Path) -> None:
    """Copy what .dockerignore lets through: it excludes all but the names after an `!`."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    rules = [line for line in rules if not line.startswith("#")]
    assert rules[0] == "*"
    hidden = shutil.ignore_patterns(*(r.removeprefix("**/") for r in rules if r.startswith("**/")))
    folder.mkdir()
    for rule in rules:
        if rule.startswith("!"):
            source = ROOT / rule[1:]
            if source.is_dir():
                shutil.copytree(source, folder / rule[1:], ignore=hidden)
            else:
                shutil.copy(source, folder)


class Image:
    """What a Dockerfile has built below `root`, with `python` in place of the base image's."""

    def __init__(self, root: Path, context: Path, python: str) -> None:
        self.root = root
        self.context = context
        self.env: dict[str, str] = {}
        self.workdir = "/"
        #: `user:group`, the commands, and what tells Docker to stop.
        self.said: dict[str, str] = {}
        self._tools = root / "tools"
        self._tools.mkdir()
        (root / "etc").mkdir()
        self._tool("python", python)
        for name in ("useradd", "groupadd"):
            self._tool(name, f"/usr/sbin/{name} --prefix {root}")

    def _tool(self, name: str, command: str) -> None:
        path = self._tools / name
        path.write_text(TOOL.format(command))
        path.chmod(0o755)

    def inside(self, text: str) -> str:
        """The text with the paths of the image as paths below the root."""
        return OURS.sub(lambda match: f"{self.root}{match[0]}", text)

    def build(self, text: str) -> None:
        """Execute every step. Raises CalledProcessError."""
        for name, rest in steps(text):
            match name:
                case "FROM":
                    self._begin()
                case "ENV":
                    pairs = (item.partition("=") for item in shlex.split(rest))
                    self.env |= {key: self.inside(value) for key, _, value in pairs}
                case "WORKDIR":
                    self.workdir = rest
                    self.folder.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(rest)
                case "RUN":
                    self._run(rest)
                case _:
                    self.said[name] = rest

    @property
    def folder(self) -> Path:
        """The working folder."""
        return self.root / self.workdir.lstrip("/")

    @property
    def command(self) -> Sequence[str]:
        return [*json.loads(self.said["ENTRYPOINT"]), *json.loads(self.said["CMD"])]

    @property
    def health(self) -> Sequence[str]:
        command: list[str] = json.loads(self.said["HEALTHCHECK"].partition(" CMD ")[2])
        return command

    def _begin(self) -> None:
        """Another stage: only what it copies from an earlier one is left."""
        self.env, self.workdir, self.said = {}, "/", {}
        shutil.rmtree(self.root / "src", ignore_errors=True)

    def _copy(self, rest: str) -> None:
        *sources, target = rest.split()
        if sources[0].startswith("--from="):
            assert sources[1:] == [target] and Path(self.inside(target)).exists(), rest
            return
        for source in sources:
            found, to = self.context / source, self.folder / target
            if found.is_dir():
                shutil.copytree(found, to, dirs_exist_ok=True)
            else:
                shutil.copy(found, to)

    def _run(self, command: str) -> None:
        env = {**os.environ, **self.env, "PATH": f"{self._tools}:{os.environ['PATH']}"}
        subprocess.run(
            ["sh", "-ec", self.inside(command)],
            check=True,
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def start(self, command: Sequence[str], **environ: str) -> subprocess.Popen[bytes]:
        """A command in the image, as its user, with its environment and no other."""
        user, _, group = self.said["USER"].partition(":")
        path = self.env["PATH"].replace("$PATH", "/usr/bin:/bin")
        env: Mapping[str, str] = {**self.env, "PATH": path, **environ}
        identity = ["--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"]
        with (self.root / "log").open("ab") as log:
            return subprocess.Popen(
                ["/usr/bin/setpriv", *identity, *command],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
