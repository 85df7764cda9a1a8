"""Tokens that an issuer signed: which are good, and where its public keys come from."""

import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from joserfc.jwk import ECKey, RSAKey
from structlog.testing import capture_logs

from service.edge import keys, tokens
from service.errors import StartupError
from tests.service.api.answers import problem
from tests.service.api.issuer import ec, issuer, jwks, public, rsa, signed
from tests.service.clocks import FastClock
from tests.service.edge.test_authenticator import made
from tests.serving import SECRET, Json, Serving, serve, token

pytestmark = pytest.mark.anyio

PATH = "/api/connections"
ONLY_JWKS: dict[str, Any] = {"AUTH_SECRET": ""}


def file(folder: Path, content: bytes | None = None) -> str:
    path = folder / "jwks.json"
    path.write_bytes(jwks(rsa(), ec()) if content is None else content)
    return str(path)


async def ask(service: Serving, bearer: str) -> httpx.Response:
    async with service.anonymous(headers={"Authorization": f"Bearer {bearer}"}) as client:
        return await client.get(PATH)


async def accepted(service: Serving, bearer: str) -> bool:
    answer = await ask(service, bearer)
    if answer.status_code != 200:
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return answer.status_code == 200


# Whose signature counts -------------------------------------------------------------------------


async def test_tokens_signed_with_a_key_of_the_file_are_good(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path), **ONLY_JWKS) as service:
        for key in (rsa(), ec()):
            assert await accepted(service, signed(key))
            assert await accepted(service, signed(key, header={"kid": None}))  # the only such key
            assert await accepted(service, signed(key, header={"cat": "cl_1", "typ": "at+jwt"}))
            assert not await accepted(service, signed(key, exp=time.time() - 61))
        cookie = {"Cookie": f"session={signed(rsa())}"}
        async with service.anonymous(headers=cookie) as client:
            assert (await client.get(PATH)).status_code == 200


async def test_the_algorithm_decides_whose_key_it_is(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path)) as service:
        for good in (token(), signed(rsa()), signed(ec())):
            assert await accepted(service, good)
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path), **ONLY_JWKS) as service:
        assert not await accepted(service, token())
        assert await accepted(service, signed(rsa()))
    async with serve(tmp_path) as service:
        assert await accepted(service, token())
        assert not await accepted(service, signed(rsa()))


def confused() -> dict[str, str]:
    """What is signed rightly, but with what everybody knows or by somebody else."""
    known = public(rsa(), ec())
    pem, der = rsa().as_pem(private=False), rsa().as_der(private=False)
    hs256 = {"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}
    with_jwk = {"jwk": public(rsa("eve"))[0]}
    return {
        "HS256 with the public PEM": made(header=hs256, secret=pem),
        "HS256 with the public PEM, no last line": made(header=hs256, secret=pem.strip()),
        "HS256 with the public DER": made(header=hs256, secret=der),
        "HS256 with the public JWK": made(header=hs256, secret=msgspec.json.encode(known[0])),
        "HS256 with the modulus": made(header=hs256, secret=known[0]["n"]),
        "HS256 with nothing": made(header=hs256, secret=b""),
        "HS256 with the symmetric key of the set": made(header=hs256, secret=b"k" * 32),
        "none": made(header={"alg": "none", "kid": "rsa-1"}),
        "none, unsigned": made(header={"alg": "none"}).rpartition(".")[0] + ".",
        "RS256, signed by another of that name": signed(
            RSAKey.generate_key(2048, {"kid": "rsa-1"})
        ),
        "ES256, signed by another of that name": signed(
            ECKey.generate_key("P-256", {"kid": "ec-1"})
        ),
        "signed by the key that it brings": signed(rsa("eve"), header={**with_jwk, "kid": "rsa-1"}),
        "from where it says": signed(rsa("eve"), header={"jku": "http://127.0.0.1:1/jwks.json"}),
        "RS256 that names the EC key": signed(rsa(), header={"kid": "ec-1"}),
        "ES256 that names the RSA key": signed(ec(), header={"kid": "rsa-1"}),
        "RS256 that names a key not for it": signed(rsa("rs512"), header={"kid": "rs512"}),
        "a key for encryption": signed(rsa("enc")),
        "a key for wrapping": signed(rsa("wrap")),
        "a key for who knows what": signed(rsa("what")),
        "a key of another curve": made(header={"alg": "ES256", "kid": "p384"}),
        "PS256": made(header={"alg": "PS256", "kid": "rsa-1"}),
        "ES384": made(header={"alg": "ES384", "kid": "p384"}),
        "a kid of another type": made(header={"alg": "RS256", "kid": 1}),
        "a kid of null": made(header={"alg": "RS256", "kid": None}),
        "an empty kid": signed(rsa(), header={"kid": ""}),
        "a payload that is not encoded": made(
            header={"alg": "RS256", "b64": False, "crit": ["b64"]}
        ),
    }


async def test_what_is_signed_with_the_wrong_key_is_refused(tmp_path: Path) -> None:
    known = [
        *public(rsa(), ec()),
        *public(rsa("rs512"), alg="RS512"),
        *public(rsa("enc"), use="enc"),
        *public(rsa("wrap"), key_ops=["wrapKey"]),
        *public(rsa("what"), key_ops=5),
        *public(ECKey.generate_key("P-384", {"kid": "p384"})),
        {
            "kty": "oct",
            "kid": "rsa-1",
            "alg": "HS256",
            "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s",
        },
        {"kty": "OKP", "kid": "rsa-1", "crv": "Ed25519", "x": "AA"},
        {"kty": "AKP", "kid": "rsa-1"},
        {"kid": "rsa-1"},
    ]
    path = file(tmp_path, msgspec.json.encode({"keys": known[::-1]}))
    for secret in (SECRET, ""):
        async with serve(tmp_path, AUTH_JWKS=path, AUTH_SECRET=secret) as service:
            for name, bad in confused().items():
                assert not await accepted(service, bad), name
            assert await accepted(service, signed(rsa())), "the others were passed over"


async def test_without_a_kid_there_must_be_only_one_such_key(tmp_path: Path) -> None:
    path = file(tmp_path, jwks(rsa(), rsa("rsa-2"), ec()))
    async with serve(tmp_path, AUTH_JWKS=path) as service:
        assert not await accepted(service, signed(rsa(), header={"kid": None}))
        assert await accepted(service, signed(ec(), header={"kid": None}))


async def test_an_issuer_and_an_audience_count_where_they_are_set(tmp_path: Path) -> None:
    meant: Json = {"iss": "https://issuer", "aud": "sync"}
    strangers: list[Json] = [
        {},
        {"aud": "sync"},
        {"iss": "https://issuer"},
        {**meant, "iss": "https://issuer/"},
        {**meant, "iss": ["https://issuer"]},
        {**meant, "aud": "syncs"},
        {**meant, "aud": ["other"]},
        {**meant, "aud": []},
        {**meant, "aud": {"sync": 1}},
        {**meant, "aud": None},
    ]
    both: Any = {"AUTH_ISSUER": "https://issuer", "AUTH_AUDIENCE": "sync"}
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path), **both) as service:
        for sign in (token, lambda **claims: signed(rsa(), **claims)):
            assert await accepted(service, sign(**meant))
            assert await accepted(service, sign(**{**meant, "aud": ["other", "sync"]}))
            for claims in strangers:
                assert not await accepted(service, sign(**claims)), claims
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path)) as service:
        for claims in (*strangers, {"iss": 1, "aud": 2}):
            assert await accepted(service, signed(rsa(), **claims)), claims


# Where the keys come from -----------------------------------------------------------------------


async def test_keys_come_from_a_url_and_a_new_one_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REST", 0.3)
    with issuer() as there:
        async with serve(tmp_path, AUTH_JWKS=there.url, **ONLY_JWKS) as service:
            assert await accepted(service, signed(rsa()))
            assert there.asked == 1
            await anyio.sleep(0.4)
            there.publish(rsa("rsa-2"), ec())
            there.before = lambda: time.sleep(0.1)
            answers: list[bool] = []

            async def new(number: int) -> None:
                answers.append(await accepted(service, signed(rsa("rsa-2"), f"user-{number}")))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(new, number)
            assert answers == [True] * 20
            assert there.asked == 2


async def test_made_up_keys_do_not_make_us_ask_again_and_again(tmp_path: Path) -> None:
    with issuer() as there:
        async with serve(tmp_path, AUTH_JWKS=there.url) as service:
            for number in range(30):
                bad = made(header={"alg": ("RS256", "ES256")[number % 2], "kid": f"k{number}"})
                assert not await accepted(service, bad)
            assert await accepted(service, signed(rsa()))
            assert there.asked == 1


async def test_what_needs_no_new_key_does_not_make_us_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REST", 0.0)
    with issuer() as there:
        async with serve(tmp_path, AUTH_JWKS=there.url) as service:
            assert await accepted(service, signed(rsa()))
            for bad in (
                "x",
                "a.b.c",
                made(secret="another"),
                made(header={"alg": "none"}),
                "x" * 9000,
            ):
                assert not await accepted(service, bad)
            async with service.anonymous() as client:
                problem(await client.get(PATH), 401, "unauthenticated")
                basic = {"Authorization": "Basic YTpi"}
                problem(await client.get(PATH, headers=basic), 401, "unauthenticated")
            assert there.asked == 1


async def until_known(service: Serving, key: RSAKey | ECKey) -> None:
    with anyio.fail_after(5):
        while (await ask(service, signed(key))).status_code != 200:
            await anyio.sleep(0.02)


async def until_refused(service: Serving, bearer: str) -> None:
    with anyio.fail_after(5):
        while await accepted(service, bearer):
            await anyio.sleep(0.02)


@pytest.mark.parametrize("way", ["file", "url"])
async def test_a_key_that_is_withdrawn_is_good_no_more_even_for_known_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(keys, "REST", 0.01)
    monkeypatch.setattr(keys, "FRESH", 0.05)
    monkeypatch.setattr(tokens, "REMEMBERED_FOR", 0.05)
    with issuer() as there:
        where = there.url if way == "url" else file(tmp_path)
        async with serve(tmp_path, AUTH_JWKS=where) as service:
            assert await accepted(service, signed(rsa()))
            if way == "url":
                there.publish(ec())
            else:
                file(tmp_path, jwks(ec()))
            await until_refused(service, signed(rsa()))
            assert await accepted(service, signed(ec()))


async def test_a_clock_that_is_set_back_makes_no_withdrawn_key_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REST", 0.01)
    monkeypatch.setattr(keys, "FRESH", 0.02)
    clock = FastClock(speed=1.0)
    async with serve(tmp_path, clock, AUTH_JWKS=file(tmp_path)) as service:
        assert await accepted(service, signed(rsa()))
        file(tmp_path, jwks(ec()))
        with anyio.fail_after(5):
            while await accepted(service, signed(rsa(), number=time.monotonic())):
                await anyio.sleep(0.02)
        assert await accepted(service, signed(rsa())), "it is remembered for a while"
        clock.jump(timedelta(hours=-1))
        assert not await accepted(service, signed(rsa()))


OUT_OF_ORDER: dict[str, Json] = {
    "it fails": {"status": 500},
    "it is not there": {"status": 404},
    "it points elsewhere": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "it is no JSON": {"body": b"<html>"},
    "it is not UTF-8": {"body": b'{"keys": [{"kid": "\xff"}]}'},
    "it is nested": {"body": b"[" * 100_000},
    "it has no keys": {"body": b"{}"},
    "its keys are none": {"body": b'{"keys": []}'},
    "it is too large": {"body": jwks(rsa()) + b" " * keys.LARGEST},
    "it breaks off": {"headers": {"Content-Length": "9000"}, "body": jwks(rsa())[:99]},
    "it speaks otherwise": {"headers": {"Transfer-Encoding": "chunked"}},
}


@pytest.mark.parametrize("how", OUT_OF_ORDER)
async def test_while_the_url_is_out_of_order_nobody_is_turned_away_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(keys, "REST", 0.05)
    with issuer() as there:
        well = there.status, there.headers, there.body
        for name, value in OUT_OF_ORDER[how].items():
            setattr(there, name, value)
        with capture_logs() as told:
            async with serve(tmp_path, AUTH_JWKS=there.url) as service:
                answer = await ask(service, signed(rsa()))
                problem(answer, 503, "auth_unavailable")
                assert int(answer.headers["retry-after"]) >= 0
                assert await accepted(service, token()), "whoever needs no such key is let in"
                there.status, there.headers, there.body = well
                await until_known(service, rsa())
    found = [(each["log_level"], each["keys"]) for each in told if each["event"] == "auth_keys"]
    assert found == [("warning", 0), ("info", 2)], "once when it breaks, once when it is mended"


async def test_a_service_whose_issuer_is_down_starts_and_says_so_until_it_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REST", 0.05)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = f"http://127.0.0.1:{port}/jwks.json"
    async with serve(tmp_path, AUTH_JWKS=where, **ONLY_JWKS) as service:
        body = problem(await ask(service, signed(ec())), 503, "auth_unavailable")
        assert "issuer" in body["detail"]
        assert not await accepted(service, "no token at all")
        with issuer(port):
            await until_known(service, ec())


async def test_old_keys_stay_good_while_the_url_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "REST", 0.01)
    monkeypatch.setattr(keys, "FRESH", 0.02)
    monkeypatch.setattr(tokens, "REMEMBERED_FOR", 0.0)
    with issuer() as there:
        async with serve(tmp_path, AUTH_JWKS=there.url) as service:
            assert await accepted(service, signed(rsa()))
            there.status = 503
            since = there.asked
            with anyio.fail_after(5):
                while there.asked < since + 3:
                    assert await accepted(service, signed(rsa()))
            problem(await ask(service, signed(rsa("rsa-2"))), 503, "auth_unavailable")


async def test_a_url_that_hangs_holds_up_only_those_who_need_it_and_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PATIENCE", 2.0)
    let_go = threading.Event()
    with issuer() as there:
        there.before = lambda: let_go.wait(10)
        try:
            async with serve(tmp_path, AUTH_JWKS=there.url) as service:
                async with anyio.create_task_group() as group:
                    answers: list[httpx.Response] = []

                    async def held() -> None:
                        answers.append(await ask(service, signed(rsa())))

                    group.start_soon(held)
                    for _ in range(10):
                        assert await accepted(service, token())
                    assert answers == []
                problem(answers[0], 503, "auth_unavailable")
                assert not let_go.is_set()
        finally:
            let_go.set()


MALFORMED = {
    "nothing": b"",
    "no JSON": b"-----BEGIN PUBLIC KEY-----",
    "not UTF-8": b'{"keys": [{"kty": "\xff"}]}',
    "a list": msgspec.json.encode(public(rsa())),
    "a single key": msgspec.json.encode(public(rsa())[0]),
    "null": b"null",
    "keys of another type": b'{"keys": {}}',
    "keys that are no objects": b'{"keys": ["a"]}',
    "no key": b'{"keys": []}',
    "a symmetric key alone": b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
    "a key without its numbers": b'{"keys": [{"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}]}',
    "a key with wrong numbers": b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB"}]}',
    "a key of another family": b'{"keys": [{"kty": "OKP", "crv": "P-256", "x": "AA", "y": "AA"}]}',
    "nested": b"[" * 100_000,
    "too large": jwks(rsa()) + b" " * keys.LARGEST,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_file_that_is_no_jwks_stops_the_start_and_says_what_to_do(
    tmp_path: Path, what: str
) -> None:
    path = file(tmp_path, MALFORMED[what])
    with pytest.raises(StartupError) as caught:
        async with serve(tmp_path, AUTH_JWKS=path):
            pass
    for word in ("AUTH_JWKS", path, "JSON Web Key Set", "RS256", "ES256"):
        assert word in caught.value.detail
    assert "c2VjcmV0" not in caught.value.detail


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(StartupError, match="AUTH_JWKS") as caught:
            async with serve(tmp_path, AUTH_JWKS=str(path)):
                pass
        assert str(path) in caught.value.detail


async def test_private_halves_in_the_file_are_not_taken_in(tmp_path: Path) -> None:
    whole = msgspec.json.encode({"keys": [rsa().as_dict(private=True), ec().as_dict(private=True)]})
    found = keys.parse(whole)
    assert [key.is_private for key in found.values()] == [False, False]
    async with serve(tmp_path, AUTH_JWKS=file(tmp_path, whole)) as service:
        assert await accepted(service, signed(rsa()))


async def test_demo_mode_asks_for_no_keys(tmp_path: Path) -> None:
    with issuer() as there:
        async with (
            serve(tmp_path, AUTH_MODE="demo", AUTH_JWKS=there.url) as service,
            service.anonymous() as client,
        ):
            assert (await client.get(PATH)).status_code == 200
        assert there.asked == 0
