"""The services of these tests are many and short: theirs look for their end more often."""

import anyio
import pytest

import tests.serving
from service.__main__ import Server


class _Prompt(Server):
    async def main_loop(self) -> None:  # uvicorn's own looks every 100 ms
        while not self.should_exit:
            await anyio.sleep(0.005)


@pytest.fixture(autouse=True)
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.serving, "Server", _Prompt)
