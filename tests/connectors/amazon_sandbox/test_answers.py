"""Rules that every response follows, whatever the operation."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from connectors.amazon_sandbox import Settings
from tests.connectors.amazon import bench as reading
from tests.connectors.amazon.bench import DATASETS, connect

from .bench import PARTICIPATIONS, UNLIMITED, Bench

pytestmark = pytest.mark.anyio

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DATED = re.compile(r".*(Time|Date|Before|DateTime|Estimation)")
AMOUNT_TYPES = {"amount": str, "Amount": str | float | int, "currencyAmount": float | int}


async def test_responses_have_valid_times_and_amounts_and_no_null() -> None:
    """In all responses of a complete sync of a seller."""
    bench = reading.Bench(Settings(orders=2_500, quotas=reading.UNLIMITED))
    responses: list[httpx.Response] = []

    def record(request: httpx.Request, answered: httpx.Response) -> None:
        if not request.url.path.startswith(("/_documents/", "/auth/")):
            responses.append(answered)

    bench.wire.spoil = record
    await bench.connector.check(connect(), bench.waiting)
    for dataset in DATASETS:
        await bench.sync(dataset)
    assert len(responses) > 200
    for response in responses:
        assert response.headers["x-amzn-requestid"]
        for name, value in fields(json.loads(response.content)):
            assert value is not None, name
            if DATED.fullmatch(name):
                assert MOMENT.fullmatch(str(value)), f"{name}: {value!r}"
            if kind := AMOUNT_TYPES.get(name):
                assert isinstance(value, kind), f"{name}: {value!r}"


def fields(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, nested in value.items():
            yield from fields(nested, key)
    elif isinstance(value, list):
        for nested in value:
            yield from fields(nested, name)
    else:
        yield name, value


@pytest.mark.parametrize(
    ("marketplace", "country"),
    [("A1F83G8C2ARO7P", "GB"), ("A1PA6795UKMFR9", "DE"), ("A39IBJ37TRP1C6", "AU")],
)
async def test_a_country_is_named_by_its_iso_code(marketplace: str, country: str) -> None:
    bench = Bench(Settings(orders=3, quotas=UNLIMITED, marketplaces=(marketplace,)))
    participations = (await bench.get(PARTICIPATIONS)).json()["payload"]
    assert country in [
        participation["marketplace"]["countryCode"] for participation in participations
    ]
