"""The part of the contract that connectors declare: settings in requests and responses.

Requests and responses about connections are flat, so their schemas list the fields of every
connector. GET /api/connectors lists the fields of each connector."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

Json = dict[str, Any]

FOR_FORMS = frozenset({"title", "description", "oneOf", "writeOnly"})
"""Keywords for forms only. They may differ between connectors that share a field's name."""
QUERY = "AuthorizeQuery"


class ConnectorFields:
    """Adds the settings of all connectors to the schemas of requests and responses."""

    def __init__(self, settings: Sequence[type[msgspec.Struct]]) -> None:
        self._schemas = [_schema(struct) for struct in settings]

    def add_to(self, schemas: Json) -> None:
        """Complete the schemas of requests and responses that contain settings."""
        for name, after, chosen in (
            ("ConnectIn", "connector", self._given(secret=None)),
            ("ReconnectIn", "", self._given(secret=True)),
            ("Connection", "accountId", self._shown()),
            ("Connected", "accountId", self._shown()),
        ):
            properties, required = chosen
            schema = schemas[name]
            schema["properties"] |= properties
            old = schema.get("required", [])
            at = old.index(after) + 1 if after in old else 0
            schema["required"] = [*old[:at], *required, *old[at:]]

    def by_connector(self, names: Sequence[str]) -> Mapping[str, Json]:
        """The schema of each connector's settings. `names` are in the order of the settings."""
        return dict(zip(names, self._schemas, strict=False))

    def parameters(self, query: str) -> Iterator[tuple[str, Json]]:
        """The public settings as query parameters. A list is comma-separated text."""
        if query == QUERY:
            for name, schema in self._given(secret=False)[0].items():
                listed = schema.get("type") == "array"
                yield name, {"type": "string", "default": ""} if listed else schema

    def _given(self, secret: bool | None) -> tuple[Json, Sequence[str]]:
        """The fields of requests. A field is required if every connector requires it."""
        properties = self._fields(secret, _without_titles)
        required = [set(schema.get("required", ())) for schema in self._schemas]
        return properties, [name for name in properties if all(name in names for names in required)]

    def _shown(self) -> tuple[Json, Sequence[str]]:
        """The public fields of responses. Only their types are guaranteed: a stored value may be
        older than the limits of its field."""
        properties = self._fields(False, _type_of)
        present = [schema["properties"] for schema in self._schemas]
        return properties, [name for name in properties if all(name in names for names in present)]

    def _fields(self, secret: bool | None, view: Any) -> Json:
        """The fields by name. If connectors declare a field differently, any form is valid."""
        forms: dict[str, list[Json]] = {}
        for schema in self._schemas:
            for name, field in schema["properties"].items():
                if secret is None or secret == bool(field.get("writeOnly")):
                    form = view(field)
                    if form not in forms.setdefault(name, []):
                        forms[name].append(form)
        return {
            name: different[0] if len(different) == 1 else {"anyOf": different}
            for name, different in forms.items()
        }


def _schema(struct: type[msgspec.Struct]) -> Json:
    _, components = msgspec.json.schema_components([struct])
    schema: Json = components[struct.__name__]
    return schema


def _without_titles(field: Mapping[str, Any]) -> Json:
    return {
        name: _without_titles(value) if name == "items" else value
        for name, value in field.items()
        if name not in FOR_FORMS
    }


def _type_of(field: Mapping[str, Any]) -> Json:
    if "items" in field:
        return {"type": "array", "items": _type_of(field["items"])}
    if "type" in field:
        return {"type": field["type"]}
    texts = all(isinstance(value, str) for value in field.get("enum", ()))
    return {"type": "string"} if "enum" in field and texts else {}
