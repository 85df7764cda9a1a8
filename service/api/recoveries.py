"""Claims with their evidence and totals, as JSON or as a CSV file; their sums by month."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date
from typing import Annotated, Literal

from msgspec import Meta, field
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.errors import Invalid, NotFound
from service.store.claims import StoredClaim
from service.store.engine import Values
from service.wire import responses, serialize, shapes
from service.wire.csv_files import csv_line, download
from service.wire.paging import Page, Paged
from service.wire.reading import Query, moment, read_query

COLUMNS = (
    *("id", "rule", "title", "status", "units", "amount", "currency", "opens", "closes"),
    *("confidence", "valuation", "happenedAt", "foundAt", "closedReason", "paidAmount"),
    *("paidCurrency", "paidAt", "reimbursementId", "summary", "caseText"),
)
#: Claims that a download reads at once.
BATCH = 500
OTHER_CURSOR = "Not a cursor of this list. Use the nextCursor of the last response."

Text = Annotated[str, Meta(max_length=200)]


class ClaimsQuery(Query, frozen=True):
    """Filters of claims."""

    status: Literal["", "waiting", "claimable", "expired", "reimbursed", "closed"] = ""
    rule: str = ""
    connection_id: str = ""
    #: An ISO 4217 code.
    currency: str = ""
    #: Only claims whose id, rule, title or details contain this text, in any case.
    q: Text = ""
    #: Only claims that close before this day.
    closes_before: str = ""
    #: Only claims whose event was on this day or later.
    from_: str = field(default="", name="from")
    #: Only claims whose event was before this day.
    to: str = ""

    def filters(self) -> dict[str, str]:
        """The filters that were given. Raises Invalid, naming the parameter that is wrong."""
        since, until = _day(self.from_, "from"), _day(self.to, "to")
        if since and until and since >= until:
            raise Invalid.field("to", "Must be later than `from`: `to` is exclusive.")
        filters = {
            "status": self.status,
            "rule": self.rule,
            "connection_id": self.connection_id,
            "currency": _currency(self.currency),
            "q": self.q.strip().lower(),
            "closes_before": _day(self.closes_before, "closesBefore"),
            "since": since,
            "until": until,
        }
        return {name: text for name, text in filters.items() if text}


class RecoveriesQuery(ClaimsQuery, frozen=True):
    """Filters, order and page of the claims."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str | None = None
    #: closes: claimable claims first, then by closing day. amount: the largest first, unknown ones
    #: last. found: the newest first.
    sort: Literal["closes", "amount", "found"] = "closes"

    def order_page(self) -> Page:
        """The page in this sort order; a cursor of another sort order is refused."""
        paged = Paged(limit=self.limit, cursor=self.cursor)
        return paged.page(f"recoveries by {self.sort}", key_length=3)


class SeriesQuery(ClaimsQuery, frozen=True):
    """Filters and grouping of the sums."""

    by: Literal["month"] = "month"
    group: Literal["rule"] = "rule"


async def list_all(request: Request) -> Response:
    """List claims and their totals. With `Accept: text/csv`, all claims as a file."""
    user, query = actor(request).user, read_query(request, RecoveriesQuery)
    filters = query.filters()
    store, today = parts(request).recoveries, parts(request).clock.now().date()
    if "text/csv" in request.headers.get("accept", ""):
        return download("recoveries.csv", _lines(request, user, filters, query.sort))
    page = query.order_page()
    try:
        claims = await store.page(user, filters, today, page.read_limit, page.after, query.sort)
    except ValueError as error:
        raise Invalid.field("cursor", OTHER_CURSOR) from error
    shown, next_cursor = page.cut(claims, key=lambda claim: claim.position(query.sort))
    return responses.JSON(
        shapes.Recoveries(
            recoveries=[serialize.recovery(claim) for claim in shown],
            totals=[serialize.total(row) for row in await store.totals(user, filters, today)],
            closing=[
                serialize.closing_total(row) for row in await store.closing(user, filters, today)
            ],
            next_cursor=next_cursor,
        )
    )


async def series(request: Request) -> Response:
    """Get the sums of claims by the month of their event. Closed claims count only if `status`
    selects them."""
    user, query = actor(request).user, read_query(request, SeriesQuery)
    today = parts(request).clock.now().date()
    rows = await parts(request).recoveries.series(user, query.filters(), today)
    return responses.JSON(
        shapes.RecoverySeries(series=[serialize.series_point(row) for row in rows])
    )


async def one(request: Request) -> Response:
    """Get a claim with its evidence: the records that prove it, as they were when it was found, and
    what the source has changed since."""
    user, claim_id = actor(request).user, request.path_params["claim_id"]
    today = parts(request).clock.now().date()
    stored = await parts(request).recoveries.one(user, claim_id, today)
    if stored is None:
        raise NotFound(f"You have no claim {claim_id}. GET /api/recoveries lists yours.")
    kept = await parts(request).recoveries.evidence(stored.id)
    named = stored.claim.evidence
    evidence = {
        dataset: await _proofs(request, stored, dataset, kept.get(dataset, {}))
        for dataset in dict.fromkeys((*named, *kept))
    }
    return responses.JSON(serialize.proven_recovery(stored, evidence))


async def _proofs(
    request: Request, stored: StoredClaim, dataset: str, kept: Mapping[str, Values]
) -> list[shapes.EvidenceOut]:
    """The proving records of one dataset, in the order of their ids."""
    ids = sorted({*kept, *stored.claim.evidence.get(dataset, ())})
    rows = await parts(request).records.by_id(stored.connection_id, dataset, ids)
    now = {row["id"]: row for row in rows}
    proofs = [
        serialize.proof(stored.connection_id, kept.get(record_id), now.get(record_id))
        for record_id in ids
    ]
    return [proof for proof in proofs if proof]


async def _lines(
    request: Request, user: str, filters: Mapping[str, str], sort: str
) -> AsyncIterator[bytes]:
    """The header and every claim as a line, read in batches: a download may have any size."""
    yield csv_line(COLUMNS)
    store, today = parts(request).recoveries, parts(request).clock.now().date()
    after: Sequence[str] = ()
    while claims := await store.page(user, filters, today, BATCH, after, sort):
        yield b"".join(csv_line(_cells(claim)) for claim in claims)
        after = claims[-1].position(sort)


def _cells(claim: StoredClaim) -> tuple[str, ...]:
    shape, paid = serialize.recovery(claim), claim.paid
    values = {
        **{name: getattr(shape, name) for name in COLUMNS if hasattr(shape, name)},
        "valuation": " ".join(step.text for step in shape.valuation),
        "happenedAt": shape.happened_at,
        "foundAt": shape.found_at,
        "closedReason": shape.closed_reason,
        "paidAmount": paid and paid.amount,
        "paidCurrency": paid and paid.currency,
        "paidAt": paid and paid.at,
        "reimbursementId": paid and paid.reimbursement_id,
        "caseText": shape.case_text,
    }
    return tuple("" if values[name] is None else str(values[name]) for name in COLUMNS)


def _day(text: str, name: str) -> str:
    """A day in a query parameter, given as one or as a time with its zone. Raises Invalid."""
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    try:
        at = moment(text, name)
    except Invalid as error:
        raise Invalid.field(name, "Must be a day like 2026-01-15.") from error
    return at.astimezone(UTC).date().isoformat() if at else ""


def _currency(text: str) -> str:
    if text and not (len(text) == 3 and text.isascii() and text.isalpha()):
        raise Invalid.field("currency", "Must be an ISO 4217 code like USD.")
    return text.upper()
