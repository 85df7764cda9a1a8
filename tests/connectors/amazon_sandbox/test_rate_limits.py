"""Rate limits: token buckets with Amazon's published rates."""

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.operations import OPERATIONS

from .bench import INVENTORY, ORDERS, PARTICIPATIONS, Bench, error_of

pytestmark = pytest.mark.anyio

EXHAUSTED = (429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


@pytest.fixture
def metered() -> Bench:
    return Bench(Settings(orders=0))


async def exhaust(bench: Bench, path: str) -> int:
    """The number of calls before the first 429."""
    for count in range(100):
        if (await bench.get(path)).status_code == 429:
            return count
    raise AssertionError("no call was throttled")


@pytest.mark.parametrize(
    ("name", "rate", "burst"),
    [
        ("getMarketplaceParticipations", 0.016, 15),
        ("getAccount", 0.016, 15),
        ("searchOrders", 0.0056, 20),
        ("getOrder", 0.5, 30),
        ("getInventorySummaries", 2, 2),
        ("listTransactions", 0.5, 10),
    ],
)
async def test_the_published_quotas_apply(
    metered: Bench, name: str, rate: float, burst: int
) -> None:
    [operation] = [operation for operation in OPERATIONS if operation.name == name]
    assert await exhaust(metered, operation.path) == burst
    await metered.clock.sleep(0.9 / rate)
    assert (await metered.get(operation.path)).status_code == 429
    await metered.clock.sleep(0.1 / rate)
    assert (await metered.get(operation.path)).status_code != 429


async def test_a_429_has_neither_the_rate_nor_a_retry_time(metered: Bench) -> None:
    answered = await metered.get(INVENTORY)
    assert answered.headers["x-amzn-ratelimit-limit"] == "2"
    await exhaust(metered, INVENTORY)
    response = await metered.get(INVENTORY)
    assert error_of(response) == EXHAUSTED
    assert "x-amzn-ratelimit-limit" not in response.headers
    assert "retry-after" not in response.headers


async def test_each_seller_application_and_operation_has_its_own_bucket(metered: Bench) -> None:
    await exhaust(metered, INVENTORY)
    assert (await metered.get(PARTICIPATIONS)).status_code == 200
    await metered.log_in("Atzr|sandbox-2")
    assert (await metered.get(INVENTORY)).status_code == 400
    await metered.log_in(client_id="another application")
    assert (await metered.get(INVENTORY)).status_code == 400
    await metered.log_in()
    assert (await metered.get(INVENTORY)).status_code == 429


async def test_speed_multiplies_the_rate_and_announces_it_but_not_the_burst() -> None:
    bench = Bench(Settings(orders=0, speed=60))
    response = await bench.get(ORDERS, {"createdAfter": bench.ago(days=1)})
    assert response.headers["x-amzn-ratelimit-limit"] == "0.336"
    assert await exhaust(bench, ORDERS) == 19
    await bench.clock.sleep(3)
    assert (await bench.get(ORDERS)).status_code == 400


async def test_quotas_can_be_set_at_startup_and_at_run_time() -> None:
    bench = Bench(Settings(orders=0, quotas={"searchOrders": (1, 3)}, speed=2))
    assert (await bench.get(f"{ORDERS}/x")).headers["x-amzn-ratelimit-limit"] == "1"
    assert (await bench.get(ORDERS)).headers["x-amzn-ratelimit-limit"] == "2"
    assert await exhaust(bench, ORDERS) == 2
    await bench.control("faults", {"quotas": {"searchOrders": [4, 5]}})
    await bench.clock.sleep(60)
    assert (await bench.get(ORDERS)).headers["x-amzn-ratelimit-limit"] == "8"
    assert await exhaust(bench, ORDERS) == 4


def test_a_quota_of_an_unknown_operation_is_rejected() -> None:
    with pytest.raises(ValueError, match="getNothing"):
        Settings(quotas={"getNothing": (1, 1)})
