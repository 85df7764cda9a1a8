"""A network that swallows packets: the service says so in time, and goes on when it is back."""

from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from service import newest
from service.runner import connector
from service.store import postgres_session
from tests.servers import PostgresServer, proxy
from tests.serving import PATIENCE, serve

pytestmark = [pytest.mark.anyio]


async def test_a_silent_database_is_answered_with_503_and_polls_come_from_memory(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("CONNECT_TIMEOUT", "ACQUIRE_TIMEOUT", "ANSWER_TIMEOUT", "BULK_TIMEOUT"):
        monkeypatch.setattr(postgres_session, name, 2.0)
    monkeypatch.setattr(connector, "ANSWER_TIMEOUT", 2.0)
    monkeypatch.setattr(newest, "SILENT", 1.0)
    async with proxy(server.port) as between:
        environ = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{between.port}/{database}",
            "REDIS_URL": "",
            "DATABASE_POOL": "3",
            "DEMO_PAUSE": "0.5",
        }
        async with serve(tmp_path, None, **environ) as service:
            ann = service.user()
            ann.http.timeout = 60
            await ann.connect()
            sync_id = await ann.start()
            await ann.until(sync_id, "in_progress")
            with capture_logs() as logs:
                between.be_silent()
                refused = await ann.post("/api/sync/start", {})
                assert refused.status_code == 503 and refused.headers["Retry-After"] == "5"
                assert refused.json()["code"] == "store_unavailable"
                assert (await ann.get("/api/connections")).status_code == 503
                assert (await ann.status(sync_id))["status"] == "in_progress"
                between.forward()
                with anyio.fail_after(PATIENCE):
                    while (await ann.get("/api/connections")).status_code == 503:
                        await anyio.sleep(0.1)
                done = await ann.until(sync_id)
            assert (done["status"], done["attempt"]) == ("complete", 1)
    reasons = [log["reason"] for log in logs if log["event"] == "database_away"]
    assert "PostgreSQL does not answer in time" in reasons[0]
    assert not [log for log in logs if "exc_info" in log]


async def test_a_service_stops_while_the_database_is_silent(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres_session, "ANSWER_TIMEOUT", 2.0)
    monkeypatch.setattr(postgres_session, "CLOSE_TIMEOUT", 0.5)
    async with proxy(server.port) as between:
        environ = {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{between.port}/{database}",
            "REDIS_URL": "",
            "DATABASE_POOL": "3",
        }
        with anyio.fail_after(PATIENCE):  # it hung for ever
            async with serve(tmp_path, None, **environ) as service:
                assert (await service.user().get("/api/connections")).status_code == 200
                between.be_silent()
