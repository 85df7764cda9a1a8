"""The query parameters of a call, parsed by the API's rules."""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Self

import msgspec

from connectors.amazon_sandbox.responses import invalid

_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_FLAGS = {"true": True, "false": False}


class Query(msgspec.Struct, frozen=True):
    """The parameter values by name. An array is one value with commas, even if the parameter was
    repeated."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        values: dict[str, str] = {}
        for name, value in pairs:
            values[name] = f"{values[name]},{value}" if name in values else value
        return cls(values)

    def without(self, names: Collection[str]) -> list[tuple[str, str]]:
        """All other parameters, sorted."""
        return sorted((name, value) for name, value in self.values.items() if name not in names)

    def text(self, name: str, among: Collection[str] = ()) -> str | None:
        value = self.values.get(name) or None
        if value and among and value not in among:
            raise invalid(f"Invalid value [{name}]: use one of {', '.join(sorted(among))}")
        return value

    def required(self, name: str, among: Collection[str] = ()) -> str:
        value = self.text(name, among)
        if value is None:
            raise invalid(f"Missing required parameter [{name}]")
        return value

    def many(self, name: str, maximum: int | None = None, among: Collection[str] = ()) -> list[str]:
        values = [value for value in self.values.get(name, "").split(",") if value]
        if maximum is not None and len(values) > maximum:
            raise invalid(f"Too many values [{name}]: {maximum} at most")
        if among and (unknown := [value for value in values if value not in among]):
            raise invalid(f"Invalid value [{name}]: {', '.join(unknown)}")
        return values

    def number(self, name: str, minimum: int, maximum: int, default: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not minimum <= int(value) <= maximum:
            raise invalid(
                f"Invalid value [{name}]: a number from {minimum} to {maximum} is expected"
            )
        return int(value)

    def flag(self, name: str) -> bool:
        value = self.text(name) or "false"
        if value.lower() not in _FLAGS:  # Amazon's own SDK writes True
            raise invalid(f"Invalid value [{name}]: true or false is expected")
        return _FLAGS[value.lower()]

    def moment(self, name: str) -> float | None:
        """Seconds since 1970. An unencoded `+` of an offset arrives as a space and is invalid."""
        value = self.text(name)
        if value is None:
            return None
        return read_moment(value, name)


def read_moment(value: str, name: str) -> float:
    """Seconds since 1970."""
    try:
        if not _ISO.fullmatch(value):
            raise ValueError(value)
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).timestamp()  # fails beyond the years 1 to 9999
    except (ValueError, OverflowError):
        raise invalid(f"Invalid date/time field [{name}]") from None
