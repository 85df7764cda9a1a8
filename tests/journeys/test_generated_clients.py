"""The programs of docs/integrating.md, run against the service: clients that generators make of
/openapi.json, and a reader of a feed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from tests.documents import snippets
from tests.serving import PATIENCE, Serving, serve, token

pytestmark = pytest.mark.anyio

CLIENTS = Path(__file__).parents[1] / "clients"
PAGE, SECTION = "docs/integrating.md", "Generated clients"
SMALL: Any = {"DEMO_ORDERS": "40", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.02"}
DATASETS = ("orders", "inventory")
READ = 42
"""The records of a small demo."""


def environ(service: Serving, *programs: Path) -> Mapping[str, str]:
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "URL": service.url, "TOKEN": token("ann")}


async def run(folder: Path, environ: Mapping[str, str], *command: str) -> str:
    """What a command prints. It may need much longer than PATIENCE on a busy machine."""

    def wait() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=3 * PATIENCE
        )

    done = await anyio.to_thread.run_sync(wait)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_generated_python_client_imports_a_seller(tmp_path: Path) -> None:
    (generate,), (program,) = (snippets(PAGE, SECTION, kind)[:1] for kind in ("sh", "python"))
    (tmp_path / "import_seller.py").write_text(program)
    async with serve(tmp_path / "data", **SMALL) as service:
        known = environ(service, Path(sys.executable).parent)
        said = await run(tmp_path, known, "sh", "-ec", generate)
        assert said.count("WARNING") == said.count("Unsupported content type text/csv") <= 3, said
        assert "ERROR" not in said
        printed = await run(tmp_path, known, sys.executable, "import_seller.py")
        assert printed.split() == ["complete", str(READ), "1", "0"]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder in which Node finds the installed packages."""
    if not (shutil.which("npx") and (CLIENTS / "node_modules").is_dir()):
        missing = "the clients are not installed: make tests/clients/node_modules"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    return folder


RUN = """
import { importSeller, summary } from "./import-seller.js";
const { URL: url, TOKEN: token } = process.env;
console.log(JSON.stringify(await importSeller(url, token)));
console.log(summary({ data: { syncId: "sync_1", recordsProcessed: 7 } }));
"""


WRONG = """
import type { components } from "./seller-sync.js";
type Start = components["schemas"]["StartIn"];
export const nothing: Start = {};
// @ts-expect-error -- not a choice
export const choice: Start = { onConflict: "wait" };
// @ts-expect-error -- not a field
export const field: Start = { datasetz: [] };
export const total: components["schemas"]["SyncStatus"]["totalOrders"] = null;
// @ts-expect-error -- required and never null
export const status: components["schemas"]["SyncStatus"]["status"] = null;
"""


async def test_a_generated_typescript_client_compiles_strictly_and_imports_a_seller(
    node: Path, tmp_path: Path
) -> None:
    """With it, `wrong.ts` is compiled: the types require nothing that is optional."""
    _, commands = snippets(PAGE, SECTION, "sh")
    (program,) = snippets(PAGE, SECTION, "ts")
    (node / "import-seller.ts").write_text(program)
    (node / "wrong.ts").write_text(WRONG)
    (node / "run.js").write_text(RUN)
    assert commands.count("import-seller.ts") == 1
    commands = commands.replace("import-seller.ts", "import-seller.ts wrong.ts")
    async with serve(tmp_path / "data", **SMALL) as service:
        known = environ(service)
        await run(node, known, "sh", "-ec", commands)
        printed = (await run(node, known, "node", "run.js")).splitlines()
        assert json.loads(printed[0]) == ["complete", READ, 1, 0]
        assert printed[1] == "sync_1: 7 records"


async def test_a_reader_of_a_feed_resumes_where_it_stopped(tmp_path: Path) -> None:
    (program,) = snippets(PAGE, "Resuming a feed", "python")
    (tmp_path / "follow.py").write_text(program)
    async with serve(tmp_path / "data", **SMALL) as service:
        ann, known = service.user(), environ(service)
        await ann.connect()
        await ann.whole_sync(datasets=["orders"])
        await service.settled()
        first = (await run(tmp_path, known, sys.executable, "follow.py")).splitlines()
        await ann.whole_sync(datasets=["inventory"])
        await service.settled()
        second = (await run(tmp_path, known, sys.executable, "follow.py")).splitlines()
        assert await run(tmp_path, known, sys.executable, "follow.py") == ""
        stored = [[name, one["id"]] for name in DATASETS for one in await ann.records(name)]
        read = [json.loads(line) for line in (*first, *second)]
        assert sorted(change[1:] for change in read) == sorted(stored)
        assert {change[0] for change in read} == {"created"}
        assert {json.loads(line)[1] for line in second} == {"inventory"}
