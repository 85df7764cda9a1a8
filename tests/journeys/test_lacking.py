"""Accounts without Fulfillment by Amazon, or without a role, are read, with one warning each."""

from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from connectors import amazon_sandbox as amazon
from tests.journeys.test_amazon import connected, served

pytestmark = pytest.mark.anyio

REFUSALS = {
    "/sellers/v1/marketplaceParticipations": (
        403,
        b'{"errors":[{"code":"Unauthorized","message":"Access to requested resource is denied."}]}',
    ),
    "/fba/inventory/v1/summaries": (
        400,
        b'{"errors":[{"code":"InvalidInput","message":"Invalid Input","details":""}]}',
    ),
}


async def test_a_missing_feature_is_named_once_and_the_rest_is_read(tmp_path: Path) -> None:
    whole = amazon.create_app(amazon.Settings(orders=50, speed=3000))

    async def lacking(scope: Scope, receive: Receive, send: Send) -> None:
        if refusal := REFUSALS.get(scope.get("path", "")):
            await Response(refusal[1], refusal[0])(scope, receive, send)
        else:
            await whole(scope, receive, send)

    async with served(lacking) as url, connected(tmp_path, url, 50) as (_, ann, _):
        done = await ann.whole_sync(datasets=["orders", "inventory", "transactions"])
        outcomes = {item["name"]: (item["status"], item["processed"]) for item in done["datasets"]}
        assert outcomes["inventory"] == ("complete", 0)
        assert outcomes["orders"] == ("complete", 50)
        warnings = str(done["warnings"])
        assert warnings.count("do not use Fulfillment by Amazon") == 1
        assert warnings.count("lacks the role Selling Partner Insights") == 1
