"""Single attempts: hostile receivers, and names that lead to addresses that are not public."""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.hooks import sending
from service.hooks.sending import SendOutcome, WebhookSender
from tests.servers import free_port
from tests.service.hooks import receivers
from tests.service.hooks.receivers import receiving
from tests.serving import PATIENCE

pytestmark = pytest.mark.anyio


async def attempt(url: str, sender: WebhookSender | None = None) -> SendOutcome:
    with anyio.fail_after(PATIENCE):
        sender = sender or WebhookSender(private=True, most=4)
        return await sender.send(url, {"webhook-id": "1"}, b"{}")


def resolving(*answers: Sequence[str]) -> tuple[Callable[..., Any], list[str]]:
    """A resolver that gives one answer after the other, and the names that it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_2xx_is_delivered(status: int) -> None:
    async with receiving() as receiver:
        receiver.status = status
        assert await attempt(receiver.url) == SendOutcome(status, None)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 304, 400, 404, 410, 429, 500, 503])
async def test_other_statuses_are_failures_and_no_redirect_is_followed(status: int) -> None:
    async with receiving() as receiver:
        receiver.status = status
        outcome = await attempt(receiver.url)
        assert outcome == SendOutcome(status, f"The receiver answered {status}.")
        assert outcome.gone == (status == 410) and len(receiver.received) == 1


@pytest.mark.parametrize("misbehave", [receivers.never, receivers.drip_headers])
async def test_an_attempt_ends_although_the_answer_does_not(
    misbehave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT", 0.5)
    async with receiving() as receiver:
        receiver.misbehave = misbehave
        outcome = await attempt(receiver.url)
        assert outcome.status is None and outcome.error and outcome.error.startswith("No answer")


@pytest.mark.parametrize("misbehave", [receivers.ten_megabytes, receivers.drip_body])
async def test_the_status_counts_however_long_the_body_is(
    misbehave: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "FINISHED_WITHIN", 0.2)
    async with receiving() as receiver:
        receiver.misbehave = misbehave
        assert await attempt(receiver.url) == SendOutcome(200, None)


@pytest.mark.parametrize(
    "misbehave", [receivers.close, receivers.nonsense, receivers.ten_megabytes_of_headers]
)
async def test_what_is_not_http_is_a_failure(misbehave: Any) -> None:
    async with receiving() as receiver:
        receiver.misbehave = misbehave
        outcome = await attempt(receiver.url)
        assert outcome.status is None and outcome.error


async def test_a_port_that_nothing_listens_on_is_a_failure() -> None:
    outcome = await attempt(f"http://127.0.0.1:{free_port()}/")
    assert outcome.status is None and outcome.error and "connection failed" in outcome.error


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiving() as receiver:
        assert await attempt(receiver.url) == SendOutcome(200, None)


# Addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["0.0.0.0"], ["::1"], ["fe80::1%lo"]),
        *(["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["224.0.0.1"], ["8.8.8.8", "127.0.0.1"]),
    ],
    ids=str,
)
async def test_a_name_that_leads_to_an_address_that_is_not_public_is_refused(
    addresses: list[str],
) -> None:
    resolve, asked = resolving(addresses)
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        outcome = await attempt(
            f"https://app.example:{port}", WebhookSender(False, 4, resolve=resolve)
        )
        assert outcome == SendOutcome(None, "app.example does not resolve to a public address.")
        assert asked == ["app.example"] and not receiver.received


async def test_a_name_is_resolved_once_and_the_connection_made_to_the_checked_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rebinding name leads elsewhere when it is resolved again."""
    resolve, asked = resolving(["8.8.8.8"], ["127.0.0.1"])
    connected: list[str] = []

    async def connect_tcp(_: Any, host: str, *rest: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("not from a test")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    sender = WebhookSender(private=False, most=4, resolve=resolve)
    first = await attempt("https://app.example/", sender)
    assert first.error and "not from a test" in first.error
    assert asked == ["app.example"] and connected == ["8.8.8.8"]
    second = await attempt("https://app.example/", sender)
    assert second.error and "public" in second.error
    assert connected == ["8.8.8.8"], "nothing was connected after the name had changed"


async def test_other_spellings_of_local_addresses_are_refused_when_they_are_resolved() -> None:
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        for host in ("127.1", "2130706433", "0x7f.1", "localhost", "127.0.0.1", "[::1]"):
            outcome = await attempt(f"http://{host}:{port}/", WebhookSender(False, 4))
            assert outcome.error and "public address" in outcome.error, host
        assert not receiver.received


async def test_a_name_that_does_not_resolve_is_a_failure() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    outcome = await attempt("https://app.example/", WebhookSender(False, 4, resolve=resolve))
    assert outcome.error and "cannot be resolved" in outcome.error


async def test_the_next_address_is_tried_if_the_first_does_not_answer() -> None:
    async with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "app.example")
        resolve, _ = resolving(["127.0.0.2", "127.0.0.1"])
        sender = WebhookSender(private=True, most=4, resolve=resolve)
        assert (await attempt(url, sender)).status == 200


# TLS ----------------------------------------------------------------------------------------------


def certified(folder: Path, name: str) -> ssl.SSLContext:
    """A server's context with a certificate for a name, written to `folder/cert.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("name", ["app.example", "other.example"])
async def test_the_certificate_must_be_of_the_name_and_not_of_the_address(
    tmp_path: Path, name: str
) -> None:
    assert not ip_address("127.0.0.1").is_global
    resolve, _ = resolving(["127.0.0.1"])
    context = certified(tmp_path, "app.example")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    sender = WebhookSender(private=True, most=4, resolve=resolve, trusted=trusted)
    async with receiving(tls=context) as receiver:
        outcome = await attempt(receiver.url.replace("127.0.0.1", name), sender)
        if name == "app.example":
            assert outcome == SendOutcome(200, None)
            assert receiver.received[0].headers["host"].startswith("app.example:")
        else:
            assert outcome.error and "certificate" in outcome.error
            assert not receiver.received


async def test_a_certificate_that_no_authority_signed_is_refused(tmp_path: Path) -> None:
    resolve, _ = resolving(["127.0.0.1"])
    sender = WebhookSender(private=True, most=4, resolve=resolve)
    async with receiving(tls=certified(tmp_path, "app.example")) as receiver:
        outcome = await attempt(receiver.url.replace("127.0.0.1", "app.example"), sender)
        assert outcome.error and "certificate" in outcome.error
