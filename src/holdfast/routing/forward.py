"""The request that a backend gets: its URI, its headers and its head on the wire (routes spec §3.2, §3.4, §3.5).

Invariants: a client that is not trusted cannot send a Grip header through; no input whatsoever puts a line break into a
head; one pass over the headers, since this runs once per request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from holdfast.errors import WireError
from holdfast.grip.signature import Signer
from holdfast.routing.authority import Authority
from holdfast.routing.hop_by_hop import HOP_BY_HOP, named_by_connection, relayed_headers
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.uri import ClientUri, has_dot_segment
from holdfast.routing.xff import MERGE_ONLY, XffRule, parse_xff_rule
from holdfast.wire.headers import Header, Headers, get_first, split_commas

__all__ = [
    "GRIP_FEATURE",
    "ForwardPolicy",
    "OriginRequest",
    "SetForwardedProto",
    "XffRule",
    "build_origin_request",
    "connect_address",
    "encode_headers",
    "encode_origin_head",
    "is_tls_by_header",
    "origin_authority",
    "parse_xff_rule",
    "ready_for",
    "relayed_headers",
]

# What Pushpin 2.0 claims; backends choose their instructs by it.
GRIP_FEATURE = (
    b"status, session, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, "
    b"filter:build-id, filter:var-subst, filter:http-check, filter:http-modify"
)

_GRIP_FEATURE_HEADER = (b"Grip-Feature", GRIP_FEATURE)

# Marks the client's own headers where a route has `orig_headers`.
_MARK = b"eb9bf0f5-"
# CGI and WSGI cannot tell `Grip_Sig` from `Grip-Sig`, and some servers not even `Grip.Sig`: all become HTTP_GRIP_SIG.
_GRIP = tuple(b"grip" + bytes([char]) for char in b"-_!#$%&'*+.^`|~")

# Never forwarded as received: the head is framed anew, and the encodings are between us and each side.
_ALWAYS_DROPPED = HOP_BY_HOP | {
    b"accept-encoding",
    b"content-encoding",
    b"content-length",
    b"expect",
    b"host",
    b"te",
    b"x-forwarded-for",
}
_COLLECTED = frozenset({b"connection", b"x-forwarded-for", b"cdn-loop"})

_PREFIX_LETTERS = b"ge"  # what the prefixes begin with; most names do not, and are not compared any further
_NO_MARK = (_MARK,)
_NO_GRIP = _GRIP
_NO_GRIP_NO_MARK = (*_GRIP, _MARK)

_HTTP_PORT = 80
_HTTPS_PORT = 443


class SetForwardedProto(Enum):
    """Which headers tell the backend that the client came by TLS: `set_x_forwarded_protocol`."""

    NONE = "none"
    PROTO_ONLY = "proto-only"  # X-Forwarded-Proto
    TRUE = "true"  # X-Forwarded-Proto and X-Forwarded-Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPolicy:
    """The settings that decide what is forwarded.

    Attributes:
        orig_headers_need_mark: lower-cased names that count as original only if the client sent them marked.
        cdn_loop: our id in CDN-Loop; b"" leaves that header alone.
        dropped: lower-cased names of the headers that are not forwarded as received.
    """

    accept_x_forwarded_protocol: bool = False
    set_x_forwarded_protocol: SetForwardedProto = SetForwardedProto.NONE
    x_forwarded_for: XffRule = MERGE_ONLY
    x_forwarded_for_trusted: XffRule = MERGE_ONLY
    orig_headers_need_mark: frozenset[bytes] = frozenset()
    accept_pushpin_route: bool = False
    cdn_loop: bytes = b""
    dropped: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        dropped = set(_ALWAYS_DROPPED)
        if self.accept_pushpin_route:
            dropped.add(b"pushpin-route")
        if self.cdn_loop:
            dropped.add(b"cdn-loop")
        if self.accept_x_forwarded_protocol or self.set_x_forwarded_protocol is not SetForwardedProto.NONE:
            dropped |= {b"x-forwarded-proto", b"x-forwarded-protocol"}
        object.__setattr__(self, "dropped", frozenset(dropped))


class OriginRequest(NamedTuple):
    """A request as it goes to whichever target takes it. A tuple, since one is made per request.

    Attributes:
        authority: host and port of the URI, unless a target overrides it.
        headers: without Host and framing, which depend on target and body.
        encoded: further headers, as `encode_headers` made them for many requests.
        ready_for, ready: a target, and the head for it if there is no body, encoded already (`ready_for`). Nothing of a
            request must be replaced after that.
    """

    method: bytes
    path_and_query: bytes
    authority: Authority
    headers: Headers
    encoded: bytes = b""
    ready_for: Target | None = None
    ready: bytes = b""


def is_tls_by_header(headers: Headers, policy: ForwardPolicy) -> bool:
    """Whether headers that `policy` accepts say that the client came by TLS (routes spec §3.2)."""
    if not policy.accept_x_forwarded_protocol:
        return False
    value = get_first(headers, b"x-forwarded-proto")
    if value is None:
        value = get_first(headers, b"x-forwarded-protocol")
    return value in (b"https", b"wss")


def build_origin_request(
    rule: Rule,
    uri: ClientUri,
    method: bytes,
    headers: Headers,
    *,
    policy: ForwardPolicy,
    is_tls: bool,
    is_trusted: bool,
    client_address: str | None,
    now_s: float,
    proto: Proto = Proto.HTTP,
    grip_last: Sequence[Header] = (),
    is_signed: bool = True,
) -> OriginRequest:
    """The request to the backend for a client's request (routes spec §3.4, §3.5 steps 1-11).

    Args:
        headers: the client's, as received.
        is_tls: whether the client came by TLS, X-Forwarded-Proto counted in where accepted.
        is_trusted: whether the client proved to be a proxy of ours (`Verifier`).
        client_address: "" for a Unix socket, None for a request that no client made.
        now_s: seconds since 1970.
        grip_last: one `Grip-Last` header per channel whose last id is known.
        is_signed: False if others will add the signature, request by request.

    Raises:
        WireError: 400, the route's rewriting would let the path climb out with a dot segment.
    """
    if rule.header_sets:
        headers = [header for header in headers if header[0].lower() not in rule.set_names]
        headers += rule.set_headers
    if rule.orig_headers and not is_trusted:
        headers = _with_originals(headers, policy.orig_headers_need_mark)
    kept, collected = _sift(headers, policy.dropped, _dropped_prefixes(rule, is_trusted))
    options = collected.get(b"connection")
    if options is not None:
        kept = _without_named(kept, options, rule.set_names)
    if policy.cdn_loop:
        loops = split_commas(collected.get(b"cdn-loop", []))
        kept.append((b"CDN-Loop", b", ".join([*loops, policy.cdn_loop])))
    if not is_trusted and not rule.no_grip:
        _append_grip(kept, rule.sig if is_signed else None, now_s, grip_last)
    if is_tls:
        _append_proto(kept, policy.set_x_forwarded_protocol, b"wss" if proto is Proto.WS else b"https")
    xff = policy.x_forwarded_for_trusted if is_trusted else policy.x_forwarded_for
    addresses = collected.get(b"x-forwarded-for")
    if addresses is not None or xff.append:
        forwarded_for = xff.apply(addresses, client_address)
        if forwarded_for is not None:
            kept.append((b"X-Forwarded-For", forwarded_for))
    path = _rewritten_path(rule, uri.path) if rule.path_rem or rule.replace_beg else uri.path
    path_and_query = path if uri.query is None else b"%b?%b" % (path, uri.query)
    return OriginRequest(method, path_and_query, rule.as_host or Authority(uri.host, uri.port), kept)


def encode_origin_head(
    request: OriginRequest, target: Target, *, content_length: int | None, is_chunked: bool
) -> bytes:
    """The head of the request for `target`, its final empty line included (routes spec §3.5 steps 12, 13).

    Args:
        content_length: of the body, None for no such header.
        is_chunked: whether the body is sent in chunks; then there is no `content_length`.

    Raises:
        WireError: 400, something in the request contains a line break.
    """
    if request.ready_for is target and content_length is None and not is_chunked:
        return request.ready
    default_port = _HTTPS_PORT if target.ssl else _HTTP_PORT
    lines = [
        b" ".join((request.method, request.path_and_query, b"HTTP/1.1")),
        b"Host: " + (target.host_override or request.authority).encode(default_port),
        *map(b": ".join, request.headers),
    ]
    if content_length is not None:
        lines.append(b"Content-Length: %d" % content_length)
    elif is_chunked:
        lines += (b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked")
    if request.encoded:
        return b"%b%b\r\n" % (_join_lines(lines), request.encoded)
    lines.append(b"")
    return _join_lines(lines)


def ready_for(request: OriginRequest, target: Target) -> OriginRequest:
    """The same request, which is going to be sent many times, with its head for `target` encoded.

    Raises:
        WireError: as `encode_origin_head` does.
    """
    head = encode_origin_head(request, target, content_length=None, is_chunked=False)
    return request._replace(ready_for=target, ready=head)


def encode_headers(headers: Headers) -> bytes:
    """Headers for `OriginRequest.encoded`.

    Raises:
        WireError: 400, one of them contains a line break.
    """
    return _join_lines([*map(b": ".join, headers)])


def _join_lines(lines: list[bytes]) -> bytes:
    """The lines, each with its end."""
    lines.append(b"")
    joined = b"\r\n".join(lines)
    # The parser refuses such input long before; this makes it certain, at the price of a look at every byte.
    if len(joined.splitlines()) != len(lines) - 1:
        raise WireError(400, "Failed to parse request: invalid header value")
    return joined


def origin_authority(request: OriginRequest, target: Target) -> Authority:
    """Host and port of the URI as `target` sees it: for the Host header, SNI and the check of certificates."""
    return target.host_override or request.authority


def connect_address(request: OriginRequest, target: Target) -> tuple[str, int]:
    """Host (IPv6 without brackets) and port to connect to; those of the URI if the target has no host."""
    if target.host:
        return target.host, target.port
    host, port = origin_authority(request, target)
    return host.strip("[]"), port or (_HTTPS_PORT if target.ssl else _HTTP_PORT)


def _dropped_prefixes(rule: Rule, is_trusted: bool) -> tuple[bytes, ...]:
    if is_trusted:
        return () if rule.orig_headers else _NO_MARK
    return _NO_GRIP if rule.orig_headers else _NO_GRIP_NO_MARK


def _sift(
    headers: Headers, dropped: frozenset[bytes], dropped_prefixes: tuple[bytes, ...]
) -> tuple[Headers, dict[bytes, list[bytes]]]:
    """What is kept, and by lower-cased name the values of the rest that new headers are made from."""
    kept: Headers = []
    collected: dict[bytes, list[bytes]] = {}
    for header in headers:
        lower = header[0].lower()
        if lower in dropped:
            if lower in _COLLECTED:
                collected.setdefault(lower, []).append(header[1])
        elif lower[0] not in _PREFIX_LETTERS or not lower.startswith(dropped_prefixes):
            kept.append(header)
    return kept, collected


def _without_named(headers: Headers, options: list[bytes], set_names: frozenset[bytes]) -> Headers:
    """The headers without those that `Connection` takes along; what the route set is not the client's to drop."""
    named = named_by_connection(options)
    if not named:
        return headers
    return [header for header in headers if (lower := header[0].lower()) not in named or lower in set_names]


def _with_originals(headers: Headers, need_mark: frozenset[bytes]) -> Headers:
    """The headers, and then a marked copy of each that is not marked already (routes spec §3.5 step 4)."""
    unmarked: Headers = []
    originals: Headers = []
    for header in headers:
        lower = header[0].lower()
        if lower.startswith(_MARK):
            originals.append(header)
            continue
        unmarked.append(header)
        if lower not in need_mark:
            originals.append((_MARK + header[0], header[1]))
    return unmarked + originals


def _append_grip(headers: Headers, sig: Signer | None, now_s: float, grip_last: Sequence[Header]) -> None:
    token = sig.token(now_s) if sig is not None else None
    if token is not None:
        headers.append((b"Grip-Sig", token))
    headers.append(_GRIP_FEATURE_HEADER)
    headers += grip_last


def _append_proto(headers: Headers, which: SetForwardedProto, scheme: bytes) -> None:
    if which is not SetForwardedProto.NONE:
        headers.append((b"X-Forwarded-Proto", scheme))
    if which is SetForwardedProto.TRUE:
        headers.append((b"X-Forwarded-Protocol", scheme))


def _rewritten_path(rule: Rule, path: bytes) -> bytes:
    path = (rule.replace_beg or b"") + path[rule.path_rem :]
    if not path.startswith(b"/"):
        path = b"/" + path
    # `path_beg=/a,replace_beg=/b/` turns `/a../c` into `/b/../c`: harmless before the cut, an escape after it.
    if has_dot_segment(path):
        raise WireError(400, "Request path is not valid for its route.")
    return path
