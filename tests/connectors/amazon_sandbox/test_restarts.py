"""Responses depend on the seed and the day, not on the process."""

import hashlib
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
    REMOVAL_SHIPMENTS,
    REMOVALS,
    RETURNS,
    STOCK,
    TRANSACTIONS,
    US,
    WHOLE_INVENTORY,
    Bench,
)

INCLUDED = "BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES,TAX"


DIGEST = "539ff265c0ca546d6573ccbe4628acb5ac4d167956b55842f2e9a331672ec61b"


async def read_all() -> list[str]:
    """All responses and documents that a connector reads."""
    bench = Bench()
    since = {"lastUpdatedAfter": bench.ago(days=20), "marketplaceIds": US, "includedData": INCLUDED}
    read = [
        (PARTICIPATIONS, {}),
        (ORDERS, since),
        (INVENTORY, WHOLE_INVENTORY | {"details": "true"}),
        (TRANSACTIONS, {"postedAfter": bench.ago(days=60)}),
        ("/fba/inbound/v0/shipments", {"QueryType": "SHIPMENT", "MarketplaceId": US}),
    ]
    texts = [(await bench.get(path, params)).text for path, params in read]
    for kind in (LEDGER, REIMBURSEMENTS, RETURNS, REMOVALS, REMOVAL_SHIPMENTS, ORDERS_BY_DATE):
        texts.append(await bench.text(await bench.order_report(kind)))
    for kind in (FEES, STOCK):
        texts.append(await bench.text(await bench.order_report(kind, None)))
    return texts


def test_two_processes_with_one_seed_return_the_same_bytes() -> None:
    first, second = (_in_a_process(hash_seed) for hash_seed in ("1", "2"))
    assert len(first) > 10_000
    assert first == second


@pytest.mark.anyio
async def test_the_data_of_a_seller_is_the_same_in_every_version() -> None:
    """Sellers are a function of seed, size and day. The names of scenarios and random streams are
    part of the seed: renaming one changes every seller, and this digest."""
    text = "\n".join(await read_all())
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def _in_a_process(hash_seed: str) -> str:
    """The output of `read_all` in a new process. The hash seed decides the order of sets."""
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
