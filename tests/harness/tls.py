"""Certificates that are made when a test needs them, and clients by TLS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.harness.client import DEFAULT_TIMEOUT_S, Connect, RawClient, open_socket
from tests.harness.ports import is_open
from tests.harness.proxy import ProxyUnderTest
from tests.harness.timing import eventually, scaled

ANY_NAME = "localhost"


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate and its key, both PEM."""

    crt: bytes
    key: bytes

    def files(self, name: str) -> dict[str, bytes]:
        """The pair as files of a proxy's directory."""
        return {f"runner/certs/{name}.crt": self.crt, f"runner/certs/{name}.key": self.key}

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write the pair to a directory, each file by a rename, and return its paths."""
        paths = directory / f"{name}.crt", directory / f"{name}.key"
        for path, content in zip(paths, (self.crt, self.key), strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(path)
        return paths


def make_certificate(*names: str, days: int = 30, begins_in_days: int = -1) -> Certificate:
    """A certificate for host names, the first of which is also its subject, and for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [*(x509.DNSName(name) for name in names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=min(begins_in_days, days - 1)))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(*pem))


class _AnyNameContext(ssl.SSLContext):
    def _encode_hostname(self, host: str | None) -> str | None:
        """Send it as it is, also what is no host name."""
        return host


def client_context(
    *, oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = _AnyNameContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = oldest, newest
    return context


class TlsClient(RawClient):
    """A client connection by TLS. An end without close_notify raises, as it may be a cut."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        receive_buffer: int | None = None,
        source: str | None = None,
        *,
        server_name: str | None = ANY_NAME,
        context: ssl.SSLContext | None = None,
    ) -> None:
        connected = open_socket(port, host, receive_buffer, source)
        try:
            self.tls = (context or client_context()).wrap_socket(
                connected, server_hostname=server_name, suppress_ragged_eofs=False
            )
        except OSError:
            connected.close()
            raise
        super(RawClient, self).__init__(self.tls)

    @property
    def subject(self) -> str:
        """The common name of the server's certificate."""
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        (name,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(name.value)

    def close_notify(self) -> None:
        """Say goodbye by TLS and wait for the server's, which must come."""
        self.tls.settimeout(scaled(DEFAULT_TIMEOUT_S))
        self.tls.unwrap().close()


def wait_tls_port(proxy: ProxyUnderTest, port: int) -> None:
    """Wait until a port that `start` does not know is open."""
    eventually(lambda: is_open(port), f"TLS port {port} of {proxy.directory}")


@contextmanager
def connecting_to(port: int) -> Iterator[Connect]:
    """A `Connect` by TLS to that port, whatever port it is asked for; its clients are closed at the end."""
    clients: list[TlsClient] = []

    def connect(_port: int, **options: Any) -> RawClient:
        clients.append(TlsClient(port, **options))
        return clients[-1]

    try:
        yield connect
    finally:
        for client in clients:
            client.close()


def refusal(connect: Callable[[], object]) -> str:
    """The reason with which a handshake fails, as OpenSSL names it."""
    try:
        connect()
    except ssl.SSLError as exc:
        return exc.reason or str(exc)
    raise AssertionError("the handshake succeeds")
