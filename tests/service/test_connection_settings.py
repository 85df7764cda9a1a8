"""The settings that a connector declares: which are public, secret, or part of an identity."""

from typing import Annotated, Literal

import msgspec
import pytest

from connectors.base import SECRET, SEPARATES_ACCOUNTS, ConnectionSettings, choices
from service.connection_settings import RESERVED, SettingsType, encode
from service.errors import StartupError
from service.wire.connection_shapes import Connected


class Mixed(ConnectionSettings, frozen=True, kw_only=True):
    base_url: str
    stage: Annotated[Literal["live", "test"], SEPARATES_ACCOUNTS] = "live"
    tags: tuple[str, ...] = ()
    limits: list[int] = msgspec.field(default_factory=list)
    pass_word: Annotated[str, SECRET]


class Titled(ConnectionSettings, frozen=True, kw_only=True):
    place: Annotated[str, choices({"eu": "Europe"})]
    codes: tuple[Annotated[str, choices({"a": "First", "b": "Second"})], ...] = ()
    free: str = ""
    key: Annotated[str, choices({"k": "Key"}), SECRET]


TITLED = SettingsType("titled", Titled)
MIXED = SettingsType("mixed", Mixed)
VALUE = Mixed(base_url="https://a", tags=("x",), pass_word="secret")


def test_settings_are_split_into_public_and_secret_values() -> None:
    public, secret = MIXED.split(VALUE)
    assert public == {"baseUrl": "https://a", "stage": "live", "tags": ("x",), "limits": []}
    assert secret == {"passWord": "secret"}
    assert MIXED.join(public, secret) == VALUE


def test_values_with_choices_have_titles() -> None:
    titles = TITLED.titles({"place": "eu", "codes": ["a", "z"], "free": "x"})
    assert titles == {"place": "Europe", "codes": ["First", "z"]}
    assert TITLED.titles({"place": "moon", "free": "x"}) == {"place": "moon"}
    assert MIXED.titles(MIXED.split(VALUE)[0]) == {}


def test_every_field_of_a_connection_is_reserved() -> None:
    assert {field.encode_name for field in msgspec.structs.fields(Connected)} <= RESERVED


def test_later_values_win_and_undeclared_ones_are_left_out() -> None:
    joined = MIXED.join({"baseUrl": "https://a", "dropped": 1}, {"passWord": "b", "stage": "test"})
    assert joined == Mixed(base_url="https://a", stage="test", pass_word="b")


def test_settings_without_a_required_value_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="passWord"):
        MIXED.join({"baseUrl": "https://a"})


def test_the_realm_contains_the_values_that_distinguish_accounts() -> None:
    public, _ = MIXED.split(VALUE)
    assert MIXED.realm(public) == '{"stage":"live"}'


def test_equal_values_are_encoded_as_equal_texts() -> None:
    assert encode({"b": 1, "a": [2]}) == encode({"a": [2], "b": 1}) == '{"a":[2],"b":1}'


def test_the_public_part_is_validated_without_the_secrets() -> None:
    part = msgspec.convert({"baseUrl": "https://a"}, MIXED.public_struct)
    public, _ = MIXED.split(msgspec.structs.replace(VALUE, tags=()))
    assert msgspec.to_builtins(part) == public
    for values, message in (
        ({}, "baseUrl"),
        ({"baseUrl": "https://a", "passWord": "b"}, "unknown field `passWord`"),
        ({"baseUrl": "https://a", "stage": "gone"}, "stage"),
    ):
        with pytest.raises(msgspec.ValidationError, match=message):
            msgspec.convert(values, MIXED.public_struct)


def test_the_repr_of_the_secret_part_shows_no_values() -> None:
    part = msgspec.convert({"passWord": "secret"}, MIXED.secret_struct)
    assert "secret" not in repr(part) + repr(VALUE)


def test_a_reserved_name_is_refused() -> None:
    class Clash(ConnectionSettings, frozen=True):
        created_at: str

    with pytest.raises(StartupError, match="createdAt"):
        SettingsType("clash", Clash)


def test_choices_have_titles_and_do_not_restrict_the_field() -> None:
    class Chosen(ConnectionSettings, frozen=True):
        size: Annotated[str, choices({"s": "Small", "l": "Large"})]

    chosen = SettingsType("chosen", Chosen)
    assert chosen.schema["properties"]["size"]["oneOf"] == [
        {"const": "s", "title": "Small"},
        {"const": "l", "title": "Large"},
    ]
    assert chosen.join({"size": "m"}) == Chosen("m")
