"""Rules of every call."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.amazon_sandbox.operations import OPERATIONS

from .bench import ORDERS, PARTICIPATIONS, US, Bench, error_of

pytestmark = pytest.mark.anyio

PARAMETERS = [
    "createdAfter createdBefore lastUpdatedAfter lastUpdatedBefore maxResultsPerPage includedData",
    "marketplaceIds granularityType granularityId startDateTime sellerSkus details nextToken",
    "postedAfter postedBefore marketplaceId relatedIdentifierName relatedIdentifierValue",
    "reportTypes createdSince pageSize QueryType MarketplaceId LastUpdatedAfter LastUpdatedBefore",
    "CreatedAfter MarketplaceIds NextToken MaxResultsPerPage AmazonOrderIds ShipmentStatusList",
]
VALUES = ["0001-01-01", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", US, "Marketplace"]
VALUES += ["ORDER_ID", "5", "-1", "1e9", "٣", "true", ",", " ", "%", "\x00", "PROCEEDS,TAX"]

DENIED = (403, "Unauthorized", "Access to requested resource is denied.")


@pytest.mark.parametrize("headers", [{}, {"x-amz-access-token": "Atza|made-up"}])
async def test_access_without_a_valid_token_is_denied(
    bench: Bench, headers: dict[str, str]
) -> None:
    response = await bench.client.get(PARTICIPATIONS, headers=headers)
    assert error_of(response) == DENIED
    assert response.headers["x-amzn-errortype"] == "UnauthorizedException"


async def test_an_unknown_token_has_other_details_than_an_expired_one(bench: Bench) -> None:
    bench.token = "Atza|made-up"
    details = (await bench.get(PARTICIPATIONS)).json()["errors"][0]["details"]
    assert details.endswith("revoked, malformed or invalid.")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/orders/v9/orders"), ("POST", ORDERS), ("DELETE", "/")]
)
async def test_an_unknown_path_is_forbidden_instead_of_not_found(
    bench: Bench, method: str, path: str
) -> None:
    response = await bench.client.request(method, path)
    assert error_of(response)[:2] == (403, "MissingAuthenticationToken")
    assert response.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


async def test_a_get_with_a_body_is_rejected(bench: Bench) -> None:
    await bench.log_in()
    headers = {"x-amz-access-token": bench.token}
    response = await bench.client.request("GET", PARTICIPATIONS, content=b"{}", headers=headers)
    assert error_of(response)[:2] == (400, "InvalidInput")


async def test_a_user_agent_of_more_than_500_characters_is_rejected(bench: Bench) -> None:
    bench.client.headers["user-agent"] = "x" * 501
    assert error_of(await bench.get(PARTICIPATIONS))[:2] == (400, "InvalidInput")


async def test_unknown_parameters_and_hosts_are_accepted(bench: Bench) -> None:
    bench.client.headers["host"] = "sellingpartnerapi-na.amazon.com"
    assert (await bench.get(PARTICIPATIONS, {"MarketplaceIds": "x"})).status_code == 200


async def test_every_response_has_a_unique_request_id(bench: Bench) -> None:
    paths = [PARTICIPATIONS, ORDERS, f"{ORDERS}/nope", "/nowhere", PARTICIPATIONS]
    ids = {(await bench.get(path)).headers["x-amzn-requestid"] for path in paths}
    assert len(ids) == len(paths)


async def test_the_log_shows_seller_operation_and_status(bench: Bench) -> None:
    await bench.log_in("Atzr|sandbox-3-5")
    await bench.get(ORDERS, {"includedData": "TAX"})
    await bench.get("/nowhere")
    calls = (await bench.client.get("/_sandbox/log")).json()["calls"]
    assert calls[1:] == [
        {
            "at": "2026-03-02T09:30:00Z",
            "method": "GET",
            "path": ORDERS,
            "operation": "searchOrders",
            "seller": "3-5",
            "status": 400,
            "parameters": {"includedData": "TAX"},
        },
        {
            "at": "2026-03-02T09:30:00Z",
            "method": "GET",
            "path": "/nowhere",
            "operation": None,
            "seller": None,
            "status": 403,
            "parameters": {},
        },
    ]


@settings(max_examples=60, deadline=None)
@given(
    path=st.sampled_from([operation.path for operation in OPERATIONS if operation.method == "GET"]),
    params=st.dictionaries(
        st.sampled_from(" ".join(PARAMETERS).split()), st.sampled_from(VALUES) | st.text()
    ),
)
async def test_no_parameters_crash_an_operation(path: str, params: dict[str, str]) -> None:
    response = await Bench().get(path, params)
    assert response.status_code in (200, 400, 404)
    assert response.status_code == 200 or error_of(response)
