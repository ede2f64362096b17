"""The header fields that a response keeps on its way to a held client (grip spec §3.7, §3.9, §5.3)."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.grip.item import ResponseFormat
from holdfast.grip.values import BackendResponse
from holdfast.wire.headers import Headers, get_all, without, without_prefix
from holdfast.wire.params import list_params
from holdfast.wire.reasons import reason_phrase

EXPOSE_FIELD = b"grip-expose-headers"
_ENCODING_FIELD = b"content-encoding"
# Written anew for every client by whoever frames the response.
FRAMING_FIELDS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})


def clean_headers(headers: Headers) -> Headers:
    """A copy without `Grip-*`, hop-by-hop and length fields."""
    return without_prefix(without(headers, FRAMING_FIELDS), b"grip-")


def keep_exposed(headers: Headers, values: Iterable[bytes]) -> Headers:
    """The fields that these `Grip-Expose-Headers` lines list, or all fields if the lines list none.

    `Content-Encoding` always stays: bodies are relayed as they are, and are unreadable without it.
    """
    exposed = {params.first.lower() for params in list_params(values)}
    if not exposed:
        return headers
    exposed.add(_ENCODING_FIELD)
    return [header for header in headers if header[0].lower() in exposed]


def published_response(kept: BackendResponse, fmt: ResponseFormat, body: bytes | None = None) -> BackendResponse:
    """The response that a published item makes of a held one (grip spec §5.3).

    Status and reason are the item's. Kept fields that the item names give way to the item's own, which follow in order.
    A kept `Content-Encoding` goes in any case: it was the kept body's. Unlike upstream, `Grip-Expose-Headers` in an
    item keeps the listed fields and drops the others.

    Args:
        kept: the response of the instruct.
        fmt: the item's format, with action SEND.
        body: the body after patch and filters; by default the item's own, or for a body patch the kept one.
    """
    replaced = {name.lower() for name, _ in fmt.headers}
    headers = without(kept.headers, replaced | {_ENCODING_FIELD})
    headers += clean_headers(fmt.headers)
    if EXPOSE_FIELD in replaced:
        headers = keep_exposed(headers, get_all(fmt.headers, EXPOSE_FIELD))
    if body is None:
        body = kept.body if fmt.body is None else fmt.body
    reason = reason_phrase(fmt.code) if fmt.reason is None else fmt.reason
    return BackendResponse(fmt.code, reason, headers, body)
