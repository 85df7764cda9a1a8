"""The doors of a test bench: what a seller has, what was called, and what shall go wrong."""

from collections import Counter
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon.sandbox.answers import Refused, invalid, refusal, reply
from connectors.amazon.sandbox.faults import Faults
from connectors.amazon.sandbox.generator.identity import Identity
from connectors.amazon.sandbox.generator.seller import Seller
from connectors.amazon.sandbox.operations import NAMES
from connectors.amazon.sandbox.operations.transaction import place
from connectors.amazon.sandbox.state import Sandbox

Body = TypeVar("Body")


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    refresh_token: str


async def show_seller(sandbox: Sandbox, request: Request) -> Response:
    """What the seller has today; with `?truth=claims`, the claims that should be found."""
    name = request.path_params["name"]
    identity = Identity.of_name(name, sandbox.settings.orders)
    if identity is None:
        return refusal(Refused(404, "NotFound", f"{name} is no seller: use SEED or SEED-ORDERS"))
    if request.query_params.get("truth") == "claims":
        return reply({"claims": []})
    return reply(_counts(await sandbox.shelf.get(identity, sandbox.clock.now().date())))


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


def _counts(seller: Seller) -> object:
    counts = {
        "orders": Counter(sale.marketplace for sale in seller.sales),
        "inventory": Counter({name: len(stock) for name, stock in seller.stock.items()}),
        "transactions": Counter(place(posting).id for posting in seller.postings),
    }
    return {
        "seed": seller.identity.seed,
        "orders": seller.identity.orders,
        "day": seller.day,
        "counts": {
            name: {"total": count.total(), "byMarketplace": count} for name, count in counts.items()
        },
    }
