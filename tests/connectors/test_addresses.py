"""Documents are read from public addresses only, whatever address a response names."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any

import anyio
import httpx
import pytest
from anyio.streams.tls import TLSListener
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors import addresses
from connectors.addresses import public
from connectors.base import ConnectorError, Retryable
from connectors.http import Http

from .clocks import JumpingClock

pytestmark = pytest.mark.anyio

PRIVATE = [
    *(
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
    ),
    *(
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
    ),
    *(
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "224.0.1.1",
    ),
    *(
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
    ),
    *(
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
    ),
    *(
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ),
    *(
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
    ),
    *(
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
    ),
    *(
        "2002:a00:1::1",
        "2001::1",
        "localhost",
        "nonsense",
    ),
]
PUBLIC = ["1.1.1.1", "52.95.110.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_internet_address_is_public(address: str) -> None:
    assert public(address)


class Internet:
    """Records every request, and resolves names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[httpx.Request] = []
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.answer = httpx.Response(200, content=b"rows")
        real = anyio.getaddrinfo

        async def resolve(host: str, port: int, **options: Any) -> Any:
            self.asked.append(host)
            if host not in self.names:
                return await real(host, port, **options)
            addresses = self.names[host]
            if len(addresses) > 1 and addresses[0] == "then":  # another address each time
                addresses = [addresses.pop(1)]
            if not addresses:
                raise socket.gaierror("unknown")
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in addresses
            ]

        monkeypatch.setattr(anyio, "getaddrinfo", resolve)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.host == "52.0.0.1":
            raise httpx.ConnectError("refused")
        return self.answer

    async def download(self, url: str, public: bool = True) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            http = Http(lambda _: client, JumpingClock(), public=public)
            async with http.download(url):
                pass


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"https://{'[' + address + ']' if ':' in address else address}/"
            for address in PRIVATE[:-2]
        ),
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "http://1.1.1.1/",
        "ftp://1.1.1.1/",
        "file:///etc/passwd",
        "//1.1.1.1/",
        "https:///x",
        "https://inside/",
        "https://both/",
    ],
)
async def test_a_document_on_a_private_address_is_not_requested(
    internet: Internet, url: str
) -> None:
    internet.names = {"inside": ["10.0.0.1"], "both": ["1.1.1.1", "10.0.0.1"]}
    with pytest.raises(ConnectorError):
        await internet.download(url)
    assert internet.requests == []


async def test_a_name_is_resolved_once_and_the_checked_address_is_used(internet: Internet) -> None:
    """A name that resolves to another address the second time (DNS rebinding) has no effect."""
    internet.names = {"documents.example": ["then", "1.1.1.1", "127.0.0.1"]}
    await internet.download("https://documents.example/report?X-Amz-Signature=a%2Fb")
    [request] = internet.requests
    assert str(request.url) == "https://1.1.1.1/report?X-Amz-Signature=a%2Fb"
    assert request.headers["host"] == "documents.example"
    assert request.extensions["sni_hostname"] == "documents.example"
    assert internet.asked == ["documents.example"]


async def test_the_next_address_of_a_host_is_tried_if_the_first_fails(
    internet: Internet,
) -> None:
    internet.names = {"documents.example": ["52.0.0.1", "1.1.1.1"]}
    await internet.download("https://documents.example:444/report")
    assert [request.url.host for request in internet.requests] == ["52.0.0.1", "1.1.1.1"]
    assert {request.headers["host"] for request in internet.requests} == {"documents.example:444"}


async def test_a_redirect_is_not_followed(internet: Internet) -> None:
    internet.names = {"documents.example": ["1.1.1.1"]}
    internet.answer = httpx.Response(302, headers={"Location": "https://169.254.169.254/"})
    with pytest.raises(Retryable, match="HTTP 302"):
        await internet.download("https://documents.example/")
    assert len(internet.requests) == 1


async def test_an_unknown_name_is_retryable(internet: Internet) -> None:
    internet.names = {"documents.example": []}
    with pytest.raises(Retryable, match="cannot be resolved"):
        await internet.download("https://documents.example/")


async def test_private_addresses_are_allowed_for_a_sandbox(internet: Internet) -> None:
    await internet.download("http://127.0.0.1:9/report", public=False)
    assert [str(request.url) for request in internet.requests] == ["http://127.0.0.1:9/report"]


# With TLS -----------------------------------------------------------------------------------------


def certified(name: str, folder: Path) -> tuple[SSLContext, SSLContext]:
    """The TLS contexts of a server with a name, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = SSLContext(PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = create_default_context()
    client.load_verify_locations(pem)
    return server, client


@asynccontextmanager
async def documents(context: SSLContext, heads: list[bytes]) -> AsyncIterator[int]:
    """Serve one document. Yields the port."""

    async def answer(stream: Any) -> None:
        async with stream:
            heads.append(await stream.receive())
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nrows")

    bound = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with TLSListener(bound, context) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        yield bound.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        group.cancel_scope.cancel()


@pytest.mark.parametrize(("name", "served"), [("ours.example", True), ("theirs.example", False)])
async def test_the_certificate_must_be_that_of_the_name(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, served: bool
) -> None:
    """The connection goes to an IP address, but TLS verifies the name."""
    monkeypatch.setattr(addresses, "public", lambda address: address == "127.0.0.1")
    server, trusting = certified("ours.example", tmp_path)
    internet.names = {name: ["127.0.0.1"]}
    heads: list[bytes] = []
    async with (
        documents(server, heads) as port,
        httpx.AsyncClient(verify=trusting) as client,
    ):
        http = Http(lambda _: client, JumpingClock(), public=True)
        body = b""
        try:
            async with http.download(f"https://{name}:{port}/report") as download:
                body = b"".join([chunk async for chunk in download.chunks])
        except Retryable:
            assert not served
    assert (body, len(heads)) == ((b"rows", 1) if served else (b"", 0))
    assert all(f"Host: {name}:{port}".encode() in head for head in heads)
