"""Which requests may share an answer, and which answers may be shared (routes spec §3.14).

Two requests are equal when a backend could not tell one from the other. What such a backend says for one of them it
might as well have said to the other, unless it made something up for this client only: see `is_for_one_client`.
"""

from __future__ import annotations

from collections.abc import Hashable

from holdfast.routing.forward import OriginRequest
from holdfast.wire.headers import Headers, get_all, split_commas

SHAREABLE_METHODS = frozenset({b"GET", b"HEAD"})
"""Those that only ask, and whose body, if there is one, means nothing (RFC 9110 §9.3.1)."""

_MADE_BY_US = b"grip-sig"
_NEW_STATE = frozenset({b"set-cookie", b"set-cookie2"})
_FOR_ONE = frozenset({b"private", b"no-store"})


def request_key(request: OriginRequest, *, is_trusted: bool) -> Hashable:
    """What all requests that a backend could not tell from `request` have in common.

    Every byte counts that is forwarded. Only Grip-Sig does not: it is about us, and made anew for each request. A
    trusted proxy's own is forwarded like any other header, and counts.
    """
    headers = request.headers
    if not is_trusted:
        headers = [header for header in headers if header[0].lower() != _MADE_BY_US]
    return request.method, request.path_and_query, request.authority, tuple(headers), request.encoded, is_trusted


def is_for_one_client(headers: Headers) -> bool:
    """Whether a response was made for one client only, although others asked the same.

    It is if it begins a state (a session that its other owners could enter), forbids caches that serve several users
    to keep it (RFC 9111 §5.2.2), or says that more than the request decided it (RFC 9111 §4.1).
    """
    if any(name.lower() in _NEW_STATE for name, _ in headers):
        return True
    directives = split_commas(get_all(headers, b"cache-control"))
    if any(directive.partition(b"=")[0].strip().lower() in _FOR_ONE for directive in directives):
        return True
    return b"*" in split_commas(get_all(headers, b"vary"))
