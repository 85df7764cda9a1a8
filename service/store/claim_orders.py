"""The sort orders and filters of the list of claims.

A sort order is a sequence of parts, and each claim belongs to one part. A part is read along one
index, starting after the last claim of the previous page: all pages take equally long."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

STATUSES = ("waiting", "claimable", "expired", "reimbursed", "closed")
STATUS = """CASE WHEN state <> 'open' THEN state
                 WHEN :today < opens THEN 'waiting'
                 WHEN :today <= closes THEN 'claimable'
                 ELSE 'expired' END"""

Filters = Mapping[str, str]
"""Values by name: status, rule, connection_id, currency, q, closes_before, since, until."""

LARGEST = 2**53
"""The largest number of hundredths that is stored."""

_OF_STATUS = {
    "claimable": "state = 'open' AND closes >= :today AND opens <= :today",
    "waiting": "state = 'open' AND opens > :today",
    "expired": "state = 'open' AND closes < :today AND opens <= :today",
    "reimbursed": "state = 'reimbursed'",
    "closed": "state = 'closed'",
}
_FILTERS = {
    "rule": "rule = :rule",
    "connection_id": "connection_id = :connection_id",
    "currency": "currency = :currency",
    "q": "words LIKE :q ESCAPE '!'",
    "closes_before": "+closes < :closes_before",  # +: keeps SQLite from using an index here
    "since": "happened_at >= :since",
    "until": "happened_at < :until",
}


class ListPart(msgspec.Struct, frozen=True):
    """Claims that match one condition, in the order of an index: by a column, then by id."""

    index: str
    where: str
    column: str
    descending: bool = False
    #: The type of the column's values.
    type: type = str

    def reads(self, after: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The conditions of consecutive reads, with their values. `after` is a value of the column
        and an id; if empty, all claims are read. Raises ValueError for a value that the column
        cannot have.

        Claims with the same value are read separately: with a single condition, SQLite would scan
        all claims with that value, and a first sync finds thousands of them."""
        if not after:
            yield self.where, {}
            return
        value, claim_id = self.type(after[0]), after[1]
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError("too large a number")
        values = {"after": value, "after_id": claim_id}
        if self.column == "id":
            yield f"{self.where} AND id > :after_id", values
            return
        yield f"{self.where} AND {self.column} = :after AND id > :after_id", values
        beyond = "<" if self.descending else ">"
        # +: SQLite applies only the bound `after` to the index.
        where = self.where.replace(f"{self.column} {beyond}=", f"+{self.column} {beyond}=")
        yield f"{where} AND {self.column} {beyond} :after", values

    def source(self, condition: str) -> str:
        """The SQL after FROM. It names the index, since SQLite might choose another index for a
        filter and sort all claims for each page."""
        by = f"{self.column}{' DESC' if self.descending else ''}"
        order_by = by if self.column == "id" else f"{by}, id"
        return f"claims INDEXED BY {self.index} WHERE {condition} ORDER BY {order_by}"


ORDERS: Mapping[str, Sequence[ListPart]] = {
    "closes": [ListPart("claims_by_closing", where, "closes") for where in _OF_STATUS.values()],
    "amount": [
        ListPart("claims_by_amount", "hundredths IS NOT NULL", "hundredths", True, int),
        ListPart("claims_by_amount", "hundredths IS NULL", "id"),
    ],
    "found": [ListPart("claims_by_finding", "true", "found_at", True)],
}
"""The sort orders by name. closes: claimable claims first, then waiting, expired, reimbursed and
closed claims, each group by closing day. amount: largest first, unknown amounts last. found: newest
first."""

Position = tuple[str, str, str]
"""The place of a claim in a sort order: the index of its part, the value of the part's column, its
id."""


def position(
    order: str, status: str, closes: date, hundredths: int | None, found_at: str, claim_id: str
) -> Position:
    if order == "amount":
        part, value = ("1", claim_id) if hundredths is None else ("0", str(hundredths))
    elif order == "found":
        part, value = "0", found_at
    else:
        part, value = str(list(_OF_STATUS).index(status)), closes.isoformat()
    return part, value, claim_id


def reads(
    user: str, filters: Filters, today: date, order: str, after: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The SQL after FROM and its values, for each part that has claims after the position `after`.
    An empty `after` means the beginning. Raises ValueError if `after` is not a position in this
    sort order."""
    begin = int(after[0]) if after else 0
    if not 0 <= begin < len(ORDERS[order]):
        raise ValueError("not a position in this sort order")
    status = _OF_STATUS.get(filters.get("status", "")) if order == "closes" else None
    others = {name: text for name, text in filters.items() if not status or name != "status"}
    condition, values = where(user, others, today)
    for number, part in enumerate(ORDERS[order][begin:], begin):
        if status in (None, part.where):
            for later, more in part.reads(after[1:] if number == begin else ()):
                yield part.source(f"{condition} AND {later}"), {**values, **more}


def where(user: str, filters: Filters, today: date) -> tuple[str, dict[str, Any]]:
    """The condition of the user's claims that match, and its values."""
    clauses = ["user_id = :user"]
    clauses += [clause for name, clause in _FILTERS.items() if name in filters]
    if "status" in filters:
        clauses.append(_OF_STATUS[filters["status"]])
    values = {**filters, "user": user, "today": today.isoformat()}
    return " AND ".join(clauses), values | ({"q": _pattern(filters["q"])} if "q" in filters else {})


def _pattern(words: str) -> str:
    """The LIKE pattern of texts with these words."""
    return f"%{re.sub('[!%_]', lambda found: f'!{found[0]}', words)}%"


def of_status(status: str) -> str:
    """The condition of claims with this status on the day `:today`."""
    return _OF_STATUS[status]
