"""The settings of a connection: which fields a connector declares, and which of them are secret.

A connector declares one struct. Its public fields are stored as one JSON value and shown to the
user. Its secret fields are stored as one encrypted value and never leave the service."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import msgspec
from msgspec.inspect import Metadata, StructType
from msgspec.structs import FieldInfo

from connectors.base import ConnectionSettings
from service.errors import StartupError

Values = dict[str, Any]
"""Settings by their names in JSON."""

RESERVED = frozenset(
    {
        *("connector", "skipHistoricalSync", "connectionId", "id", "accountId", "name", "status"),
        *("statusSince", "statusReason", "reason", "createdAt", "checkedAt", "authorisedUntil"),
        *("settings", "settingsTitles", "schedule", "records", "lastSync", "liveSyncId", "sync"),
        "warning",
    }
)
"""Field names that requests and responses already use."""


class SettingsType:
    """The settings that a connector declares, split into public and secret ones."""

    def __init__(self, connector: str, struct: type[ConnectionSettings]) -> None:
        """Raises StartupError for a name that is reserved."""
        self.struct = struct
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        if taken := sorted(RESERVED & self._fields.keys()):
            raise StartupError(f"Connector {connector} cannot have a setting {', '.join(taken)}.")
        properties = self.schema["properties"]
        self.secret = tuple(name for name in self._fields if properties[name].get("writeOnly"))
        self.public = tuple(name for name in self._fields if name not in self.secret)
        self._separating = _separating(struct)

    @cached_property
    def schema(self) -> Values:
        """The JSON Schema of all fields."""
        _, components = msgspec.json.schema_components([self.struct])
        schema: Values = components[self.struct.__name__]
        return schema

    @cached_property
    def public_struct(self) -> type[msgspec.Struct]:
        """The public fields alone, with which a consent starts."""
        return self._substruct(self.public)

    @cached_property
    def secret_struct(self) -> type[msgspec.Struct]:
        """The secret fields alone, which a reconnect replaces."""
        return self._substruct(self.secret)

    def split(self, settings: ConnectionSettings) -> tuple[Values, Values]:
        """The public and the secret values."""
        values: Values = msgspec.to_builtins(settings)
        return (
            {name: values[name] for name in self.public},
            {name: values[name] for name in self.secret},
        )

    def join(self, *parts: Mapping[str, Any]) -> ConnectionSettings:
        """Merge these values into settings; later ones win. Values that the connector no longer
        declares are left out. Raises msgspec.ValidationError if the rest is not valid."""
        values = {name: value for part in parts for name, value in part.items()}
        declared = {name: value for name, value in values.items() if name in self._fields}
        return msgspec.convert(declared, self.struct)

    def realm(self, public: Mapping[str, Any]) -> str:
        """The values that distinguish accounts with the same id, as one comparable text."""
        return encode({name: public[name] for name in self._separating})

    def titles(self, public: Mapping[str, Any]) -> Mapping[str, str | Sequence[str]]:
        """The title of each value that has choices; for a list, the titles of its items. A value
        without a title is its own title."""
        choices = {name: _choices(self.schema["properties"][name]) for name in self.public}
        return {
            name: _titles(public[name], titles)
            for name, titles in choices.items()
            if titles and name in public
        }

    def _substruct(self, names: tuple[str, ...]) -> type[msgspec.Struct]:
        fields = [self._fields[name] for name in names]
        return msgspec.defstruct(
            self.struct.__name__,
            [(field.name, field.type, default(field)) for field in fields],
            bases=(ConnectionSettings,),
            frozen=True,
            kw_only=True,
            rename={field.name: field.encode_name for field in fields},
        )


def _choices(schema: Mapping[str, Any]) -> Mapping[str, str]:
    """The titles of the values that a field, or an item of it, may have."""
    choices = schema.get("oneOf") or schema.get("items", {}).get("oneOf", ())
    return {choice["const"]: choice["title"] for choice in choices if "title" in choice}


def _titles(value: Any, titles: Mapping[str, str]) -> str | Sequence[str]:
    if isinstance(value, list | tuple):
        return [titles.get(item, str(item)) for item in value]
    return titles.get(value, str(value))


def encode(values: Mapping[str, Any]) -> str:
    """Encode as JSON. Equal values give equal text."""
    return msgspec.json.encode(values, order="sorted").decode()


def default(field: FieldInfo) -> Any:
    """The default of a field, for a struct that repeats the field."""
    if field.default_factory is msgspec.NODEFAULT:
        return msgspec.field(default=field.default)
    return msgspec.field(default_factory=field.default_factory)


def _separating(struct: type[ConnectionSettings]) -> Sequence[str]:
    """The fields that are marked with SEPARATES_ACCOUNTS."""
    info = cast(StructType, msgspec.inspect.type_info(struct))
    annotated = [field for field in info.fields if isinstance(field.type, Metadata)]
    return [
        field.encode_name
        for field in annotated
        if (cast(Metadata, field.type).extra or {}).get("separates_accounts")
    ]
