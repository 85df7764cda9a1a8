"""The requests that each environment accepts: production accepts every request, Amazon's static
sandbox only a few literal ones.

Those are defined in Amazon's official models (github.com/amzn/selling-partner-api-models), at each
response under `x-amzn-api-sandbox`. The responses are fixed examples, which belong to no account
and are the same for every caller."""

from collections.abc import Mapping, Sequence

import msgspec

from connectors.base import Unknowable

UK, JAPAN, BRAZIL, US = "A1F83G8C2ARO7P", "A1VC38T7YXB528", "A2Q3Y263D00KWC", "ATVPDKIKX0DER"


class Request(msgspec.Struct, frozen=True):
    """The parameters of a call: its query, the argument of its path, its body."""

    params: Mapping[str, str]
    argument: str = ""
    body: Mapping[str, object] | None = None


class Pace(msgspec.Struct, frozen=True):
    """A usage plan, and the name under which its calls are counted."""

    name: str
    rate: float
    burst: float


class Profile(msgspec.Struct, frozen=True):
    """An environment."""

    #: The usage plan that all operations share; None if each has its own.
    pace: Pace | None = None
    #: The only accepted requests, by operation and region ("" for any); None if all are accepted.
    cases: Mapping[str, Mapping[str, Request]] | None = None
    #: Operations that accept any request nevertheless.
    free: frozenset[str] = frozenset()
    #: Why an operation has no example.
    lacks: Mapping[str, str] = {}
    #: Marketplaces of the seller, by region, in addition to those that the environment reports.
    places: Mapping[str, Sequence[str]] = {}

    def accepted(self, operation: str, region: str, request: Request) -> Request:
        """The request to send instead of the given one. Raises Unknowable if none is accepted."""
        if self.cases is None or operation in self.free:
            return request
        cases = self.cases.get(operation, {})
        if case := cases.get(region) or cases.get(""):
            return case
        why = f"Amazon's static sandbox has no example of {operation}: its data is unknown."
        raise Unknowable(self.lacks.get(operation, why))

    def single(self, operation: str) -> bool:
        """Whether the operation has a single example. Its page token leads nowhere."""
        return self.cases is not None and operation not in self.free


# The sandbox matches these values literally. The persons in its examples are fictitious.
_PERSONS = "BUYER,RECIPIENT,PROCEEDS"
_WHOLE_ORDER = f"{_PERSONS},EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES"


def _search(marketplace: str, since: str, included: str, **more: str) -> Request:
    params = {"createdAfter": since, "marketplaceIds": marketplace, "includedData": included}
    return Request({**params, **more})


PRODUCTION = Profile()
SANDBOX = Profile(
    pace=Pace("sandbox", 5, 15),
    free=frozenset({"getMarketplaceParticipations", "getInventorySummaries"}),
    cases={
        # Each region has its own example; none is of the United States.
        "searchOrders": {
            "NA": _search(BRAZIL, "2024-12-20T00:00:00Z", f"{_PERSONS},FULFILLMENT,TAX,PAYMENT"),
            "EU": _search(
                UK,
                "2024-12-23T00:00:00Z",
                _WHOLE_ORDER,
                paginationToken="9ZhB4RmVyc2lvbiAxLjAgb2YgdGhl",
            ),
            "FE": _search(JAPAN, "2024-12-25T00:00:00Z", _WHOLE_ORDER),
        },
        # The example requires a token although no page precedes it.
        "listTransactions": {
            "": Request({"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"})
        },
        "getShipments": {"": Request({"MarketplaceId": US, "QueryType": "SHIPMENT"})},
        # The example is of another shipment than the one that getShipments returns.
        "getShipmentItemsByShipmentId": {"": Request({"MarketplaceId": US}, "FBA15DJ9SVVD")},
    },
    lacks=dict.fromkeys(
        ("getReports", "createReport", "getReport", "getReportDocument"),
        "Amazon's static sandbox makes no such report: its data is unknown there.",
    ),
    # In every region, the sandbox reports the United States only.
    places={"EU": (UK,), "FE": (JAPAN,)},
)

PROFILES: Mapping[str, Profile] = {"production": PRODUCTION, "sandbox": SANDBOX}


def profile(environment: str) -> Profile:
    return PROFILES.get(environment, PRODUCTION)
