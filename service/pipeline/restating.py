"""Finds the amounts that a source has changed in records that were already stored."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import cast

import msgspec

from connectors.base import Connector, Record
from connectors.claims import Money
from connectors.restating import Restating
from service.intake import fit_money
from service.model import Sync
from service.progress import Restated, Tally
from service.store.engine import stamp
from service.store.records import PageWrite, RecordStore


async def with_restated(
    records: RecordStore, connector: Connector, sync: Sync, dataset: str, write: PageWrite
) -> Tally:
    """The tally of a page, with the amounts that the page changes. Reads the stored versions of
    changed records that have an amount, in one query; if there are none, reads nothing."""
    if not write.updated or not hasattr(connector, "amount"):
        return write.tally
    restating = cast(Restating, connector)
    amounts = [
        (record, amount)
        for record in write.updated
        if (amount := fit_money(restating.amount(dataset, record.data)))
    ]
    if not amounts:
        return write.tally
    ids = [record.id for record, _ in amounts]
    rows = await records.by_id(sync.connection_id, dataset, ids)
    before = {
        row["id"]: amount
        for row in rows
        if (amount := fit_money(restating.amount(dataset, row["data"].encode())))
    }
    return msgspec.structs.replace(write.tally, restated=_sum(_changes(amounts, before)))


def _changes(
    amounts: Sequence[tuple[Record, Money]], before: Mapping[str, Money]
) -> Iterator[Restated]:
    """The records whose amount has changed. A record that had no amount before is left out."""
    for record, now in amounts:
        old = before.get(record.id)
        if old is None or (now.currency == old.currency and _value(now) == _value(old)):
            continue
        gone = Restated(1, _days(record), {old.currency: -_value(old)})
        yield gone.plus(Restated(differences={now.currency: _value(now)}))


def _sum(changes: Iterator[Restated]) -> Restated | None:
    total = None
    for change in changes:
        total = change.plus(total)
    return total


def _value(money: Money) -> Decimal:
    return Decimal(money.amount)


def _days(record: Record) -> tuple[date, ...]:
    """The UTC day of a record, if it has one."""
    return (date.fromisoformat(stamp(record.at)[:10]),) if record.at else ()
