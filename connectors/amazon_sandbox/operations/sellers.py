"""Sellers v1: the seller's account and marketplaces."""

from connectors.amazon_sandbox.generator.marketplaces import MarketplaceInfo
from connectors.amazon_sandbox.generator.randomness import digest
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation


def get_marketplace_participations(call: Call) -> object:
    return {"payload": _participations(call)}


def get_account(call: Call) -> object:
    address = {"addressLine1": "1 Sandbox Street", "countryCode": "US", "city": "Seattle"}
    business = {
        "name": f"{_store(call)} LLC",
        "registeredBusinessAddress": address,
        "companyRegistrationNumber": digest(call.seller.identity.name)[:9],
    }
    return {
        "payload": {
            "marketplaceParticipationList": _participations(call),
            "businessType": "PRIVATE_LIMITED",
            "sellingPlan": "PROFESSIONAL",
            "business": business,
            "primaryContact": {"name": "Sandbox Seller", "address": address},
        }
    }


def _participations(call: Call) -> list[object]:
    places = call.seller.marketplaces.values()
    return [_participation(marketplace, _store(call)) for marketplace in places]


def _participation(marketplace: MarketplaceInfo, store: str) -> object:
    return {
        "marketplace": {
            "id": marketplace.id,
            "name": marketplace.name,
            "countryCode": marketplace.country,
            "defaultCurrencyCode": marketplace.currency,
            "defaultLanguageCode": marketplace.language,
            "domainName": marketplace.domain,
        },
        "storeName": store,
        "participation": {"isParticipating": True, "hasSuspendedListings": False},
    }


def _store(call: Call) -> str:
    return f"Sandbox Store {call.seller.identity.seed}"


OPERATIONS = (
    ApiOperation(
        "getMarketplaceParticipations",
        "GET",
        "/sellers/v1/marketplaceParticipations",
        0.016,
        15,
        get_marketplace_participations,
    ),
    ApiOperation("getAccount", "GET", "/sellers/v1/account", 0.016, 15, get_account),
)
