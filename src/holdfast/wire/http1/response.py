"""A response as it arrives: interim responses skipped, its framing chosen and taken off (RFC 9112 §6.3)."""

from __future__ import annotations

from holdfast.errors import WireError
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody, UntilCloseBody
from holdfast.wire.http1.head import ResponseHead
from holdfast.wire.http1.repeated import ResponseHeads

BODY_BUFFER_BYTES = 65536
"""Response body bytes kept before the backend is no longer read from."""

MAX_INTERIM_RESPONSES = 16
"""1xx responses skipped before one answer; a backend that sends more is broken."""


class ResponseReader:
    """Reads the responses to the requests on one connection, which is told what to `expect`.

    Attributes:
        is_awaited: a request was sent, and the head of its final response is not here yet.
        head: that head, when it is; of `head_bytes`.
        is_complete: nothing more is to come, read or not; also before the first request.
        chunks: content that is here.
        is_full: no more should be received until what is here has been taken.
        rest: what followed the response; it is part of another protocol after a 101, and nobody asked for it otherwise.
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_heads",
        "_interim",
        "_is_upgrade",
        "_method",
        "_pending_bytes",
        "chunks",
        "head",
        "head_bytes",
        "is_awaited",
        "is_complete",
        "is_full",
        "rest",
    )

    def __init__(self, heads: ResponseHeads) -> None:
        self.is_awaited = False
        self.head: ResponseHead | None = None
        self.head_bytes = 0
        self.is_complete = True
        self.chunks: list[bytes] = []
        self.is_full = False
        self.rest = b""
        self._heads = heads
        self._method = b""
        self._is_upgrade = False
        self._interim = 0
        self._buffer = b""
        self._decoder: BodyDecoder | None = None
        self._pending_bytes = 0

    def expect(self, method: bytes, is_upgrade: bool) -> None:
        """A request is sent; the response before it is complete and was taken. With `is_upgrade` 101 is an answer."""
        self.is_awaited = True
        self.is_complete = False
        self.head = None
        self._method = method
        self._is_upgrade = is_upgrade
        self._interim = 0

    def receive_head(self, data: bytes) -> None:
        """Take bytes while the response `is_awaited`. Raises WireError: this is no response."""
        self._buffer = data = self._buffer + data if self._buffer else data
        parsed = self._heads.parse(data)
        while parsed is not None and parsed[0].code < 200 and not (parsed[0].code == 101 and self._is_upgrade):
            self._skip_interim(*parsed)
            parsed = self._heads.parse(self._buffer)
        if parsed is None:
            return
        self.head, self.head_bytes = head, length = parsed
        rest, self._buffer = self._buffer[length:], b""
        self.is_awaited = False
        if self._method == b"HEAD" or head.code == 204 or head.code == 304 or head.code == 101:
            self.rest = rest
            self.is_complete = True
            self.is_full = head.code == 101
        elif head.content_length == len(rest):
            # All of it in one go, as usual: there is nothing to decode.
            self.chunks.append(rest)
            self.is_complete = True
        else:
            self._decoder = _framing(head)
            self.receive_body(rest)

    def receive_body(self, data: bytes) -> None:
        """Take bytes after the head of a response that is not complete. Raises WireError: its framing is broken."""
        decoder = self._decoder
        assert decoder is not None
        content = decoder.feed(data)
        if content:
            self.chunks.append(content)
            self._pending_bytes += len(content)
        if decoder.is_complete:
            self.rest = decoder.rest
            self.is_complete = True
        self.is_full = self._pending_bytes > BODY_BUFFER_BYTES and not self.is_complete

    def receive_end(self) -> bool:
        """The connection has ended within the body; returns whether that is how it ends."""
        assert self._decoder is not None
        self.is_complete = self._decoder.feed_eof()
        return self.is_complete

    def take(self) -> bytes:
        """The content that is here."""
        content = self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self._pending_bytes = 0
        self.is_full = False
        return content

    def _skip_interim(self, head: ResponseHead, length: int) -> None:
        """1xx responses are not for us (RFC 9110 §15.2); 101 would need an Upgrade that we did not send."""
        self._interim += 1
        if head.code == 101 or self._interim > MAX_INTERIM_RESPONSES:
            raise WireError(502, f"Failed to parse response: unexpected status {head.code}")
        self._buffer = self._buffer[length:]


def _framing(head: ResponseHead) -> BodyDecoder:
    """The framing of a response that may have a body."""
    if head.is_chunked:
        return ChunkedBody("response")
    if head.content_length is not None:
        return SizedBody(head.content_length)
    head.is_persistent = False
    return UntilCloseBody()
