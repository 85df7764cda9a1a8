"""Notifications v1."""

import pytest

from .bench import Bench, error_of

pytestmark = pytest.mark.anyio

DESTINATIONS = "/notifications/v1/destinations"
CHANGES = "/notifications/v1/subscriptions/ORDER_CHANGE"
QUEUE = {"sqs": {"arn": "arn:aws:sqs:us-east-2:444455556666:queue"}}
NEW = {"name": "queue", "resourceSpecification": QUEUE}


async def test_a_destination_is_created_listed_and_deleted(bench: Bench) -> None:
    created = (await bench.post(DESTINATIONS, NEW)).json()["payload"]
    assert created["resource"] == QUEUE
    assert (await bench.get(DESTINATIONS)).json()["payload"] == [created]
    path = f"{DESTINATIONS}/{created['destinationId']}"
    assert (await bench.get(path)).json()["payload"] == created
    assert error_of(await bench.post(DESTINATIONS, NEW))[:2] == (409, "Conflict")
    assert (await bench.send("DELETE", path)).status_code == 200
    assert error_of(await bench.get(path))[0] == 404


async def test_a_seller_subscribes_once_to_a_type(bench: Bench) -> None:
    bridge = {"eventBridge": {"accountId": "444455556666", "region": "us-east-1"}}
    new = {"name": "bus", "resourceSpecification": bridge}
    to = (await bench.post(DESTINATIONS, new)).json()["payload"]["destinationId"]
    body = {"payloadVersion": "1.0", "destinationId": to}
    created = (await bench.post(CHANGES, body)).json()["payload"]
    path = f"{CHANGES}/{created['subscriptionId']}"
    for url in (CHANGES, path):
        assert (await bench.get(url)).json()["payload"] == created
    assert error_of(await bench.post(CHANGES, body))[0] == 409
    assert error_of(await bench.send("DELETE", f"{DESTINATIONS}/{to}"))[0] == 409
    assert (await bench.send("DELETE", path)).status_code == 200
    for url in (CHANGES, path):
        assert error_of(await bench.get(url))[0] == 404
    assert error_of(await bench.send("DELETE", path))[0] == 404


async def test_another_application_sees_nothing(bench: Bench) -> None:
    created = (await bench.post(DESTINATIONS, NEW)).json()["payload"]
    await bench.log_in(client_id="another application")
    assert (await bench.get(DESTINATIONS)).json()["payload"] == []
    assert error_of(await bench.get(f"{DESTINATIONS}/{created['destinationId']}"))[0] == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (DESTINATIONS, {}),
        (DESTINATIONS, {"name": "x", "resourceSpecification": {}}),
        (DESTINATIONS, {"name": "x", "resourceSpecification": {"sqs": {"arn": "x"}}}),
        ("/notifications/v1/subscriptions/NOTHING", {"payloadVersion": "1", "destinationId": "1"}),
    ],
)
async def test_invalid_requests_are_rejected(bench: Bench, path: str, body: object) -> None:
    assert error_of(await bench.post(path, body))[:2] == (400, "InvalidInput")
