"""Examples of requests and responses, built from their schemas: each field has the example of its
name, and other fields the simplest value that the schema allows."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

AT = "2026-01-15T12:00:00Z"
STARTED = "2026-01-15T11:56:50Z"
SYNC = "sync_0192f0c45d7e7c3a9b1e2f3a4b5c6d7e"
CONNECTION = "conn_0192f0c3a1b27d4e8f90a1b2c3d4e5f6"
CLAIM = "0192f0c7d4e57f8091a2b3c4d5e6f708"
MOVE = "1926e8f2a4c000000000000000000000000007ffffff"

#: By field, or by schema and field. A field of several words is named as on the wire.
VALUES: Mapping[str, Any] = {
    "syncId": SYNC,
    "connectionId": CONNECTION,
    "Connection.id": CONNECTION,
    "Connected.id": CONNECTION,
    "Erasing.id": CONNECTION,
    "Change.id": MOVE,
    "FeedEvent.id": MOVE,
    "Event.id": "31",
    "Event.event": "progress",
    "id": CLAIM,
    "recordId": "903-1000001-0000001",
    "Record.id": "903-1000001-0000001",
    "WholeRecord.id": "903-1000001-0000001",
    "Evidence.id": "903-1000001-0000001",
    "claimId": CLAIM,
    "recoveryId": CLAIM,
    "eventId": MOVE,
    "url": "https://shop.example.com/hooks/sync",
    "description": "The shop",
    "disabledReason": None,
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "types": ["sync.completed"],
    "orderId": "R-1000001",
    "statusUrl": f"/api/sync/status/{SYNC}",
    "streamUrl": f"/api/sse/sync-progress/{SYNC}",
    "trigger": "user",
    "kind": "historical",
    "Dataset.status": "in_progress",
    "SyncMoved.status": "complete",
    "SyncMoved.completedAt": AT,
    "FeedEvent.type": "sync.completed",
    "Total.status": "claimable",
    "Recovery.status": "claimable",
    "ProvenRecovery.status": "claimable",
    "LastSync.status": "complete",
    "LastSync.completedAt": AT,
    "stage": "fetching",
    "progress": 45,
    "message": "Fetching orders (1,247 so far)",
    "Started.message": "Sync started successfully",
    "Freshness.message": "All data was read within the last 24 hours.",
    "Freshness.reason": "up_to_date",
    "WrongLine.message": "The cost must be a number above 0.",
    "FieldError.message": "Must be a whole number from 1 to 100.",
    "FieldError.field": "limit",
    "startedAt": STARTED,
    "completedAt": None,
    "endedAt": None,
    "duration": None,
    "error": None,
    "reason": "The authorisation was revoked.",
    "statusReason": None,
    "Connection.reason": None,
    "Connected.reason": None,
    "warning": "The historical sync was not started. Start a sync to read the data.",
    "processed": 1247,
    "created": 1247,
    "total": 2500,
    "ordersProcessed": 1247,
    "totalOrders": 2500,
    "recordsProcessed": 1730,
    "records": 1730,
    "fraction": 0.5,
    "estimatedSecondsRemaining": 210,
    "seconds": 210,
    "calls": 84,
    "version": 31,
    "maxAttempts": 3,
    "waitingUntil": None,
    "waiting": None,
    "completeness": None,
    "restated": None,
    "Dataset.code": None,
    "warnings": [],
    "since": "2025-10-15T00:00:00Z",
    "until": AT,
    "History.total": 1,
    "errors": [],
    "accepted": 1,
    "claims": 1,
    "ClosingTotal.days": 30,
    "Item.name": None,
    "Item.outcome": "created",
    "role": None,
    "marketplaceIds": ["A1PA6795UKMFR9"],
    "region": "EU",
    "environment": "production",
    "firstSyncId": SYNC,
    "Options.since": "2025-10-15T00:00:00Z",
    "Options.datasets": ["orders"],
    "lastSync": None,
    "liveSyncId": SYNC,
    "nextCursor": None,
    "dataset": "orders",
    "Dataset.name": "orders",
    "Landed.name": "orders",
    "label": "Orders",
    "name": "My shop",
    "accountId": "A1SELLERACCOUNT",
    "columns": [
        {"name": "id", "label": "Order", "path": "orderId", "kind": "text", "currency": None}
    ],
    "sku": "MUG-1",
    "fnsku": "X000MUG001",
    "cost": "4.20",
    "amount": "42.50",
    "currency": "EUR",
    "units": 2,
    "quantityReceived": 2,
    "trackingNumber": "1Z0000000000000001",
    "length": "12.5",
    "width": "10",
    "height": "10",
    "weight": "350",
    "lengthUnit": "cm",
    "weightUnit": "g",
    "opens": "2026-01-10",
    "closes": "2026-03-11",
    "happenedAt": "2025-12-26",
    "date": "2026-01-12",
    "month": "2026-01",
    "closedReason": None,
    "paid": None,
    "rule": "R1",
    "title": "Lost in the warehouse",
    "Problem.title": "Not Found",
    "summary": "2 units were lost on 2025-12-26. EUR 42.50 is owed. File until 2026-03-11.",
    "caseText": "2 units of MUG-1 were lost in the warehouse and not reimbursed.",
    "sentence": "Units that were lost and not found again are owed.",
    "confidence": "high",
    "text": "2 units at EUR 21.25",
    "user": "ann",
    "tenant": "shop-7",
    "actor": "ann",
    "address": "203.0.113.7",
    "userAgent": "Mozilla/5.0",
    "action": "started",
    "cron": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "ticket": "gAAAAABo",
    "expiresIn": 900,
    "PlanOfMe.name": "pro",
    "historyDays": 365,
    "syncsPerDay": 24,
    "concurrency": 3,
    "field": "total",
    "refreshToken": "a refresh token",
}
#: Whole examples, by schema.
WHOLE: Mapping[str, Any] = {
    "StartIn": {
        "connectionId": CONNECTION,
        "since": "2025-10-15T00:00:00Z",
        "onConflict": "attach",
    },
    "DimensionsIn": {
        "sku": "MUG-1",
        "length": "12.5",
        "width": "10",
        "height": "10",
        "weight": "350",
        "lengthUnit": "cm",
        "weightUnit": "g",
    },
    "Options": {"since": "2025-10-15T00:00:00Z"},
}
BY_FORMAT = {"date-time": AT, "date": "2026-01-15"}
TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
BY_TYPE = {"boolean": False, "number": 0.5, "object": {}, "null": None}
#: The schema of a request that connects an account, which differs by connector.
CONNECTING = "ConnectIn"


class Examples:
    """Builds examples from the schemas of one document."""

    def __init__(self, components: Json, connector: str) -> None:
        self._components = components
        self._values = {**VALUES, "connector": connector, "Connector.name": connector}

    def of(self, schema: Mapping[str, Any], owner: str = "", field: str = "") -> Any:
        """An example of a schema: the example of the field, if it is the schema of one."""
        for name in (f"{owner}.{field}", field):
            if name in self._values and self._allowed(schema, self._values[name]):
                return self._values[name]
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return WHOLE[name] if name in WHOLE else self.of(self._named(schema), name)
        if "contentSchema" in schema:
            return json.dumps(self.of(schema["contentSchema"]), separators=(",", ":"))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.of(schema[key][0], owner, field)
        if "enum" in schema:
            return next((choice for choice in schema["enum"] if choice), "")
        if "const" in schema:
            return schema["const"]
        return self._by_type(schema, owner, field)

    def _by_type(self, schema: Mapping[str, Any], owner: str, field: str) -> Any:
        kind = schema.get("type")
        if kind == "array":
            return [self.of(schema["items"], owner)] if schema.get("items") else []
        if kind == "integer":
            return max(schema.get("minimum", 0), 0)
        if kind == "string":
            return BY_FORMAT.get(schema.get("format", ""), field or "text")
        if "properties" in schema:
            named = schema.get("title", owner)
            return {
                name: self.of(value, named, name)
                for name, value in schema["properties"].items()
                if name in schema.get("required", ())
            }
        return BY_TYPE.get(kind or "object")

    def _allowed(self, schema: Mapping[str, Any], value: Any) -> bool:
        """Whether the value of a field's name fits its type: a name may have several types."""
        if "$ref" in schema:
            return self._allowed(self._named(schema), value)
        choices = [choice for key in ("anyOf", "oneOf") for choice in schema.get(key, ())]
        if choices:
            return any(self._allowed(choice, value) for choice in choices)
        if "enum" in schema or "const" in schema:
            return value in schema.get("enum", [schema.get("const")])
        if "contentSchema" in schema or "properties" in schema:
            return False
        return TYPES[type(value)] == schema.get("type")

    def _named(self, schema: Mapping[str, Any]) -> Json:
        """The schema that a reference names."""
        found: Json = self._components["schemas"][schema["$ref"].rpartition("/")[2]]
        return found


def add_examples(document: Json, connecting: Mapping[str, Json]) -> None:
    """Add an example to each request and response with a body. `connecting` has the schemas of the
    settings of each connector."""
    examples = Examples(document["components"], next(iter(connecting), "connector"))
    for media in _media(document):
        schema = media["schema"]
        if schema.get("$ref", "").endswith(f"/{CONNECTING}") and connecting:
            media["examples"] = {
                name: {"value": {"connector": name, **examples.of(settings)}}
                for name, settings in connecting.items()
            }
        elif schema != {"type": "string"} and "example" not in media:
            media["example"] = examples.of(schema)


def _media(document: Json) -> Iterator[Json]:
    """The bodies of all requests and of their responses."""
    for section in (document["paths"], document["webhooks"]):
        for operations in section.values():
            for operation in operations.values():
                yield from operation.get("requestBody", {}).get("content", {}).values()
                for response in operation["responses"].values():
                    yield from response.get("content", {}).values()
