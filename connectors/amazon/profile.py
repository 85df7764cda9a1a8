"""How each environment wants to be asked: production whatever one needs, Amazon's static sandbox a
few literal requests.

Those are written in Amazon's official models (github.com/amzn/selling-partner-api-models), at each
answer under `x-amzn-api-sandbox`. The answers are fixed examples: of nobody's account, and the same
for every caller."""

from collections.abc import Mapping, Sequence

import msgspec

from connectors.base import Unknowable

UK, JAPAN, BRAZIL, US = "A1F83G8C2ARO7P", "A1VC38T7YXB528", "A2Q3Y263D00KWC", "ATVPDKIKX0DER"


class Request(msgspec.Struct, frozen=True):
    """What an operation is asked: its query, the argument of its path, its body."""

    params: Mapping[str, str]
    argument: str = ""
    body: Mapping[str, object] | None = None


class Pace(msgspec.Struct, frozen=True):
    """A usage plan, and the name that its calls are counted under."""

    name: str
    rate: float
    burst: float


class Profile(msgspec.Struct, frozen=True):
    """An environment.

    `pace` is the usage plan that all operations share (None: each has its own). `cases` are the
    only requests that are answered, by operation and region ("" for any); None: all are. `free` are
    operations that answer to all the same; `lacks` says of others why they do not. `places` are
    marketplaces by region in which its seller sells beside those that it tells."""

    pace: Pace | None = None
    cases: Mapping[str, Mapping[str, Request]] | None = None
    free: frozenset[str] = frozenset()
    lacks: Mapping[str, str] = {}
    places: Mapping[str, Sequence[str]] = {}

    def asked(self, operation: str, region: str, request: Request) -> Request:
        """What is asked for a request. Raises Unknowable if nothing answers to it."""
        if self.cases is None or operation in self.free:
            return request
        cases = self.cases.get(operation, {})
        if case := cases.get(region) or cases.get(""):
            return case
        why = (
            f"Amazon's static sandbox has no example of {operation}: what it would tell is unknown."
        )
        raise Unknowable(self.lacks.get(operation, why))

    def single(self, operation: str) -> bool:
        """Whether its only answer is an example: the token of a next page in it leads nowhere."""
        return self.cases is not None and operation not in self.free


# Without these words there is no match. The persons in the answers are Amazon's invention.
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
        # None is of the United States; each region has one of its own.
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
        # It wants a token, though there was no page before.
        "listTransactions": {
            "": Request({"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"})
        },
        "getShipments": {"": Request({"MarketplaceId": US, "QueryType": "SHIPMENT"})},
        # Of another shipment than the one that is listed.
        "getShipmentItemsByShipmentId": {"": Request({"MarketplaceId": US}, "FBA15DJ9SVVD")},
    },
    lacks=dict.fromkeys(
        ("getReports", "createReport", "getReport", "getReportDocument"),
        "Amazon's static sandbox makes no such report: what it would tell is unknown there.",
    ),
    # Whichever region is asked, it tells of the United States only.
    places={"EU": (UK,), "FE": (JAPAN,)},
)

PROFILES: Mapping[str, Profile] = {"production": PRODUCTION, "sandbox": SANDBOX}


def profile(environment: str) -> Profile:
    return PROFILES.get(environment, PRODUCTION)
