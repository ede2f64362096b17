"""The URI that a client asked for, from request target and Host header (RFC 9112 §3.2, routes spec §3.3).

Invariants: `path` begins with "/", is percent-encoded ASCII and has no dot segment in any spelling, so that a rule for
`/public` never sees `/public/../admin`; apart from that, path and query are the bytes received. What is routed on is
what is forwarded.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from holdfast.errors import WireError
from holdfast.routing.authority import Authority, parse_authority

MAX_URI_BYTES = 4096

_DOT, _PERCENT = b".%"
_HTTP_PORT = 80
_HTTPS_PORT = 443
_NO_HOST = Authority("localhost", None)

# Characters that no request target may have, though clients send them: encoded before anything else. A backslash is
# among them, or some backends would read it as a slash.
_FORBIDDEN = re.compile(rb'[\x00-\x20"<>\\`{}\x7f-\xff]')
# The same, or a fragment. Nearly every target has neither, and begins with a slash.
_UNUSUAL = re.compile(rb'[\x00-\x20"#<>\\`{}\x7f-\xff]')
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_DOT_SEGMENT = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:/|\Z)")


class ClientUri(NamedTuple):
    """The URI of a request. A tuple, since one is made per request.

    Attributes:
        scheme: "http" or "https".
        host: lower case; an IPv6 address has brackets.
        port: None if it is the scheme's default.
        path: begins with "/".
        query: what follows "?", b"" for a bare "?", None without one.
    """

    scheme: str
    host: str
    port: int | None
    path: bytes
    query: bytes | None

    @property
    def authority(self) -> str:
        """`host[:port]`."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def path_and_query(self) -> bytes:
        """The origin-form request target."""
        return self.path if self.query is None else b"%b?%b" % (self.path, self.query)

    @property
    def text(self) -> str:
        """The whole URI, for logs."""
        return f"{self.scheme}://{self.authority}{self.path_and_query.decode()}"


def parse_client_uri(target: bytes, host_header: bytes | None, *, is_tls: bool) -> ClientUri:
    """The URI of a request.

    Args:
        target: the request target as received, not empty: a path, or an absolute http or https URI.
        host_header: the value of the Host header; nothing stands for `localhost`.
        is_tls: whether the client's side is TLS; decides the scheme, whatever an absolute target says.

    Raises:
        WireError: 414 for more than 4096 bytes; 400 for a host that is none, and for the targets of `CONNECT` and
            `OPTIONS *`.
    """
    scheme, default_port = ("https", _HTTPS_PORT) if is_tls else ("http", _HTTP_PORT)
    size = len(target)
    if target[:1] == b"/" and _UNUSUAL.search(target) is None:
        path, mark, tail = target.partition(b"?")
        query = tail if mark else None
        size += len(scheme) + 3 + len(host_header or b"")
    else:
        authority, path, query = _split_unusual(target)
        if authority:
            host_header = authority
        else:
            size += len(scheme) + 3 + len(host_header or b"")
    if size > MAX_URI_BYTES:
        raise WireError(414, f"Request URI exceeded limit of {MAX_URI_BYTES} bytes.")
    if _DOT in path or _PERCENT in path:
        path = normalise_path(path)
    host, port = parse_authority(host_header) if host_header else _NO_HOST
    return ClientUri(scheme, host, None if port == default_port else port, path, query)


def has_dot_segment(path: bytes) -> bool:
    """Whether a segment of `path` is `.` or `..`, dots also written as `%2e`."""
    return _DOT_SEGMENT.search(path) is not None


def normalise_path(path: bytes) -> bytes:
    """`path` without dot segments (RFC 3986 §5.2.4); it begins with "/" and so does the result."""
    if not has_dot_segment(path):
        return path
    kept: list[bytes] = []
    dots = b""
    for segment in path[1:].split(b"/"):
        dots = segment.lower().replace(b"%2e", b".")
        if dots == b"..":
            del kept[-1:]
        elif dots != b".":
            kept.append(segment)
    if dots in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)


def encode_forbidden(data: bytes) -> bytes:
    """`data` with every byte percent-encoded that cannot appear in a request target."""
    return _FORBIDDEN.sub(_encode_byte, data)


def _encode_byte(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _split_unusual(target: bytes) -> tuple[bytes | None, bytes, bytes | None]:
    """Authority (of the absolute form only), path and query of a target that is not plain."""
    authority = None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, target = absolute.groups()
        if not authority:
            raise WireError(400, "Failed to parse request: invalid host")
    elif not target.startswith((b"/", b"?")):
        raise WireError(400, "Request target must be a path or an http URI.")
    target = target.partition(b"#")[0]
    path, mark, query = target.partition(b"?")
    return authority, encode_forbidden(path) or b"/", encode_forbidden(query) if mark else None
