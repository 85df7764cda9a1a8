"""What the rules learn about stored records beside their data."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import connectors
from connectors.amazon.claims import find_claims
from connectors.base import Clock, Dataset, Record, Records
from connectors.claims import Findings
from tests.connectors.amazon.claims.sellers import SHIPMENT, Seller, adjusted, shipment
from tests.service.advancing import AdvancingClock
from tests.service.scripted import Script, ScriptedConnector
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio

NAMES = ("shipments", "ledger", "reimbursements")


class SellerConnector(ScriptedConnector):
    """Has the inputs of R8, and runs the rules."""

    datasets: Sequence[Dataset] = tuple(Dataset(name, name) for name in NAMES)

    def detect(self, records: Records, as_of: datetime) -> Findings:
        return find_claims(records, as_of)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[SellerConnector]:
        yield SellerConnector(script)

    monkeypatch.setattr(connectors, "names", lambda: ("demo",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    script.errors = {name: [] for name in NAMES}
    return script


def stock(script: Script, received: int, status: str = "CLOSED") -> None:
    """A shipment of ten units of which neither its name nor the ledger shows the delivery."""
    row = shipment(10, received, status)
    seller = Seller({"shipments": [row], "ledger": [adjusted(0, "", -1, eventtype="Shipments")]})
    of_data = {name: list(seller.read(name)) for name in NAMES}
    script.records = {
        name: [Record(record.id, record.data) for record in records]
        for name, records in of_data.items()
    }


async def the_claim(user: User) -> Json:
    await user.whole_sync()
    (recovery,) = read(await user.get("/api/recoveries"))["recoveries"]
    shown: Json = recovery
    return shown


async def test_a_shipment_without_a_receipt_counts_from_the_day_on_which_it_was_first_seen(
    tmp_path: Path, script: Script
) -> None:
    clock = AdvancingClock()
    async with serve(tmp_path, clock=clock) as service:
        ann = service.user()
        await ann.connect()
        stock(script, received=7, status="RECEIVING")
        before = clock.now().date()
        await ann.whole_sync()
        after = clock.now().date()
        clock.advance(days=30)
        stock(script, received=8)
        claim = await the_claim(ann)
        assert (claim["rule"], claim["units"], claim["confidence"]) == ("R8", 2, "low")
        assert claim["details"]["countedFrom"] == "the day on which the shipment was first seen"
        assert claim["details"]["shipment"] == SHIPMENT
        opens = [str(day + timedelta(days=15)) for day in (before, after)]
        assert claim["opens"] in opens
        clock.advance(days=10)
        assert (await the_claim(ann))["opens"] == claim["opens"]
