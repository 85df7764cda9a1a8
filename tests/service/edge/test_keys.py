"""Tokens signed by an issuer: which are valid, and the sources of its public keys."""

import socket
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from joserfc.jwk import ECKey, RSAKey
from structlog.testing import capture_logs

from service.edge import keys
from service.errors import StartupError
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import problem
from tests.service.api.issuer import ec, issuer, jwks, public, rsa, signed
from tests.service.edge.test_authenticator import make_token
from tests.serving import PATIENCE, SECRET, Json, Serving, serve, token

pytestmark = pytest.mark.anyio

PATH = "/api/connections"
ONLY_JWKS: dict[str, Any] = {"AUTH_SECRET": ""}


def write_jwks(folder: Path, content: bytes | None = None) -> str:
    path = folder / "jwks.json"
    path.write_bytes(jwks(rsa(), ec()) if content is None else content)
    return str(path)


async def request_with(service: Serving, bearer: str) -> httpx.Response:
    async with service.anonymous(headers={"Authorization": f"Bearer {bearer}"}) as client:
        return await client.get(PATH)


async def accepted(service: Serving, bearer: str) -> bool:
    answer = await request_with(service, bearer)
    if answer.status_code != 200:
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return answer.status_code == 200


# Signatures ---------------------------------------------------------------------------------------


async def test_tokens_signed_with_a_key_of_the_file_are_valid(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path), **ONLY_JWKS) as service:
        for key in (rsa(), ec()):
            assert await accepted(service, signed(key))
            assert await accepted(service, signed(key, header={"kid": None}))  # the only such key
            assert await accepted(service, signed(key, header={"cat": "cl_1", "typ": "at+jwt"}))
            assert not await accepted(service, signed(key, exp=time.time() - 61))
        cookie = {"Cookie": f"session={signed(rsa())}"}
        async with service.anonymous(headers=cookie) as client:
            assert (await client.get(PATH)).status_code == 200


async def test_the_algorithm_selects_the_kind_of_key(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path)) as service:
        for bearer in (token(), signed(rsa()), signed(ec())):
            assert await accepted(service, bearer)
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path), **ONLY_JWKS) as service:
        assert not await accepted(service, token())
        assert await accepted(service, signed(rsa()))
    async with serve(tmp_path) as service:
        assert await accepted(service, token())
        assert not await accepted(service, signed(rsa()))


def wrongly_signed() -> dict[str, str]:
    """Tokens with a valid signature, but with a public value as the secret or with another key."""
    jwk = public(rsa(), ec())[0]
    pem, der = rsa().as_pem(private=False), rsa().as_der(private=False)
    hs256 = {"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}
    with_jwk = {"jwk": public(rsa("eve"))[0]}
    return {
        "HS256 with the public PEM": make_token(header=hs256, secret=pem),
        "HS256 with the public PEM, no final newline": make_token(header=hs256, secret=pem.strip()),
        "HS256 with the public DER": make_token(header=hs256, secret=der),
        "HS256 with the public JWK": make_token(header=hs256, secret=msgspec.json.encode(jwk)),
        "HS256 with the modulus": make_token(header=hs256, secret=jwk["n"]),
        "HS256 with an empty secret": make_token(header=hs256, secret=b""),
        "HS256 with the symmetric key of the set": make_token(header=hs256, secret=b"k" * 32),
        "none": make_token(header={"alg": "none", "kid": "rsa-1"}),
        "none, unsigned": make_token(header={"alg": "none"}).rpartition(".")[0] + ".",
        "RS256, another key with the same ID": signed(RSAKey.generate_key(2048, {"kid": "rsa-1"})),
        "ES256, another key with the same ID": signed(ECKey.generate_key("P-256", {"kid": "ec-1"})),
        "signed with a key in its own header": signed(
            rsa("eve"), header={**with_jwk, "kid": "rsa-1"}
        ),
        "signed with a key at a URL in its header": signed(
            rsa("eve"), header={"jku": "http://127.0.0.1:1/jwks.json"}
        ),
        "RS256 with the ID of the EC key": signed(rsa(), header={"kid": "ec-1"}),
        "ES256 with the ID of the RSA key": signed(ec(), header={"kid": "rsa-1"}),
        "RS256 with a key for RS512": signed(rsa("rs512"), header={"kid": "rs512"}),
        "a key for encryption": signed(rsa("enc")),
        "a key for wrapping": signed(rsa("wrap")),
        "a key with invalid operations": signed(rsa("what")),
        "a key of another curve": make_token(header={"alg": "ES256", "kid": "p384"}),
        "PS256": make_token(header={"alg": "PS256", "kid": "rsa-1"}),
        "ES384": make_token(header={"alg": "ES384", "kid": "p384"}),
        "a kid of another type": make_token(header={"alg": "RS256", "kid": 1}),
        "a kid of null": make_token(header={"alg": "RS256", "kid": None}),
        "an empty kid": signed(rsa(), header={"kid": ""}),
        "an unencoded payload": make_token(header={"alg": "RS256", "b64": False, "crit": ["b64"]}),
    }


async def test_tokens_signed_with_a_wrong_key_are_refused(tmp_path: Path) -> None:
    published = [
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
    path = write_jwks(tmp_path, msgspec.json.encode({"keys": published[::-1]}))
    for secret in (SECRET, ""):
        async with serve(tmp_path, AUTH_JWKS=path, AUTH_SECRET=secret) as service:
            for name, bad in wrongly_signed().items():
                assert not await accepted(service, bad), name
            assert await accepted(service, signed(rsa())), "a valid key was ignored"


async def test_a_token_without_a_kid_needs_a_single_key(tmp_path: Path) -> None:
    path = write_jwks(tmp_path, jwks(rsa(), rsa("rsa-2"), ec()))
    async with serve(tmp_path, AUTH_JWKS=path) as service:
        assert not await accepted(service, signed(rsa(), header={"kid": None}))
        assert await accepted(service, signed(ec(), header={"kid": None}))


async def test_issuer_and_audience_are_checked_if_set(tmp_path: Path) -> None:
    matching: Json = {"iss": "https://issuer", "aud": "sync"}
    mismatched: list[Json] = [
        {},
        {"aud": "sync"},
        {"iss": "https://issuer"},
        {**matching, "iss": "https://issuer/"},
        {**matching, "iss": ["https://issuer"]},
        {**matching, "aud": "syncs"},
        {**matching, "aud": ["other"]},
        {**matching, "aud": []},
        {**matching, "aud": {"sync": 1}},
        {**matching, "aud": None},
    ]
    both: Any = {"AUTH_ISSUER": "https://issuer", "AUTH_AUDIENCE": "sync"}
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path), **both) as service:
        for sign in (token, lambda **claims: signed(rsa(), **claims)):
            assert await accepted(service, sign(**matching))
            assert await accepted(service, sign(**{**matching, "aud": ["other", "sync"]}))
            for claims in mismatched:
                assert not await accepted(service, sign(**claims)), claims
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path)) as service:
        for claims in (*mismatched, {"iss": 1, "aud": 2}):
            assert await accepted(service, signed(rsa(), **claims)), claims


# Sources of keys ----------------------------------------------------------------------------------


async def test_concurrent_requests_for_a_new_key_share_one_download(tmp_path: Path) -> None:
    clock = AdvancingClock()
    with issuer() as idp:
        async with serve(tmp_path, clock, AUTH_JWKS=idp.url, **ONLY_JWKS) as service:
            assert await accepted(service, signed(rsa()))
            assert idp.requests == 1
            await advance(clock, keys.MIN_INTERVAL)
            idp.publish(rsa("rsa-2"), ec())
            idp.before = lambda: time.sleep(0.1)
            results: list[bool] = []

            async def use_new_key(number: int) -> None:
                results.append(await accepted(service, signed(rsa("rsa-2"), f"user-{number}")))

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(use_new_key, number)
            assert results == [True] * 20
            assert idp.requests == 2


async def advance(clock: AdvancingClock, seconds: float) -> None:
    """Advance the clock and let the tasks that wake up run."""
    clock.advance(seconds)
    await anyio.sleep(0.02)


async def test_unknown_keys_do_not_cause_repeated_downloads(tmp_path: Path) -> None:
    with issuer() as idp:
        async with serve(tmp_path, AUTH_JWKS=idp.url) as service:
            for number in range(30):
                bad = make_token(
                    header={"alg": ("RS256", "ES256")[number % 2], "kid": f"k{number}"}
                )
                assert not await accepted(service, bad)
            assert await accepted(service, signed(rsa()))
            assert idp.requests == 1


async def test_a_token_without_an_unknown_key_causes_no_download(tmp_path: Path) -> None:
    clock = AdvancingClock()
    with issuer() as idp:
        async with serve(tmp_path, clock, AUTH_JWKS=idp.url) as service:
            assert await accepted(service, signed(rsa()))
            await advance(clock, keys.MIN_INTERVAL)
            for bad in (
                "x",
                "a.b.c",
                make_token(secret="another"),
                make_token(header={"alg": "none"}),
                "x" * 9000,
            ):
                assert not await accepted(service, bad)
            async with service.anonymous() as client:
                problem(await client.get(PATH), 401, "unauthenticated")
                basic = {"Authorization": "Basic YTpi"}
                problem(await client.get(PATH, headers=basic), 401, "unauthenticated")
            assert idp.requests == 1


async def until_accepted(service: Serving, clock: AdvancingClock, key: RSAKey | ECKey) -> None:
    with anyio.fail_after(PATIENCE):
        while (await request_with(service, signed(key))).status_code != 200:
            await advance(clock, keys.MIN_INTERVAL)


@pytest.mark.parametrize("way", ["file", "url"])
async def test_a_withdrawn_key_is_no_longer_valid_even_for_cached_tokens(
    tmp_path: Path, way: str
) -> None:
    clock = AdvancingClock()
    with issuer() as idp:
        where = idp.url if way == "url" else write_jwks(tmp_path)
        async with serve(tmp_path, clock, AUTH_JWKS=where) as service:
            assert await accepted(service, signed(rsa()))
            if way == "url":
                idp.publish(ec())
            else:
                write_jwks(tmp_path, jwks(ec()))
            with anyio.fail_after(PATIENCE):
                while await accepted(service, signed(rsa())):
                    await advance(clock, keys.REFRESH_INTERVAL)
            assert await accepted(service, signed(ec()))


async def test_a_clock_that_is_set_back_makes_no_withdrawn_key_valid(tmp_path: Path) -> None:
    clock = AdvancingClock()
    path = write_jwks(tmp_path)
    async with serve(tmp_path, clock, AUTH_JWKS=path) as service:
        await advance(clock, keys.REFRESH_INTERVAL)
        assert await accepted(service, signed(rsa()))
        write_jwks(tmp_path, jwks(ec()))
        await advance(clock, keys.MIN_INTERVAL)
        with anyio.fail_after(PATIENCE):  # an unknown key causes a refresh
            while await accepted(service, signed(rsa(), number=time.monotonic())):
                await accepted(service, signed(rsa("rsa-2"), number=time.monotonic()))
                await anyio.sleep(0.02)
        assert await accepted(service, signed(rsa())), "it is not cached"
        clock.advance(hours=-1)
        assert not await accepted(service, signed(rsa()))


FAILURES: dict[str, Json] = {
    "status 500": {"status": 500},
    "status 404": {"status": 404},
    "a redirect": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "not JSON": {"body": b"<html>"},
    "not UTF-8": {"body": b'{"keys": [{"kid": "\xff"}]}'},
    "deeply nested": {"body": b"[" * 100_000},
    "no list of keys": {"body": b"{}"},
    "an empty list of keys": {"body": b'{"keys": []}'},
    "too large": {"body": jwks(rsa()) + b" " * keys.MAX_BYTES},
    "incomplete": {"headers": {"Content-Length": "9000"}, "body": jwks(rsa())[:99]},
    "invalid chunks": {"headers": {"Transfer-Encoding": "chunked"}},
}


@pytest.mark.parametrize("how", FAILURES)
async def test_while_the_url_fails_tokens_get_503_instead_of_401(tmp_path: Path, how: str) -> None:
    clock = AdvancingClock()
    with issuer() as idp:
        working = idp.status, idp.headers, idp.body
        for name, value in FAILURES[how].items():
            setattr(idp, name, value)
        with capture_logs() as logs:
            async with serve(tmp_path, clock, AUTH_JWKS=idp.url) as service:
                answer = await request_with(service, signed(rsa()))
                problem(answer, 503, "auth_unavailable")
                assert int(answer.headers["retry-after"]) >= 0
                assert await accepted(service, token()), "this token needs no key of the issuer"
                idp.status, idp.headers, idp.body = working
                await until_accepted(service, clock, rsa())
    changes = [(line["log_level"], line["keys"]) for line in logs if line["event"] == "auth_keys"]
    assert changes == [("warning", 0), ("info", 2)], "one line per change"


async def test_a_service_starts_while_its_issuer_is_unavailable(tmp_path: Path) -> None:
    clock = AdvancingClock()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = f"http://127.0.0.1:{port}/jwks.json"
    async with serve(tmp_path, clock, AUTH_JWKS=where, **ONLY_JWKS) as service:
        body = problem(await request_with(service, signed(ec())), 503, "auth_unavailable")
        assert "issuer" in body["detail"]
        assert not await accepted(service, "no token at all")
        with issuer(port):
            await until_accepted(service, clock, ec())


async def test_previous_keys_remain_valid_while_the_url_fails(tmp_path: Path) -> None:
    clock = AdvancingClock()
    with issuer() as idp:
        async with serve(tmp_path, clock, AUTH_JWKS=idp.url) as service:
            assert await accepted(service, signed(rsa()))
            idp.status = 503
            since = idp.requests
            with anyio.fail_after(PATIENCE):
                while idp.requests < since + 3:
                    await advance(clock, keys.REFRESH_INTERVAL)
                    assert await accepted(service, signed(rsa()))
            problem(await request_with(service, signed(rsa("rsa-2"))), 503, "auth_unavailable")


async def test_a_url_that_hangs_delays_only_tokens_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "TOTAL_TIMEOUT", 5.0)
    release = threading.Event()
    with issuer() as idp:
        idp.before = lambda: release.wait(60)
        try:
            async with serve(tmp_path, AUTH_JWKS=idp.url) as service:
                async with anyio.create_task_group() as group:
                    answers: list[httpx.Response] = []

                    async def wait_for_keys() -> None:
                        answers.append(await request_with(service, signed(rsa())))

                    group.start_soon(wait_for_keys)
                    for _ in range(3):
                        assert await accepted(service, token())
                    assert answers == []
                problem(answers[0], 503, "auth_unavailable")
                assert not release.is_set()
        finally:
            release.set()


MALFORMED = {
    "empty": b"",
    "not JSON": b"-----BEGIN PUBLIC KEY-----",
    "not UTF-8": b'{"keys": [{"kty": "\xff"}]}',
    "a list": msgspec.json.encode(public(rsa())),
    "a single key": msgspec.json.encode(public(rsa())[0]),
    "null": b"null",
    "keys of another type": b'{"keys": {}}',
    "keys that are not objects": b'{"keys": ["a"]}',
    "no key": b'{"keys": []}',
    "a symmetric key alone": b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
    "a key without its numbers": b'{"keys": [{"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}]}',
    "a key with wrong numbers": b'{"keys": [{"kty": "RSA", "n": "AQ", "e": "AQAB"}]}',
    "a key of another family": b'{"keys": [{"kty": "OKP", "crv": "P-256", "x": "AA", "y": "AA"}]}',
    "deeply nested": b"[" * 100_000,
    "too large": jwks(rsa()) + b" " * keys.MAX_BYTES,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_file_that_is_not_a_jwks_is_a_startup_error_with_advice(
    tmp_path: Path, what: str
) -> None:
    path = write_jwks(tmp_path, MALFORMED[what])
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


async def test_private_keys_in_the_file_are_not_read(tmp_path: Path) -> None:
    whole = msgspec.json.encode({"keys": [rsa().as_dict(private=True), ec().as_dict(private=True)]})
    parsed = keys.parse(whole)
    assert [key.is_private for key in parsed.values()] == [False, False]
    async with serve(tmp_path, AUTH_JWKS=write_jwks(tmp_path, whole)) as service:
        assert await accepted(service, signed(rsa()))


async def test_demo_mode_downloads_no_keys(tmp_path: Path) -> None:
    with issuer() as idp:
        async with (
            serve(tmp_path, AUTH_MODE="demo", AUTH_JWKS=idp.url) as service,
            service.anonymous() as client,
        ):
            assert (await client.get(PATH)).status_code == 200
        assert idp.requests == 0
