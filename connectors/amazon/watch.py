"""Waiting for the reports that were ordered: looks at growing pauses, and what comes instead of a
report."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from connectors.amazon.client import Client, Unknown
from connectors.amazon.desk import (
    CANCELLED,
    DEADLINE,
    DONE,
    FATAL,
    GET_REPORT,
    LONGEST_POLL,
    REPORT_SECONDS,
    SHORTEST,
    Desk,
    Report,
    memory,
    pause,
    took,
)
from connectors.amazon.documents import Kind, Part
from connectors.amazon.marks import Mark, Order
from connectors.base import Clock, Connection, Unknowable, Waiting

PATIENCE = timedelta(minutes=10)
"""How long a sync waits until Amazon makes the report of a further marketplace, or names the
document of a finished one."""


class Failed(Unknowable):
    """A report will not come. `why` names the count of Order that limits ordering it again."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(f"{text} What it would have told is unknown; a later sync asks again.")
        self.why = why
        self.text = text


class Watch:
    """Waits for the reports of one dataset and connection."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        kind: Kind,
        connection: Connection,
        waiting: Waiting,
        desk: Desk,
        parts: Sequence[Part],
    ) -> None:
        self._client = client
        self._clock = clock
        self._kind = kind
        self._connection = connection
        self._waiting = waiting
        self._desk = desk
        self._parts = parts
        self.took: dict[str, str] = {}
        """How long reports took, to be kept with the connection."""
        self.ended: set[str] = set()
        """The reports that came to nothing."""
        self.guess = 0.0
        """Seconds that a report may take of which nothing is known, where the caller can tell."""

    async def made(self, mark: Mark) -> Mark:
        """The mark once its part's document is there. Raises Unknowable if it never will be."""
        order = mark.orders[mark.at]
        part = self._parts[order.part]
        announced = self._clock.now()
        while order.document is None:
            report = await self._desk.look(order.report)
            if report.reportType != part.type:  # a source that lost ours may give its id again
                raise Unknown(f"The report {order.report} is of another type than the one ordered.")
            if report.processingStatus == DONE and report.reportDocumentId:
                # Amazon's own moment: it is listed under it later, and may be part of a key.
                order = msgspec.structs.replace(
                    order,
                    document=report.reportDocumentId,
                    made_at=order.keyed or report.createdTime,
                )
                self._remember(report)
                break
            if report.processingStatus in (CANCELLED, FATAL):
                self.given_up(order)
                if other := await self._instead(order):
                    order = other
                    continue
                raise await self._ended_as(report, mark)
            now = self._clock.now()
            if now - order.made_at > (PATIENCE if report.processingStatus == DONE else DEADLINE):
                self.given_up(order)
                raise Failed("stuck", _unfinished(report, part, now - order.made_at))
            if now >= announced:
                due = order.made_at + timedelta(seconds=self.takes(part))
                overdue = now + timedelta(seconds=LONGEST_POLL / self._client.speed)
                announced = due if due > now else overdue
                await self._waiting(announced, f"Amazon to make the report {part.type}")
            passed = (now - order.made_at).total_seconds()
            rate = self._client.bucket(self._connection, GET_REPORT).rate
            seconds = pause(passed, self._learned(part) > 0, self.takes(part), rate)
            await self._clock.sleep(seconds)
        orders = list(mark.orders)
        orders[mark.at] = order
        return msgspec.structs.replace(mark, orders=tuple(orders))

    def given_up(self, order: Order) -> None:
        self.ended.add(order.report)
        self._desk.drop(self._parts[order.part].type, order.report)

    async def _ended_as(self, report: Report, mark: Mark) -> Failed:
        """What is said of a report that Amazon ended, with its reason where it gives one."""
        part = self._parts[mark.orders[mark.at].part]
        text = f"Amazon ended the report {part.type} as {report.processingStatus}"
        if report.processingStatus == FATAL:
            why = await self._desk.complaint(report)
            return Failed("fatal", f"{text}: {why}" if why else f"{text}, without a reason.")
        if self._kind.interval is None and await self.others(mark):
            return Failed(
                "cancelled",
                f"{text}, since another report of the type was ordered shortly before. This "
                "application did not order that one, so it may tell of less and is not used.",
            )
        return Failed("cancelled", f"{text}, without a reason.")

    async def _instead(self, order: Order) -> Order | None:
        """Who asks too often is cancelled, though another report of ours may be there; also one
        whose id never arrived, since the order was sent twice."""
        age, part = max(self._kind.fresh, self._kind.stale), self._parts[order.part]
        listed = await self._desk.listed_since(self._parts[0].type, order.made_at)
        found = self._desk.covering(listed, part)
        if order.asked:
            found = [*self._desk.sent(listed, part, order.asked), *found]
        others = [each for each in self._desk.fresh(found, age) if each.reportId not in self.ended]
        if not others:
            return None
        self._desk.keep(part.type, others[-1].reportId)
        return msgspec.structs.replace(
            order, made_at=others[-1].createdTime, report=others[-1].reportId
        )

    def _learned(self, part: Part) -> float:
        """Seconds that the last one of this type took; 0 where nothing is known."""
        known = self.took.get(memory(part.type))
        return float(known) if known else took(self._connection, part.type) or 0.0

    def takes(self, part: Part) -> float:
        return self._learned(part) or self.guess or REPORT_SECONDS / self._client.speed

    def _remember(self, report: Report) -> None:
        if report.processingEndTime:
            seconds = (report.processingEndTime - report.createdTime).total_seconds()
            self.took[memory(report.reportType)] = f"{max(seconds, SHORTEST):.1f}"

    async def others(self, mark: Mark) -> list[Report]:
        """Other reports of the type that were ordered within the interval of the one in work; where
        each part has its own span, without those that we ordered beside it."""
        order, interval = mark.orders[mark.at], self._kind.interval
        beside = {order.report} if interval else {each.report for each in mark.orders}
        return [
            each
            for each in await self._desk.listed_since(self._parts[0].type, order.made_at)
            if each.reportId not in self.ended | beside
            and abs(each.createdTime - order.made_at) < (interval or self._kind.fresh)
        ]


def _unfinished(report: Report, part: Part, after: timedelta) -> str:
    minutes = after / timedelta(minutes=1)
    if report.processingStatus == DONE:
        return f"Amazon finished the report {part.type}, but names no document of it."
    return f"Amazon did not finish the report {part.type} in {minutes:.0f} minutes."
