"""One report: what was asked for, how it will end, and where it stands at a moment."""

from datetime import date

import msgspec

from connectors.amazon_sandbox.generator.draw import digest, stamp
from connectors.amazon_sandbox.generator.identity import Identity


class Report(msgspec.Struct, frozen=True):
    """Moments in seconds since 1970. `end` is how it will end, at `ready`.

    `flaw`: header_only or short_rows, if its document is to be a bad one. `day` is the day that
    its seller is taken as of, `copies` how often the ledger repeats itself.
    """

    id: str
    type: str
    identity: Identity
    day: date
    marketplaces: tuple[str, ...]
    start: float | None
    until: float
    created: float
    ready: float
    end: str
    rows: int
    flaw: str = ""
    copies: int = 1
    cancelled: float | None = None

    @property
    def begun(self) -> float:
        """When it comes out of the queue: after a quarter of its time."""
        return self.created + (self.ready - self.created) / 4

    @property
    def document_id(self) -> str:
        name = digest("document", self.identity.name, self.id)
        return f"amzn1.spdoc.1.4.na.{name[:8]}-{name[8:12]}-{name[12:16]}.T{self.id[-8:]}"

    @property
    def has_document(self) -> bool:
        return self.end == "DONE"

    def status(self, now: float) -> str:
        if self.cancelled is not None:
            return "CANCELLED"
        if now < self.begun:
            return "IN_QUEUE"
        return "IN_PROGRESS" if now < self.ready else self.end

    def view(self, now: float) -> dict[str, object]:
        """As the API tells it."""
        status = self.status(now)
        told: dict[str, object] = {
            "reportType": self.type,
            "processingStatus": status,
            "marketplaceIds": list(self.marketplaces),
            "reportId": self.id,
            "createdTime": stamp(self.created),
            "dataEndTime": stamp(self.until),
        }
        if self.start is not None:
            told["dataStartTime"] = stamp(self.start)
        if self.cancelled is None and now >= self.begun:
            told["processingStartTime"] = stamp(self.begun)
        if status not in ("IN_QUEUE", "IN_PROGRESS"):
            told["processingEndTime"] = stamp(self.cancelled or self.ready)
        if status == "DONE":
            told["reportDocumentId"] = self.document_id
        return told
