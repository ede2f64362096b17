"""A request to a ZeroMQ backend with its answer, both in as many packets as it takes (ws spec §7.7)."""

from __future__ import annotations

import asyncio
import logging

from holdfast.errors import BackendError, BadResponse
from holdfast.proxy.zhttp_streams import StreamService
from holdfast.proxy.zhttp_values import failure_error, final_code, stated_length
from holdfast.wire.headers import Headers
from holdfast.wire.zhttp.packets import WINDOW_BYTES, Data, Failure, Signal
from holdfast.wire.zhttp.requests import RequestHead
from holdfast.wire.zhttp.responses import Response

log = logging.getLogger("holdfast.proxy.zhttp")

MAX_PENDING_BYTES = 16_000_000
"""Of an answer that the client has not taken; more is from a backend that does not count credits, and ends it."""


class StreamReply:
    """The exchange with the backend; a `Reply` when `read_head` has returned."""

    __slots__ = (
        "_chunks",
        "_error",
        "_has_head",
        "_is_bodyless",
        "_is_finished",
        "_is_request_sent",
        "_news",
        "_pending_bytes",
        "_remaining",
        "_room",
        "_service",
        "_session",
        "body_bytes",
        "code",
        "content_length",
        "head_bytes",
        "headers",
        "reason",
    )

    def __init__(self, service: StreamService) -> None:
        self.code = 0
        self.reason = b""
        self.headers: Headers = []
        self.content_length: int | None = None
        self.head_bytes = 0
        self.body_bytes = 0
        self._service = service
        self._session = service.open(self)
        self._has_head = False
        self._is_bodyless = False
        self._is_finished = False
        self._is_request_sent = False
        self._remaining: int | None = None
        self._chunks: list[bytes] = []
        self._pending_bytes = 0
        self._error: BackendError | None = None
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    # --- the request -----------------------------------------------------------------------------------------------

    def send_request(self, head: RequestHead, body: bytes, *, is_whole: bool) -> bytes:
        """Send the request and what is there of its body; what needs the backend's credits first is returned.

        Raises NoBackend.
        """
        first, rest = body[:WINDOW_BYTES], body[WINDOW_BYTES:]
        self._is_request_sent = is_whole and not rest
        self._is_bodyless = head.method == b"HEAD"
        self._session.begin(head, Data(first, has_more=not self._is_request_sent))
        return rest

    async def write(self, content: bytes) -> None:
        """Send more of the body, as fast as the backend grants credits. An exchange that is over takes everything."""
        while content and not self._session.is_over:
            if self._session.credits <= 0:
                await self._wait_for_room()
                continue
            piece, content = content[: self._session.credits], content[self._session.credits :]
            self._session.send(Data(piece, has_more=True))

    async def end_body(self) -> None:
        """The body is complete."""
        while self._session.address is None and not self._session.is_over:
            await self._wait_for_room()
        self._is_request_sent = True
        self._session.send(Data())
        self._end_if_done()

    async def _wait_for_room(self) -> None:
        self._room = self._service.runtime.loop.create_future()
        try:
            await self._room
        finally:
            self._room = None

    # --- the answer ------------------------------------------------------------------------------------------------

    async def read_head(self) -> None:
        """Wait until the answer begins. Raises BackendError."""
        while not self._has_head:
            if self._error is not None:
                raise self._error.anew()
            await self._wait_for_news()

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        return self._is_finished

    async def read(self) -> bytes:
        """The next body bytes, empty at the end. Raises BackendError."""
        while not self._chunks:
            if self._error is not None:
                raise self._error.anew()
            if self._is_finished:
                return b""
            await self._wait_for_news()
        return self.take()

    def take(self) -> bytes:
        """The body bytes that are here; the backend may send as many again."""
        content = b"".join(self._chunks)
        self._chunks.clear()
        self.body_bytes += len(content)
        size, self._pending_bytes = self._pending_bytes, 0
        if not self._is_finished:
            self._session.grant(size)
        return content

    def close(self, *, is_request_sent: bool) -> None:
        """The exchange is over; a backend that is not done with it is told."""
        if not self._session.is_over:
            self._session.cancel()

    async def _wait_for_news(self) -> None:
        self._news = self._service.runtime.loop.create_future()
        try:
            await self._news
        finally:
            self._news = None

    # --- from the backend ------------------------------------------------------------------------------------------

    def on_packet(self, response: Response) -> None:
        """See `SessionOwner`."""
        content = response.content
        if isinstance(content, Failure):
            self._fail(failure_error(content.condition))
        elif content is Signal.CANCEL:
            self._fail(BadResponse("backend cancelled the exchange"))
        elif self._session.address is None and not self._is_request_sent:
            self._break_off(BadResponse("backend does not say where the rest of the request should go"))
        elif isinstance(content, Data):
            try:
                self._receive(response, content)
            except BadResponse as exc:
                self._break_off(exc)
        self._tell()

    def on_broken(self, error: BackendError) -> None:
        """See `SessionOwner`."""
        self._fail(error)
        self._tell()

    def _receive(self, response: Response, data: Data) -> None:
        if self._is_finished:
            return
        if not self._has_head:
            self._receive_head(response, data)
        body = data.body
        if self._remaining is not None:
            # never more than announced (ws spec §5.3)
            body = body[: self._remaining]
            self._remaining -= len(body)
        if self._is_bodyless or not body:
            self._session.grant(len(data.body))
        else:
            self._chunks.append(body)
            self._pending_bytes += len(data.body)
            if self._pending_bytes > MAX_PENDING_BYTES:
                raise BadResponse(f"backend sent {MAX_PENDING_BYTES} bytes more than it was granted")
        if not data.has_more:
            if self._remaining:
                raise BadResponse("backend sent less than its Content-Length")
            self._is_finished = True
            self._end_if_done()
        elif self._is_bodyless:
            self._is_finished = True

    def _receive_head(self, response: Response, data: Data) -> None:
        head = response.head
        self.code = final_code(head)
        self.reason = head.reason
        self.headers = head.headers
        self.content_length = stated_length(head.headers)
        self._is_bodyless |= self.code in (204, 304)
        if not self._is_bodyless and data.has_more:
            self._remaining = self.content_length
        self._has_head = True

    def _end_if_done(self) -> None:
        if self._is_finished and self._is_request_sent and not self._session.is_over:
            self._session.end()

    def _break_off(self, error: BackendError) -> None:
        log.info("%s: %s", self._session.describe(), error)
        self._session.cancel()
        self._fail(error)

    def _fail(self, error: BackendError) -> None:
        """Remember the first error for whoever reads; what arrived before it can still be read."""
        if self._error is None and not self._is_finished:
            self._error = error

    def _tell(self) -> None:
        for future in (self._news, self._room):
            if future is not None and not future.done():
                future.set_result(None)
