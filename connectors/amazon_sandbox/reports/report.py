"""One report: its request, its outcome, and its status at a moment."""

from datetime import date

import msgspec

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.randomness import digest
from connectors.amazon_sandbox.generator.times import timestamp


class StoredReport(msgspec.Struct, frozen=True):
    """A report. Moments are in seconds since 1970."""

    id: str
    type: str
    identity: Identity
    #: The document shows the seller as of this day.
    day: date
    marketplaces: tuple[str, ...]
    start: float | None
    until: float
    created: float
    #: When it reaches its final status.
    ready: float
    #: The final status: DONE, CANCELLED or FATAL.
    outcome: str
    rows: int
    #: header_only or short_rows, for a defective document.
    flaw: str = ""
    #: How often the ledger repeats its rows of shipments.
    copies: int = 1
    #: Share of the orders that it leaves out, and the seed that chooses them.
    hidden: float = 0.0
    hidden_by: int = 0
    cancelled: float | None = None
    #: Whether another application created it.
    foreign: bool = False

    @property
    def started(self) -> float:
        """When it leaves the queue: after a quarter of its time."""
        return self.created + (self.ready - self.created) / 4

    @property
    def document_id(self) -> str:
        name = digest("document", self.identity.name, self.id)
        return f"amzn1.spdoc.1.4.na.{name[:8]}-{name[8:12]}-{name[12:16]}.T{self.id[-8:]}"

    def status(self, now: float) -> str:
        if self.cancelled is not None:
            return "CANCELLED"
        if now < self.started:
            return "IN_QUEUE"
        return "IN_PROGRESS" if now < self.ready else self.outcome

    def view(self, now: float) -> dict[str, object]:
        """The report as the API returns it."""
        status = self.status(now)
        body: dict[str, object] = {
            "reportType": self.type,
            "processingStatus": status,
            "marketplaceIds": list(self.marketplaces),
            "reportId": self.id,
            "createdTime": timestamp(self.created),
            "dataEndTime": timestamp(self.until),
        }
        if self.start is not None:
            body["dataStartTime"] = timestamp(self.start)
        if self.cancelled is None and now >= self.started:
            body["processingStartTime"] = timestamp(self.started)
        if status not in ("IN_QUEUE", "IN_PROGRESS"):
            body["processingEndTime"] = timestamp(self.cancelled or self.ready)
        if status == "DONE":
            body["reportDocumentId"] = self.document_id
        return body
