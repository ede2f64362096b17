"""Publishing to a server, as command lines do it: one request and one answer over HTTP, or one message over ZeroMQ.

Both block (routes spec §5).

Invariants: a secret is only ever sent over TLS, where the certificate is checked against the system's roots, or within
this machine; what a URL's key has signed may be sent anywhere, as the other GRIP libraries do.
"""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

from holdfast.errors import ConfigError, HoldfastError, KeyMaterialError
from holdfast.grip.signature import parse_url_key
from holdfast.net.zmq_push import push_message
from holdfast.wire.jwt import encode_jwt

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 65536
TOKEN_LIFETIME_S = 600
"""Long enough for clocks that differ, short enough for a token that was overheard."""

OVER_TLS_ONLY = "Authentication requires https"

# `verify-iss` and `verify-key` are for backends: how they know requests of the proxy.
_PARAMETERS = frozenset({"iss", "key", "verify-iss", "verify-key"})


class PublishError(HoldfastError):
    """An item was not published; the text is for the person who tried."""


@dataclass(frozen=True, slots=True)
class PublishUrl:
    """Where to publish, and as who.

    Attributes:
        authority: `HOST[:PORT]` as written, for the Host header.
        port: None for the default of the scheme.
        target: of the request.
        issuer, key: parameters of a GRIP URL that authenticate who publishes; the key as it is written there.
    """

    is_tls: bool
    authority: str
    host: str
    port: int | None
    target: str
    issuer: str | None = None
    key: str | None = field(default=None, repr=False)

    def authorization(self, now_s: float) -> str | None:
        """The value of an Authorization header that the parameters make; None without a key.

        With an issuer it is a token that the key signs; without one the key itself, as in the other GRIP libraries.

        Raises:
            PublishError: the key cannot be used, or would itself go over an open connection.
        """
        if self.key is None:
            return None
        if self.issuer is None:
            if not (self.is_tls or self.host == "localhost" or _is_loopback(self.host)):
                raise PublishError(OVER_TLS_ONLY)
            return f"Bearer {self.key}"
        try:
            key = parse_url_key(self.key)
            token = encode_jwt({"iss": self.issuer, "exp": int(now_s) + TOKEN_LIFETIME_S}, key)
        except KeyMaterialError as exc:
            raise PublishError(f"the key of the URL cannot be used: {exc}") from exc
        return f"Bearer {token.decode()}"


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
    if parts.fragment:
        raise PublishError("invalid URL: there is something after a #")
    parameters = _parse_parameters(parts.query)
    return PublishUrl(
        parts.scheme == "https",
        parts.netloc,
        parts.hostname or "",
        port,
        f"{parts.path}/publish/",  # Compat: the path as it stands, so one that ends in a slash gives `//publish/`
        parameters.get("iss") or None,
        parameters.get("key") or None,
    )


def _parse_parameters(query: str) -> dict[str, str]:
    # A plus sign is one: base64 has it, and the other libraries read it so.
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    unknown = sorted({name for name, _ in pairs} - _PARAMETERS)
    if unknown:
        raise PublishError(f"invalid URL: unknown parameter {unknown[0]}")
    return dict(reversed(pairs))  # the first one counts


def _is_plain(spec: str, parts: SplitResult) -> bool:
    is_printable = spec.isascii() and spec.isprintable() and " " not in spec
    return is_printable and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


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
        authorization: value of the Authorization header, instead of what the URL says.

    Raises:
        PublishError: it could not be sent or was refused, or credentials would go over an open connection.
    """
    if authorization is not None:
        _check_authorization(url, authorization)
    else:
        authorization = url.authorization(time.time())
        if authorization is not None:
            _check_value(authorization)
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
        raise PublishError(OVER_TLS_ONLY)
    _check_value(authorization)


def _check_value(authorization: str) -> None:
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
