"""What was found: claims with their evidence, totals, a download."""

from collections.abc import AsyncIterator, Mapping
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.errors import NotFound
from service.store.claims import StoredClaim
from service.wire import responses, serialize, shapes
from service.wire.reading import Paged, cursor, read_cursor, read_query
from service.wire.tables import csv_line, download

COLUMNS = (
    *("id", "rule", "title", "status", "units", "amount", "currency", "opens", "closes"),
    *("confidence", "valuation"),
)
AT_ONCE = 500


class RecoveriesQuery(Paged, frozen=True):
    """Which claims."""

    status: Literal["", "waiting", "claimable", "expired", "reimbursed"] = ""
    rule: str = ""
    connection_id: str = ""

    def filters(self) -> dict[str, str]:
        given = {"status": self.status, "rule": self.rule, "connection_id": self.connection_id}
        return {name: text for name, text in given.items() if text}


async def list_all(request: Request) -> Response:
    """Claims and their totals; with `Accept: text/csv` all of them, as a file."""
    who = actor(request)
    given = read_query(request, RecoveriesQuery)
    filters = given.filters()
    store, today = parts(request).recoveries, parts(request).clock.now().date()
    if "text/csv" in request.headers.get("accept", ""):
        return download("recoveries.csv", _lines(request, who.user, filters))
    after = read_cursor(given.cursor, "recoveries", 1)
    found = await store.page(who.user, filters, today, given.limit + 1, after[0] if after else "")
    page, more = found[: given.limit], len(found) > given.limit
    totals = await store.totals(who.user, filters, today)
    return responses.JSON(
        shapes.Recoveries(
            recoveries=[serialize.recovery(each) for each in page],
            totals=[serialize.total(row) for row in totals],
            next_cursor=cursor("recoveries", page[-1].id) if more else None,
        )
    )


async def one(request: Request) -> Response:
    """One claim with its evidence, the records that prove it."""
    who, wanted = actor(request), request.path_params["claim_id"]
    today = parts(request).clock.now().date()
    found = await parts(request).recoveries.one(who.user, wanted, today)
    if found is None:
        raise NotFound(f"You have no claim {wanted}. GET /api/recoveries lists them.")
    evidence = {
        dataset: [
            serialize.record(row)
            for row in await parts(request).records.some(found.connection_id, dataset, ids)
        ]
        for dataset, ids in found.claim.evidence.items()
    }
    told = msgspec.structs.asdict(serialize.recovery(found))
    return responses.JSON(shapes.ProvenRecovery(**told, evidence=evidence))


async def _lines(request: Request, user: str, filters: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Every claim as a line, read page by page: a download of any size."""
    yield csv_line(COLUMNS)
    store, today, after = parts(request).recoveries, parts(request).clock.now().date(), ""
    while found := await store.page(user, filters, today, AT_ONCE, after):
        yield b"".join(csv_line(_cells(each)) for each in found)
        after = found[-1].id


def _cells(found: StoredClaim) -> tuple[str, ...]:
    told = serialize.recovery(found)
    cells = (getattr(told, name) for name in COLUMNS)
    return tuple("" if each is None else str(each) for each in cells)
