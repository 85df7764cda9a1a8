"""What a sandbox answers is decided by its seed and the day, not by the process that answers."""

import os
import subprocess
import sys

import pytest

from .bench import (
    FEES,
    INVENTORY,
    LEDGER,
    ORDERS,
    ORDERS_BY_DATE,
    PARTICIPATIONS,
    REIMBURSEMENTS,
    REMOVALS,
    RETURNS,
    STOCK,
    TRANSACTIONS,
    US,
    WHOLE_INVENTORY,
    Bench,
)

INCLUDED = "BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES,TAX"


async def read_all() -> list[str]:
    """Everything that a connector reads of the seller."""
    bench = Bench()
    since = {"lastUpdatedAfter": bench.ago(days=20), "marketplaceIds": US, "includedData": INCLUDED}
    read = [
        (PARTICIPATIONS, {}),
        (ORDERS, since),
        (INVENTORY, WHOLE_INVENTORY | {"details": "true"}),
        (TRANSACTIONS, {"postedAfter": bench.ago(days=60)}),
        ("/fba/inbound/v0/shipments", {"QueryType": "SHIPMENT", "MarketplaceId": US}),
    ]
    told = [(await bench.get(path, params)).text for path, params in read]
    for kind in (LEDGER, REIMBURSEMENTS, RETURNS, REMOVALS, ORDERS_BY_DATE):
        told.append(await bench.text(await bench.order_report(kind)))
    for kind in (FEES, STOCK):
        told.append(await bench.text(await bench.order_report(kind, None)))
    return told


@pytest.mark.timeout(90)
def test_two_processes_of_one_seed_answer_the_same_bytes() -> None:
    first, second = (_in_a_process(hash_seed) for hash_seed in ("1", "2"))
    assert len(first) > 10_000
    assert first == second


def _in_a_process(hash_seed: str) -> str:
    """Sets of text are in another order in each process, unless the seed of their hashes is set."""
    script = (
        "import anyio\n"
        "from tests.connectors.amazon_sandbox.test_restarts import read_all\n"
        "print('\\n'.join(anyio.run(read_all)))\n"
    )
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout
