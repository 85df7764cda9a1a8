"""Claims with their evidence and totals, as JSON or as a CSV file."""

from collections.abc import AsyncIterator, Mapping
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.errors import NotFound
from service.store.claims import StoredClaim
from service.wire import responses, serialize, shapes
from service.wire.csv_files import csv_line, download
from service.wire.paging import Paged
from service.wire.reading import read_query

COLUMNS = (
    *("id", "rule", "title", "status", "units", "amount", "currency", "opens", "closes"),
    *("confidence", "valuation"),
)
#: Claims that a download reads at once.
BATCH = 500


class RecoveriesQuery(Paged, frozen=True):
    """Filters and page of the claims."""

    status: Literal["", "waiting", "claimable", "expired", "reimbursed"] = ""
    rule: str = ""
    connection_id: str = ""

    def filters(self) -> dict[str, str]:
        filters = {"status": self.status, "rule": self.rule, "connection_id": self.connection_id}
        return {name: text for name, text in filters.items() if text}


async def list_all(request: Request) -> Response:
    """List claims and their totals. With `Accept: text/csv`, all claims as a file."""
    user, query = actor(request).user, read_query(request, RecoveriesQuery)
    filters = query.filters()
    store, today = parts(request).recoveries, parts(request).clock.now().date()
    if "text/csv" in request.headers.get("accept", ""):
        return download("recoveries.csv", _lines(request, user, filters))
    page = query.page("recoveries")
    claims = await store.page(user, filters, today, page.read_limit, *page.after)
    shown, next_cursor = page.cut(claims, key=lambda claim: (claim.id,))
    totals = await store.totals(user, filters, today)
    return responses.JSON(
        shapes.Recoveries(
            recoveries=[serialize.recovery(claim) for claim in shown],
            totals=[serialize.total(row) for row in totals],
            next_cursor=next_cursor,
        )
    )


async def one(request: Request) -> Response:
    """Get a claim with its evidence, the records that prove it."""
    user, claim_id = actor(request).user, request.path_params["claim_id"]
    today = parts(request).clock.now().date()
    stored = await parts(request).recoveries.one(user, claim_id, today)
    if stored is None:
        raise NotFound(f"You have no claim {claim_id}. GET /api/recoveries lists yours.")
    records = parts(request).records
    evidence = {
        dataset: [
            serialize.record(row) for row in await records.by_id(stored.connection_id, dataset, ids)
        ]
        for dataset, ids in stored.claim.evidence.items()
    }
    return responses.JSON(serialize.proven_recovery(stored, evidence))


async def _lines(request: Request, user: str, filters: Mapping[str, str]) -> AsyncIterator[bytes]:
    """The header and every claim as a line, read in batches: a download may have any size."""
    yield csv_line(COLUMNS)
    store, today, after = parts(request).recoveries, parts(request).clock.now().date(), ""
    while claims := await store.page(user, filters, today, BATCH, after):
        yield b"".join(csv_line(_cells(claim)) for claim in claims)
        after = claims[-1].id


def _cells(claim: StoredClaim) -> tuple[str, ...]:
    shape = serialize.recovery(claim)
    values = (getattr(shape, name) for name in COLUMNS)
    return tuple("" if value is None else str(value) for value in values)
