"""Header fields that end at a connection and are not relayed (RFC 9110 §7.6.1, routes spec §3.5 step 5, §3.10).

Invariants: a `Connection` header can drop what is meant for the next hop, but never what the meaning, the framing or
the trust of a message rests on.
"""

from __future__ import annotations

from holdfast.wire.headers import Headers, split_commas

# Dropped in both directions, whatever `Connection` says.
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})

_NEVER_RELAYED = HOP_BY_HOP | {b"trailer"}
_FRAMED_ANEW = _NEVER_RELAYED | {b"content-length"}

# RFC 9110 §7.6.1: an option must not name a field that is meant for all recipients. Obeyed blindly, that would let a
# client strip what an earlier proxy or the route vouches for.
_END_TO_END = frozenset(
    b"accept age allow authorization cache-control cdn-loop cookie date etag expires forwarded host last-event-id "
    b"last-modified link location origin pushpin-route range referer retry-after server set-cookie user-agent vary via "
    b"www-authenticate x-real-ip".split()
)
_END_TO_END_PREFIXES = (b"access-control-", b"content-", b"eb9bf0f5-", b"grip-", b"if-", b"sec-", b"x-forwarded-")

# What nearly every `Connection` header says; none of it names a field that is still there.
_COMMON_OPTIONS = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close", b"upgrade", b"Upgrade"})


def named_by_connection(values: list[bytes]) -> frozenset[bytes]:
    """The lower-cased names of the fields that `Connection` headers with these values take along.

    Fields that are meant for the final recipient are not among them, even if named.
    """
    if len(values) == 1 and values[0] in _COMMON_OPTIONS:
        return frozenset()
    names = {option.lower() for option in split_commas(values)}
    return frozenset(name for name in names - _END_TO_END if not name.startswith(_END_TO_END_PREFIXES))


def relayed_headers(headers: Headers, *, is_framed_anew: bool = False) -> Headers:
    """What of a backend's response goes on to the client, in order. `Content-Encoding` stays, as the bytes do.

    Args:
        is_framed_anew: `Content-Length` is left out too, because the caller writes its own.
    """
    dropped = _FRAMED_ANEW if is_framed_anew else _NEVER_RELAYED
    kept: Headers = []
    options: list[bytes] = []
    for header in headers:
        lower = header[0].lower()
        if lower not in dropped:
            kept.append(header)
        elif lower == b"connection":
            options.append(header[1])
    if options:
        named = named_by_connection(options)
        if named:
            return [header for header in kept if header[0].lower() not in named]
    return kept
