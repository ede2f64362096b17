"""The extension permessage-deflate (RFC 7692): its negotiation as a server, and messages compressed one by one.

Both directions are negotiated without context takeover, always. So a broadcast is compressed once for all clients, and
between two messages a connection has no state of compression: neither memory, nor a reason to stay awake.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from websockets.exceptions import InvalidHeaderFormat
from websockets.headers import parse_extension

NAME = "permessage-deflate"

_ANSWER = b"permessage-deflate; client_no_context_takeover; server_no_context_takeover"
_ANSWER_WITH_WINDOW = _ANSWER + b"; server_max_window_bits=15"

_WINDOW_BITS = {str(bits) for bits in range(8, 16)}
_FLAGS = ("client_no_context_takeover", "server_no_context_takeover")

# Raw deflate with the largest window. A sender that announced a smaller one is understood as well.
_RAW = -15

# What a sync flush ends with; it is left out of every message (RFC 7692 §7.2.1).
_TAIL = b"\x00\x00\xff\xff"

Offer = tuple[str, Sequence[tuple[str, str | None]]]


def parse_extensions(values: Iterable[bytes]) -> list[Offer]:
    """Name and parameters of all elements of `Sec-WebSocket-Extensions` lines, in order. Raises ValueError."""
    offers: list[Offer] = []
    for value in filter(None, values):
        try:
            offers += parse_extension(value.decode("ascii"))
        except InvalidHeaderFormat as exc:
            raise ValueError(str(exc)) from exc
    return offers


def negotiate(offers: Iterable[Offer]) -> bytes | None:
    """The `Sec-WebSocket-Extensions` of our answer: the first acceptable offer wins (ws spec §4.5); None without."""
    for name, params in offers:
        if name == NAME and _is_acceptable(params):
            # A window that was offered must be answered (RFC 7692 §7.1.2.1).
            return _ANSWER_WITH_WINDOW if "server_max_window_bits" in dict(params) else _ANSWER
    return None


def _is_acceptable(params: Sequence[tuple[str, str | None]]) -> bool:
    names = [name for name, _ in params]
    return len(set(names)) == len(names) and all(_is_acceptable_param(name, value) for name, value in params)


def _is_acceptable_param(name: str, value: str | None) -> bool:
    if name in _FLAGS:
        return value is None
    if name == "client_max_window_bits":
        return value is None or value in _WINDOW_BITS
    # A smaller window would ask for a compression of its own: a broadcast has only one.
    return name == "server_max_window_bits" and value == "15"


class MessageDeflater:
    """Compresses one message, in one piece or in several that become its frames."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=_RAW)

    def feed(self, payload: bytes, *, is_last: bool) -> bytes:
        """What the peer needs to have the message up to here; after the last piece the object is of no use any more."""
        data = self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(_TAIL)] if is_last else data


class MessageInflater:
    """Decompresses one message; whatever its size, no more than `step_bytes` at a time."""

    __slots__ = ("_decompressor", "_step_bytes")

    def __init__(self, step_bytes: int) -> None:
        self._decompressor = zlib.decompressobj(_RAW)
        self._step_bytes = step_bytes

    def feed(self, data: bytes, *, is_last: bool) -> Iterator[bytes]:
        """The content of the next piece, never an empty part of it. Raises ValueError for what is no deflate data."""
        if is_last:
            data += _TAIL
        while True:
            try:
                content = self._decompressor.decompress(data, self._step_bytes)
            except zlib.error as exc:
                raise ValueError(str(exc)) from exc
            if content:
                yield content
            # Behind a block that says it is the last one stands an empty one at most (RFC 7692 §7.2.3.5).
            if len(self._decompressor.unused_data) > len(_TAIL) + 1:
                raise ValueError("data behind the final block")
            # Behind the final block zlib's `unconsumed_tail` says nothing more: what is left is `unused_data`.
            if self._decompressor.eof:
                return
            data = self._decompressor.unconsumed_tail
            # A full step may have left output behind even when all input is taken.
            if not data and len(content) < self._step_bytes:
                return
