"""A request by JSON-P: what the query of a GET asks for instead (routes spec §3.13).

Whoever writes a page writes that query, and visitors' browsers send it along with their cookies. So it can set no more
than a script can, and what it sets goes through what every request goes through afterwards (`routing.forward`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import orjson

from holdfast.errors import WireError
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Headers, is_token, without

MAX_HEADERS = 64
"""In `_headers`: as many as a client may send."""

_METHOD_PARAM = b"_method"
_HEADERS_PARAM = b"_headers"
_BODY_PARAM = b"_body"

_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

# What no script can set (Fetch §2.2.2): it would steer connections, or speak for the browser. And Grip headers, even if
# the request comes from a trusted proxy, which has not looked into the query.
_NOT_TO_BE_SET = frozenset(
    b"accept accept-charset accept-encoding access-control-request-headers access-control-request-method connection "
    b"content-length cookie cookie2 date dnt expect host keep-alive origin referer te trailer transfer-encoding "
    b"upgrade via".split()
)
_NOT_TO_BE_SET_PREFIXES = (b"grip-", b"grip_", b"proxy-", b"sec-")
_REPLACED = frozenset({b"host", b"accept"})

# Nor can a script ask by these (Fetch §2.2.1): the answer to TRACE tells it the cookies that are not for scripts.
_FORBIDDEN_METHODS = frozenset({b"CONNECT", b"TRACE", b"TRACK"})
_CONTENT_TYPE = b"content-type"


class JsonpRequest(NamedTuple):
    """What is asked for.

    Attributes:
        callback: any text, not empty.
        query: what is left of it, None for nothing.
        headers: all of them.
        body: None for the client's own.
    """

    callback: bytes
    method: bytes
    query: bytes | None
    headers: Headers
    body: bytes | None


def read_jsonp(terms: JsonpTerms, uri: ClientUri, headers: Headers, *, has_body: bool) -> JsonpRequest | None:
    """What a GET for `uri` asks for, None if it is no JSON-P.

    Args:
        headers: the client's, as received.
        has_body: whether the client sends a body, too.

    Raises:
        WireError: 400, with the text of routes spec §3.13.
    """
    if uri.query is None:
        return None
    body_param = terms.body_param or _BODY_PARAM
    names = {terms.callback_param, _METHOD_PARAM, _HEADERS_PARAM, body_param}
    given, rest = _split_query(uri.query, names)
    callback = given.get(terms.callback_param)
    if callback is None:
        if terms.body_param is None or body_param not in given:
            return None
        callback = terms.default_callback
        if callback is None:
            return None
    if not callback:
        raise WireError(400, "Invalid callback parameter.")
    method = given.get(_METHOD_PARAM, terms.default_method)
    if not is_token(method) or method.upper() in _FORBIDDEN_METHODS:
        raise WireError(400, "Invalid _method parameter.")
    added = _parse_headers(given[_HEADERS_PARAM]) if _HEADERS_PARAM in given else []
    body = given.get(body_param)
    if body is not None and (not body or has_body):
        raise WireError(400, f"Invalid {'body' if terms.body_param else '_body'} parameter.")
    if body is not None and terms.body_param is not None:
        added = [*without(added, {_CONTENT_TYPE}), (b"Content-Type", b"application/json")]
        headers = without(headers, {_CONTENT_TYPE})
    added += [(b"Host", uri.authority.encode()), (b"Accept", b"*/*")]
    return JsonpRequest(callback, method, rest, added + without(headers, _REPLACED), body)


def _split_query(query: bytes, names: set[bytes]) -> tuple[Mapping[bytes, bytes], bytes | None]:
    """The decoded values of these parameters, of each the first, and what is left of the query, as received."""
    given: dict[bytes, bytes] = {}
    rest: list[bytes] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        name = unquote_to_bytes(name)
        if name in names:
            given.setdefault(name, unquote_to_bytes(value))
        else:
            rest.append(part)
    return given, b"&".join(rest) or None


def _parse_headers(data: bytes) -> Headers:
    """The headers in `_headers`, by name. Raises WireError."""
    try:
        members = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise _bad_headers() from exc
    if not isinstance(members, dict) or len(members) > MAX_HEADERS:
        raise _bad_headers()
    headers: Headers = []
    for name, value in sorted(members.items()):
        encoded = name.encode()
        if not is_token(encoded) or not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
            raise _bad_headers()
        lower = encoded.lower()
        if lower not in _NOT_TO_BE_SET and not lower.startswith(_NOT_TO_BE_SET_PREFIXES):
            headers.append((encoded, value.strip(" \t").encode()))
    return headers


def _bad_headers() -> WireError:
    return WireError(400, "Invalid _headers parameter.")
