"""A response through which a SockJS client gets frames: one for a poll, many for a stream (routes spec §4.3).

A poll that can be answered at once is. Otherwise its client is held like that of any long poll, parked where that can
be: a descriptor and this record.
"""

from __future__ import annotations

from holdfast.net.exchange import ClientExchange
from holdfast.net.outlets import Outlet
from holdfast.proxy.sockjs_session import SockJsSession
from holdfast.wire.headers import Headers
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk, encode_response_head
from holdfast.wire.sockjs import is_close
from holdfast.wire.sockjs_http import MAX_STREAM_BYTES, TEXT, Format, common_headers

TERMINATED = b"Session terminated\n"


class ResponseReceiver:
    """See `Receiver`; owner of the outlet while the response is held.

    Args:
        origin: of the client, if it says one.
    """

    __slots__ = (
        "_client",
        "_format",
        "_is_http11",
        "_is_persistent",
        "_origin",
        "_outlet",
        "_sent_bytes",
        "_session",
        "is_done",
    )

    def __init__(self, session: SockJsSession, format: Format, origin: bytes | None) -> None:
        self.is_done = False
        self._session = session
        self._format = format
        self._origin = origin
        self._client: ClientExchange | None = None
        self._outlet: Outlet | None = None
        self._is_http11 = False
        self._is_persistent = False
        self._sent_bytes = 0

    async def serve(self, client: ClientExchange) -> bool:
        """Answer the request, now or later; returns whether its client is held. `session.attach` comes before."""
        first = b""
        if self._format.is_streaming:
            first = self._begin_stream(client)
        else:
            self._client = client
            self._session.deliver()
            self._client = None
            if self.is_done:
                return False
            self._is_http11, self._is_persistent = client.head.is_http11, client.is_persistent
        self._outlet = await client.hold(self, first)
        if self._outlet is None:
            self.on_client_gone()
        elif self._session.has(self):
            self._session.deliver()
        else:
            self.terminate()
        return True

    # --- for the session -------------------------------------------------------------------------------------------

    @property
    def can_take(self) -> bool:
        """See `Receiver`."""
        return self._client is not None or (self._outlet is not None and not self._outlet.is_blocked)

    def give(self, frame: bytes) -> None:
        """See `Receiver`."""
        body = self._format.encode(frame)
        if self._format.is_streaming:
            self._stream(body, is_last=is_close(frame))
        else:
            self._answer(200, b"OK", self._format.content_type, body)

    def terminate(self) -> None:
        """See `Receiver`."""
        if self._outlet is None or self.is_done:
            return
        if self._format.is_streaming:
            self.is_done = True
            self._outlet.finish(self._ending(), is_reusable=self._is_persistent)
        else:
            self._answer(410, b"Gone", TEXT, TERMINATED)

    def _answer(self, code: int, reason: bytes, content_type: bytes, body: bytes) -> None:
        headers: Headers = [(b"Content-Type", content_type), *common_headers(self._origin)]
        if self._client is not None:
            self._client.respond(code, reason, headers, body)
        elif self._outlet is not None:
            head = encode_response_head(
                code,
                reason,
                headers,
                is_http11=self._is_http11,
                is_persistent=self._is_persistent,
                content_length=len(body),
            )
            self._outlet.finish(head + body, is_reusable=self._is_persistent)
        self.is_done = True

    # --- streams ---------------------------------------------------------------------------------------------------

    def _begin_stream(self, client: ClientExchange) -> bytes:
        self._is_http11 = client.head.is_http11
        self._is_persistent = client.is_persistent and self._is_http11
        head = encode_response_head(
            200,
            b"OK",
            [(b"Content-Type", self._format.content_type), *common_headers(self._origin)],
            is_http11=self._is_http11,
            is_persistent=self._is_persistent,
            is_chunked=self._is_http11,
        )
        return head + self._framed(self._format.prelude)

    def _stream(self, body: bytes, *, is_last: bool) -> None:
        assert self._outlet is not None
        self._sent_bytes += len(body)
        if is_last or self._sent_bytes >= MAX_STREAM_BYTES:
            self.is_done = True
            self._outlet.finish(self._framed(body) + self._ending(), is_reusable=self._is_persistent)
        else:
            self._outlet.write(self._framed(body))

    def _framed(self, body: bytes) -> bytes:
        return encode_chunk(body) if self._is_http11 else body

    def _ending(self) -> bytes:
        return LAST_CHUNK if self._is_http11 else b""

    # --- for the outlet --------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """See `Described`."""
        return self._session.describe()

    def on_client_gone(self) -> None:
        """See `OutletOwner`."""
        self.is_done = True
        self._outlet = None
        self._session.receiver_gone(self)

    def on_drained(self) -> None:
        """See `OutletOwner`."""
        self._session.deliver()

    def end(self) -> None:
        """See `OutletOwner`."""
        self._session.end()
