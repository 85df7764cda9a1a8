"""Credentials at rest: their keys, their stored form, and the digest that identifies them."""

import hashlib

import pytest
from cryptography.fernet import Fernet, InvalidToken

from service.credentials import decrypt, digest, encrypt, read_keys
from service.errors import StartupError
from tests.serving import KEY


@pytest.mark.parametrize(
    "text", ["x", ",", " , ", KEY[:-1], f"{KEY},x", f"{KEY};{KEY}", "é" * 44, KEY + "\0"]
)
def test_a_malformed_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(StartupError, match="SECRETS_KEYS") as caught:
        read_keys(text)
    assert KEY not in str(caught.value)


def test_secret_settings_are_stored_as_one_encrypted_value() -> None:
    keys = read_keys(KEY)
    stored = encrypt(keys, {"login": "ann", "pin": 1234})
    assert "ann" not in stored and "login" not in stored
    assert decrypt(keys, stored) == {"login": "ann", "pin": 1234}


def test_a_value_of_an_earlier_schema_belongs_to_the_field_named_before_it() -> None:
    keys = read_keys(KEY)
    stored = "refreshToken:" + keys.encrypt(b'{"a":"token that looks like JSON"}').decode()
    assert decrypt(keys, stored) == {"refreshToken": '{"a":"token that looks like JSON"}'}


def test_without_its_key_a_value_cannot_be_decrypted() -> None:
    stored = encrypt(read_keys(KEY), {"login": "ann"})
    with pytest.raises(InvalidToken):
        decrypt(read_keys(Fernet.generate_key().decode()), stored)


def test_the_digest_of_a_single_text_equals_that_of_earlier_schemas() -> None:
    expected = hashlib.blake2b(b"token", digest_size=16).hexdigest()
    assert digest({"refreshToken": "token"}) == expected


def test_the_digest_of_several_secrets_does_not_depend_on_their_order() -> None:
    assert digest({"a": "1", "b": 2}) == digest({"b": 2, "a": "1"}) != digest({"a": "1", "b": 3})


def test_a_connection_without_secrets_has_no_digest() -> None:
    assert digest({}) is None
