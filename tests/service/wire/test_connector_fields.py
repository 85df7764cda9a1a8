"""The settings of all connectors in one contract."""

from typing import Annotated

from msgspec import Meta

from connectors.base import SECRET, ConnectionSettings
from service.wire.connector_fields import QUERY, ConnectorFields
from tests.serving import Json


class First(ConnectionSettings, frozen=True, kw_only=True):
    region: Annotated[str, Meta(title="Region", max_length=5)] = "NA"
    key: Annotated[str, SECRET]


class Second(ConnectionSettings, frozen=True, kw_only=True):
    region: Annotated[str, Meta(title="Place", max_length=9)]
    shelves: tuple[int, ...] = ()
    key: Annotated[str, SECRET]


def schemas(*settings: type[ConnectionSettings]) -> Json:
    """The schemas that result from empty ones."""
    names = ("ConnectIn", "ReconnectIn", "Connection", "Connected")
    required = {"ConnectIn": ["connector"], "Connection": ["id", "accountId", "name"]}
    completed: Json = {
        name: {"properties": {}, "required": required.get(name, [])} for name in names
    }
    ConnectorFields(settings).add_to(completed)
    return completed


def test_requests_have_every_field_and_require_those_that_every_connector_requires() -> None:
    body = schemas(First, Second)["ConnectIn"]
    assert body["properties"] == {
        "region": {
            "anyOf": [
                {"type": "string", "maxLength": 5, "default": "NA"},
                {"type": "string", "maxLength": 9},
            ]
        },
        "key": {"type": "string"},
        "shelves": {"type": "array", "items": {"type": "integer"}, "default": ()},
    }
    assert body["required"] == ["connector", "key"]


def test_a_reconnect_takes_secret_fields_only() -> None:
    body = schemas(First, Second)["ReconnectIn"]
    assert (list(body["properties"]), body["required"]) == (["key"], ["key"])


def test_responses_have_public_fields_and_require_those_of_every_connector() -> None:
    shown = schemas(First, Second)["Connection"]
    assert shown["properties"] == {
        "region": {"type": "string"},
        "shelves": {"type": "array", "items": {"type": "integer"}},
    }
    assert shown["required"] == ["id", "accountId", "region", "name"]


def test_a_list_in_a_query_is_text() -> None:
    fields = ConnectorFields([Second])
    assert dict(fields.parameters(QUERY)) == {
        "region": {"type": "string", "maxLength": 9},
        "shelves": {"type": "string", "default": ""},
    }
    assert dict(fields.parameters("HistoryQuery")) == {}
