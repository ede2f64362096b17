"""Heads that come again, byte for byte, so that they need not be parsed again.

Response heads do when very many clients ask the same within a second; request heads do when clients poll.
"""

from __future__ import annotations

from holdfast.wire.http1.head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head

KNOWN_HEADS = 256
"""Request heads that are remembered; the oldest makes room."""

MAX_KNOWN_BYTES = 1024
"""Of such a head; no more than a few megabytes come together."""

_LINE_FEED = 10  # What ends otherwise is not a head alone, and no hash of it is needed.


class ResponseHeads:
    """Parses response heads, and knows the last one. Equal heads are one object, so that others can know it as well."""

    __slots__ = ("_data", "_head", "_limits")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._data = b""
        self._head: ResponseHead | None = None

    def parse(self, data: bytes) -> tuple[ResponseHead, int] | None:
        """See `parse_response_head`. A head with a length must not be changed."""
        if self._head is not None and data.startswith(self._data):
            return self._head, len(self._data)
        parsed = parse_response_head(data, self._limits)
        if parsed is not None and parsed[0].content_length is not None:
            self._head, length = parsed
            self._data = data[:length]
        return parsed


class RequestHeads:
    """Parses request heads, and knows those that a client has sent twice in a row, for all clients.

    Requests of different users differ, by their cookies, and most of one user do, too: they are not to push out the
    others. What a client sent before is told by its hash, so that clients cost nothing while they are silent.
    """

    __slots__ = ("_known", "_limits")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._known: dict[bytes, tuple[RequestHead, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def parse(self, data: bytes, last_hash: int) -> tuple[RequestHead, int] | None:
        """See `parse_request_head`. A head that `is_repeated` must not be changed.

        Args:
            data: not empty.
            last_hash: the `head_hash` of what the client sent before; 0 for nothing.
        """
        if len(data) > MAX_KNOWN_BYTES or data[-1] != _LINE_FEED:
            return parse_request_head(data, self._limits)
        known = self._known.get(data)
        if known is not None:
            return known
        parsed = parse_request_head(data, self._limits)
        if parsed is not None and hash(data) == last_hash and parsed[1] == len(data) and not parsed[0].has_body:
            self._remember(data, parsed)
        return parsed

    def _remember(self, data: bytes, parsed: tuple[RequestHead, int]) -> None:
        parsed[0].is_repeated = True
        if len(self._known) >= KNOWN_HEADS:
            del self._known[next(iter(self._known))]
        self._known[data] = parsed


def head_hash(data: bytes) -> int:
    """A number that tells whether a client sends the same again; 0 for what is not remembered, whatever it is."""
    return hash(data) if len(data) <= MAX_KNOWN_BYTES and data[-1] == _LINE_FEED else 0
