"""These tests run many short services, so their servers check more often whether to stop."""

import anyio
import pytest

import tests.serving
from service.server import Server


class _PromptServer(Server):
    async def main_loop(self) -> None:  # uvicorn's own checks every 100 ms
        while not self.should_exit:
            await anyio.sleep(0.005)


@pytest.fixture(autouse=True)
def stop_promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.serving, "Server", _PromptServer)
