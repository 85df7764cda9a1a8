"""Control endpoints for tests, under `/_sandbox`: inspect sellers and calls, set faults, reset."""

from collections import Counter
from typing import Annotated, TypeVar

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox.faults import Faults
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.identity import MAX_ORDERS, Identity
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.operations import NAMES
from connectors.amazon_sandbox.responses import ApiError, error_response, invalid, json_response
from connectors.amazon_sandbox.state import Sandbox

Body = TypeVar("Body")


class Given(msgspec.Struct, frozen=True):
    """The parts of the seller's own data that the client has."""

    costs: bool
    received: bool


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    refresh_token: str


class ReimbursementRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seed: Annotated[int, msgspec.Meta(ge=0)]
    rule: str
    key: str
    #: The seller's size; the settings' `orders` by default.
    orders: Annotated[int, msgspec.Meta(ge=0, le=MAX_ORDERS)] | None = None
    #: The countries that the seller's name contains.
    countries: tuple[str, ...] = ()


# Rules whose claims a reimbursement closes.
_REIMBURSABLE = ("R1", "R2", "R3", "R4", "R5", "R8", "R11", "R14")


async def show_seller(sandbox: Sandbox, request: Request) -> Response:
    """Show the counts of a seller's data today.

    `?truth=claims` shows the expected claims instead (`&costs=given`, `&received=given`: as
    detected with the cost table, and with the seller's reports on removals), `decoys` the data that
    only resembles claims, `all` both, `endings` how claims of the past have ended, `costs` the cost
    table, `dimensions` the seller's own measures, `received` the seller's reports on removals.
    """
    name = request.path_params["name"]
    identity = Identity.of_name(name, sandbox.settings.orders)
    if identity is None:
        message = f"No seller is named {name}: use SEED, SEED-ORDERS or SEED-ORDERS-DE-FR"
        return error_response(ApiError(404, "NotFound", message))
    seller = await sandbox.seller(identity, sandbox.now())
    selection = request.query_params.get("truth", "")
    if selection not in _VIEWS:
        return error_response(invalid(f"truth must be one of {', '.join(filter(None, _VIEWS))}"))
    given = Given(*(request.query_params.get(name) == "given" for name in ("costs", "received")))
    return json_response(await to_thread.run_sync(_VIEWS[selection], seller, given))


async def reimburse(sandbox: Sandbox, request: Request) -> Response:
    """Reimburse a claim: the report, the transactions and the truth show it from now on."""
    try:
        body = _decode(await request.body(), ReimbursementRequest)
        orders = sandbox.settings.orders if body.orders is None else body.orders
        identity = Identity(body.seed, orders, body.countries)
        if body.countries and not identity.marketplaces:
            raise invalid('countries must belong to one account, such as ["DE", "FR"]')
        seller = await sandbox.seller(identity, sandbox.now())
        claim = await to_thread.run_sync(truth.find, seller, body.rule, body.key)
        _check_reimbursable(seller, claim, body.rule)
    except ApiError as error:
        return error_response(error)
    sandbox.reimburse(identity, body.rule, body.key)
    return json_response({})


def _check_reimbursable(seller: Seller, claim: truth.ExpectedClaim | None, rule: str) -> None:
    if rule not in _REIMBURSABLE:
        raise invalid(f"Claims of {rule} cannot be reimbursed: use {', '.join(_REIMBURSABLE)}")
    if claim is None:
        raise ApiError(404, "NotFound", "Claim not found.")
    if claim.status not in ("waiting", "claimable"):
        raise invalid(f"The claim is {claim.status}")
    reversed_products = {
        reimbursement.product.fn_sku
        for reimbursement in seller.journal.reimbursements
        if reimbursement.units < 0
    }
    if rule == "R1" and claim.fnsku in reversed_products:
        raise invalid("Its reimbursement was reversed: a second one would be a claim of R9")


async def show_log(sandbox: Sandbox, request: Request) -> Response:
    return json_response({"calls": list(sandbox.log)})


async def expire(sandbox: Sandbox, request: Request) -> Response:
    """Expire all access tokens."""
    sandbox.tokens.expire_all()
    return json_response({})


async def revoke(sandbox: Sandbox, request: Request) -> Response:
    """Revoke a seller's consent."""
    try:
        revocation = _decode(await request.body(), Revocation)
        identity = Identity.of_token(revocation.refresh_token, sandbox.settings.orders)
        if identity is None:
            raise invalid("refreshToken is not a refresh token of this sandbox")
    except ApiError as error:
        return error_response(error)
    sandbox.tokens.revoke(identity)
    return json_response({})


async def set_faults(sandbox: Sandbox, request: Request) -> Response:
    """Replace the injected faults; `{}` removes them all."""
    try:
        faults = _decode(await request.body(), Faults)
        if unknown := faults.quotas.keys() - NAMES:
            raise invalid(f"Unknown operation: {', '.join(sorted(unknown))}")
    except ApiError as error:
        return error_response(error)
    sandbox.set_faults(faults)
    return json_response(faults)


async def reset(sandbox: Sandbox, request: Request) -> Response:
    """Return to the state at startup."""
    sandbox.reset()
    return json_response({})


def _decode(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise invalid(f"The request body is invalid: {error}") from None


def _counts(seller: Seller, given: Given) -> object:
    journal = seller.journal
    counts = {
        "orders": Counter(sale.marketplace for sale in seller.sales),
        "inventory": Counter({name: len(stock) for name, stock in seller.stock.items()}),
        "transactions": Counter(posting.marketplace for posting in seller.postings),
    }
    return {
        "seed": seller.identity.seed,
        "orders": seller.identity.orders,
        "day": seller.day,
        "counts": {
            name: {"total": count.total(), "byMarketplace": count} for name, count in counts.items()
        },
        "rows": {
            "orderItems": seller.count_of_lines,
            "ledger": len(seller.ledger),
            "reimbursements": len(journal.reimbursements),
            "returns": len(journal.returns),
            "removals": len(journal.removals),
            "removalShipments": len(journal.parcels),
            "replacements": len(journal.replacements),
            "storageFees": sum(len(entry.rows) for entry in seller.storage),
            "feePreviews": len(seller.products),
            "inboundShipments": len(journal.inbound_shipments),
            "inboundItems": sum(len(shipment.items) for shipment in journal.inbound_shipments),
        },
    }


def _claims(seller: Seller, given: Given) -> object:
    return {"claims": truth.claims(seller, given.costs, given.received)}


def _decoys(seller: Seller, given: Given) -> object:
    return {"decoys": truth.decoys(seller, given.received)}


def _all(seller: Seller, given: Given) -> object:
    claims = truth.claims(seller, given.costs, given.received)
    return {"claims": claims, "decoys": truth.decoys(seller, given.received)}


def _endings(seller: Seller, given: Given) -> object:
    return {"endings": truth.endings(seller)}


def _costs(seller: Seller, given: Given) -> object:
    return {"costs": truth.costs(seller)}


def _dimensions(seller: Seller, given: Given) -> object:
    return {"dimensions": truth.dimensions(seller)}


def _received(seller: Seller, given: Given) -> object:
    return {"received": truth.received(seller)}


_VIEWS = {
    "": _counts,
    "claims": _claims,
    "decoys": _decoys,
    "all": _all,
    "endings": _endings,
    "costs": _costs,
    "dimensions": _dimensions,
    "received": _received,
}
