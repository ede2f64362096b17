"""Publishing to a server, as command lines do it: one request and one answer over HTTP, or one message over ZeroMQ.

Both block (routes spec §5).

Invariants: credentials are only ever sent over TLS, and the certificate is checked against the system's roots.
"""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from holdfast.errors import ConfigError, HoldfastError
from holdfast.net.zmq_push import push_message

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 65536


class PublishError(HoldfastError):
    """An item was not published; the text is for the person who tried."""


@dataclass(frozen=True, slots=True)
class PublishUrl:
    """Where to publish.

    Attributes:
        authority: `HOST[:PORT]` as written, for the Host header.
        port: None for the default of the scheme.
        target: of the request.
    """

    is_tls: bool
    authority: str
    host: str
    port: int | None
    target: str


def parse_publish_url(spec: str) -> PublishUrl:
    """The place that a GRIP URL names.

    Raises:
        PublishError: it is no http or https URL, or has parts that are not understood.
    """
    try:
        parts = urlsplit(spec)
        port = parts.port
    except ValueError as exc:
        raise PublishError("invalid URL") from exc
    if not _is_plain(spec, parts):
        raise PublishError("invalid URL")
    if parts.query or parts.fragment:
        raise PublishError("invalid URL: parameters such as iss and key are not understood, use --bearer")
    # Compat: the path as it stands, so one that ends in a slash gives `//publish/`.
    return PublishUrl(parts.scheme == "https", parts.netloc, parts.hostname or "", port, f"{parts.path}/publish/")


def _is_plain(spec: str, parts: SplitResult) -> bool:
    is_printable = spec.isascii() and spec.isprintable() and " " not in spec
    return is_printable and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


class _Http10:
    """Compat: what `pushpin-publish` speaks. http.client has no public way to choose HTTP/1.0."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


class _PlainConnection(_Http10, http.client.HTTPConnection):
    pass


class _TlsConnection(_Http10, http.client.HTTPSConnection):
    pass


def publish(url: PublishUrl, body: bytes, authorization: str | None = None) -> None:
    """Send one publishing request and wait for its answer.

    Args:
        authorization: value of the Authorization header.

    Raises:
        PublishError: it could not be sent or was refused, or credentials would go over an open connection.
    """
    if authorization is not None:
        _check_authorization(url, authorization)
    try:
        status, answer = _exchange(url, body, authorization)
    except OSError as exc:
        raise PublishError(exc.strerror or str(exc) or type(exc).__name__) from exc
    except http.client.HTTPException as exc:
        raise PublishError(f"the answer is not HTTP: {exc!r}") from exc
    if status != http.client.OK:
        raise PublishError(answer.decode("utf-8", "replace").strip())


def push(spec: str, frame: bytes) -> None:
    """Send one message to a PULL socket, and wait until it is sent.

    Compat: `pushpin-publish` waits for ever if nobody listens.

    Raises:
        PublishError: `spec` is no address, or nobody listened there for a minute.
    """
    try:
        push_message(spec, frame, TIMEOUT_S)
    except ConfigError as exc:
        raise PublishError(str(exc)) from exc
    except TimeoutError as exc:
        raise PublishError(f"nobody listened at {spec} for {TIMEOUT_S:.0f} seconds") from exc


def _check_authorization(url: PublishUrl, authorization: str) -> None:
    if not url.is_tls:
        raise PublishError("Authentication requires https")
    if not (authorization.isascii() and authorization.isprintable()):
        raise PublishError("the credentials have characters that no header can carry")


def _exchange(url: PublishUrl, body: bytes, authorization: str | None) -> tuple[int, bytes]:
    connection = _connection(url)
    try:
        connection.putrequest("POST", url.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", url.authority)
        if authorization is not None:
            connection.putheader("Authorization", authorization)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        with connection.getresponse() as response:
            return response.status, response.read(MAX_ANSWER_BYTES)
    finally:
        connection.close()


def _connection(url: PublishUrl) -> http.client.HTTPConnection:
    if url.is_tls:
        return _TlsConnection(url.host, url.port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    return _PlainConnection(url.host, url.port, timeout=TIMEOUT_S)
