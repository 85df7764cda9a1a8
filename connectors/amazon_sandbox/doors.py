"""The doors of a test bench: what a seller has, what was called, and what shall go wrong."""

from collections import Counter
from typing import Annotated, TypeVar

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox.answers import Refused, invalid, refusal, reply
from connectors.amazon_sandbox.faults import Faults
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.identity import MOST_ORDERS, Identity
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.operations import NAMES
from connectors.amazon_sandbox.state import Sandbox

Body = TypeVar("Body")


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    refresh_token: str


class Reimbursement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`orders` as in the settings, if left out."""

    seed: Annotated[int, msgspec.Meta(ge=0)]
    rule: str
    key: str
    orders: Annotated[int, msgspec.Meta(ge=0, le=MOST_ORDERS)] | None = None


_PAYABLE = ("R1", "R2", "R3", "R4", "R5", "R8")


async def show_seller(sandbox: Sandbox, request: Request) -> Response:
    """What the seller has today.

    With `?truth=claims`, the claims that should be found (with `&costs=given`, by who has the table
    of costs); with `decoys`, what only looks like one; with `all`, both; with `costs`, the table.
    """
    name = request.path_params["name"]
    identity = Identity.of_name(name, sandbox.settings.orders)
    if identity is None:
        return refusal(Refused(404, "NotFound", f"{name} is no seller: use SEED or SEED-ORDERS"))
    seller = await sandbox.seller(identity, sandbox.now())
    asked = request.query_params.get("truth", "")
    if asked not in _TRUTHS:
        return refusal(invalid(f"truth must be one of {', '.join(filter(None, _TRUTHS))}"))
    with_costs = request.query_params.get("costs") == "given"
    return reply(await to_thread.run_sync(_TRUTHS[asked], seller, with_costs))


async def reimburse(sandbox: Sandbox, request: Request) -> Response:
    """From now on that claim is reimbursed: in the report, in the transactions, in the truth."""
    try:
        wanted = _decode(await request.body(), Reimbursement)
        orders = sandbox.settings.orders if wanted.orders is None else wanted.orders
        identity = Identity(wanted.seed, orders)
        seller = await sandbox.seller(identity, sandbox.now())
        claim = await to_thread.run_sync(truth.find, seller, wanted.rule, wanted.key)
        _check_payable(seller, claim, wanted.rule)
    except Refused as refused:
        return refusal(refused)
    sandbox.settle(identity, wanted.rule, wanted.key)
    return reply({})


def _check_payable(seller: Seller, claim: truth.Claim | None, rule: str) -> None:
    if rule not in _PAYABLE:
        raise invalid(f"A reimbursement closes no claim of {rule}: use {', '.join(_PAYABLE)}")
    if claim is None:
        raise Refused(404, "NotFound", "There is no such claim.")
    if claim.status not in ("waiting", "claimable"):
        raise invalid(f"That claim is {claim.status}")
    taken_back = (each.product.fn_sku for each in seller.book.payments if each.units < 0)
    if rule == "R1" and claim.fnsku in taken_back:
        raise invalid("A payment for it was taken back: paid again, it would be another claim (R9)")


async def show_log(sandbox: Sandbox, request: Request) -> Response:
    return reply({"calls": list(sandbox.log)})


async def expire(sandbox: Sandbox, request: Request) -> Response:
    """All access tokens die now."""
    sandbox.grants.expire_all()
    return reply({})


async def revoke(sandbox: Sandbox, request: Request) -> Response:
    """The seller takes back his consent."""
    try:
        revocation = _decode(await request.body(), Revocation)
        identity = Identity.of_token(revocation.refresh_token, sandbox.settings.orders)
        if identity is None:
            raise invalid("That is no refresh token of this sandbox")
    except Refused as refused:
        return refusal(refused)
    sandbox.grants.revoke(identity)
    return reply({})


async def set_faults(sandbox: Sandbox, request: Request) -> Response:
    """These faults and no others; `{}` is fair weather."""
    try:
        faults = _decode(await request.body(), Faults)
        if unknown := faults.quotas.keys() - NAMES:
            raise invalid(f"No such operation: {', '.join(sorted(unknown))}")
    except Refused as refused:
        return refusal(refused)
    sandbox.face(faults)
    return reply(faults)


async def reset(sandbox: Sandbox, request: Request) -> Response:
    """Everything as at the start."""
    sandbox.reset()
    return reply({})


def _decode(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise invalid(f"The body is not what is expected here: {error}") from None


def _counts(seller: Seller, with_costs: bool) -> object:
    shipments = seller.book.deliveries
    counts = {
        "orders": Counter(sale.marketplace for sale in seller.sales),
        "inventory": Counter({name: len(stock) for name, stock in seller.stock.items()}),
        "transactions": Counter(posting.place for posting in seller.postings),
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
            "reimbursements": len(seller.book.payments),
            "returns": len(seller.book.returns),
            "removals": len(seller.book.removals),
            "feePreviews": len(seller.products),
            "inboundShipments": len(shipments),
            "inboundItems": sum(len(each.items) for each in shipments),
        },
    }


def _claims(seller: Seller, with_costs: bool) -> object:
    return {"claims": truth.claims(seller, with_costs)}


def _decoys(seller: Seller, with_costs: bool) -> object:
    return {"decoys": truth.decoys(seller)}


def _all(seller: Seller, with_costs: bool) -> object:
    return {"claims": truth.claims(seller, with_costs), "decoys": truth.decoys(seller)}


def _costs(seller: Seller, with_costs: bool) -> object:
    return {"costs": truth.costs(seller)}


_TRUTHS = {"": _counts, "claims": _claims, "decoys": _decoys, "all": _all, "costs": _costs}
