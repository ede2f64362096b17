"""ZHTTP's requests, answers and failures in the proxy's own terms (ws spec §6, §7.4-§7.6)."""

from __future__ import annotations

import os
import uuid

from holdfast.errors import AddressRefused, BackendError, BadResponse, ConnectError, LengthRequired
from holdfast.routing.forward import OriginRequest, origin_authority
from holdfast.routing.rules import Target
from holdfast.wire.headers import Headers, get_all
from holdfast.wire.params import parse_int
from holdfast.wire.zhttp.packets import Condition
from holdfast.wire.zhttp.requests import RequestHead, TargetOptions
from holdfast.wire.zhttp.responses import ResponseHead

SILENCE_S = 60.0
"""A peer that has sent nothing for so long is gone (ws spec §7.7)."""

MAX_HEADERS = 64
"""Of a response (ws spec §5.3)."""

_HTTP_PORT = 80
_HTTPS_PORT = 443
_MIN_CODE = 200


def make_exchange_id() -> bytes:
    """A new UUID: whoever knows it speaks for the exchange, so nobody can guess it."""
    return str(uuid.UUID(bytes=os.urandom(16), version=4)).encode()


def make_request_head(request: OriginRequest, target: Target, content_length: int | None) -> RequestHead:
    """The head of an HTTP request for `target`; without a length the backend counts the body itself."""
    headers = [] if content_length is None else [(b"Content-Length", b"%d" % content_length)]
    return _make_head(request, target, request.method, b"https" if target.ssl else b"http", headers)


def make_socket_head(request: OriginRequest, target: Target, added: Headers) -> RequestHead:
    """The handshake of a WebSocket for `target`."""
    return _make_head(request, target, None, b"wss" if target.ssl else b"ws", added)


def _make_head(
    request: OriginRequest, target: Target, method: bytes | None, scheme: bytes, added: Headers
) -> RequestHead:
    authority = origin_authority(request, target).encode(_HTTPS_PORT if target.ssl else _HTTP_PORT)
    return RequestHead(
        method,
        b"%b://%b%b" % (scheme, authority, request.path_and_query),
        [(b"Host", authority), *request.headers, *added],
        TargetOptions(
            ignore_policies=not target.untrusted,
            trust_connect_host=target.trust_connect_host,
            ignore_tls_errors=target.insecure,
            client_cert=target.identity.certificate if target.identity is not None else None,
            client_key=target.identity.key if target.identity is not None else None,
        ),
    )


def final_code(head: ResponseHead) -> int:
    """The status of a response. Raises BadResponse for what is none that a client could get."""
    if head.code is None or head.code < _MIN_CODE:
        raise BadResponse(f"backend answered with the status {head.code}")
    if len(head.headers) > MAX_HEADERS:
        raise BadResponse(f"backend answered with more than {MAX_HEADERS} headers")
    return head.code


def stated_length(headers: Headers) -> int | None:
    """The length that a response states, if it does so clearly. Its body does not depend on it."""
    values = set(get_all(headers, b"content-length"))
    if len(values) != 1:
        return None
    length = parse_int(values.pop())
    return length if length is not None and length >= 0 else None


def failure_error(condition: Condition | None) -> BackendError:
    """What a backend's failure means for the request (ws spec §6)."""
    text = f"backend failed: {condition.value.decode() if condition is not None else 'no known condition'}"
    if condition is not None and condition.is_connect_failure:
        return ConnectError(text)
    if condition is Condition.LENGTH_REQUIRED:
        return LengthRequired(text)
    if condition is Condition.POLICY_VIOLATION:
        return AddressRefused(text)
    return BadResponse(text)
