"""Bad weather on demand."""

from collections import Counter

import pytest

from .bench import ORDERS, PARTICIPATIONS, Bench, refusal

pytestmark = pytest.mark.anyio


async def statuses(bench: Bench, calls: int = 100) -> list[int]:
    return [(await bench.get(PARTICIPATIONS)).status_code for _ in range(calls)]


@pytest.mark.parametrize(("fault", "status"), [("error500", 500), ("throttle", 429)])
async def test_a_share_of_the_calls_fails_and_the_same_ones_each_time(
    bench: Bench, fault: str, status: int
) -> None:
    await bench.door("faults", {fault: 0.2})
    first = await statuses(bench)
    assert 10 < Counter(first)[status] < 30
    await bench.door("faults", {fault: 0.2})
    assert await statuses(bench) == first


async def test_an_expired_token_stays_expired(bench: Bench) -> None:
    await bench.log_in()
    await bench.door("faults", {"expireTokens": 1})
    assert refusal(await bench.get(PARTICIPATIONS))[0] == 403
    await bench.door("faults", {})
    assert refusal(await bench.get(PARTICIPATIONS))[0] == 403
    await bench.log_in()
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_slow_answers_take_their_time(bench: Bench) -> None:
    await bench.door("faults", {"slow": 7.5})
    before = bench.clock.now()
    await bench.get(PARTICIPATIONS)
    assert (bench.clock.now() - before).total_seconds() == 7.5


@pytest.mark.parametrize("share", [1.0, 0.4])
async def test_duplicate_pages_come_twice_and_still_come_to_an_end(
    bench: Bench, share: float
) -> None:
    await bench.door("faults", {"duplicatePages": share})
    pages = [page async for page in bench.orders(maxResultsPerPage=10)]
    times = Counter(page["orders"][0]["orderId"] for page in pages)
    assert len(times) == 12
    assert set(times.values()) == ({2} if share == 1 else {1, 2})


async def test_no_token_repeats_when_pages_do(bench: Bench) -> None:
    await bench.door("faults", {"duplicatePages": 1})
    tokens = [
        page["pagination"]["nextToken"]
        async for page in bench.orders(maxResultsPerPage=10)
        if "pagination" in page
    ]
    assert len(tokens) == len(set(tokens)) == 23


@pytest.mark.parametrize(
    "body", ["{", '{"error500": 2}', '{"eror500": 1}', '{"quotas": {"getNothing": [1, 1]}}', "[]"]
)
async def test_faults_that_make_no_sense_are_refused(bench: Bench, body: str) -> None:
    response = await bench.client.post("/_sandbox/faults", content=body)
    assert refusal(response)[:2] == (400, "InvalidInput")
    assert (await bench.get(f"{ORDERS}/x")).status_code == 404
