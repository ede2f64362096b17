"""One client's view of an answer that several share (routes spec §3.14)."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol

from holdfast.proxy.attempts import Attempts
from holdfast.proxy.reply import Reply
from holdfast.routing.rules import Target
from holdfast.wire.headers import Headers


class Source(Protocol):
    """The request that a shared answer comes from."""

    def taken(self, member: SharedReply) -> None:
        """`member` has taken all that came."""
        ...

    def leave(self, member: SharedReply) -> None:
        """`member` wants no more."""
        ...


class SharedReply:
    """What one client gets of the answer. A `Reply` when `read_head` has returned True.

    Attributes:
        attempts: the client's own, which have not asked anybody unless it came first.
        is_first: whether it came first. The bytes that a backend sends once count once, with the first client.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_has_head",
        "_is_over",
        "_is_withheld",
        "_news",
        "_source",
        "_traceback",
        "attempts",
        "body_bytes",
        "code",
        "content_length",
        "head_bytes",
        "headers",
        "is_first",
        "reason",
    )

    def __init__(self, source: Source, attempts: Attempts, *, is_first: bool) -> None:
        self.attempts = attempts
        self.is_first = is_first
        self.code = 0
        self.reason = b""
        self.headers: Headers = []
        self.content_length: int | None = None
        self.head_bytes = 0
        self.body_bytes = 0
        self._has_head = False
        self._source = source
        self._is_over = False
        self._is_withheld = False
        self._chunks: list[bytes] = []
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None
        self._news: asyncio.Future[None] | None = None

    # --- for the exchange ------------------------------------------------------------------------------------------

    async def read_head(self) -> bool:
        """Wait until the answer begins; False if it is for somebody else. Raises what `Attempts.run` raised."""
        while not self._has_head:
            if self._is_withheld:
                return False
            self._check()
            await self._wait_for_news()
        return True

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        return self._is_over and self._error is None

    async def read(self) -> bytes:
        """The next body bytes, empty at the end. Raises BackendError."""
        while not self._chunks:
            self._check()
            if self._is_over:
                return b""
            await self._wait_for_news()
        return self.take()

    def take(self) -> bytes:
        """The body bytes that are here."""
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if self.is_first:
            self.body_bytes += len(content)
        self._source.taken(self)
        return content

    def close(self, *, is_request_sent: bool) -> None:
        """The exchange is over; the request goes on if others wait for it."""
        self._source.leave(self)

    def _check(self) -> None:
        """Raise the error that ended the answer. Others raise it too: it must not collect the frames of them all."""
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)

    async def _wait_for_news(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    # --- from the request ------------------------------------------------------------------------------------------

    def begin(self, reply: Reply, target: Target | None) -> None:
        """The head is here. Its fields are copied: what one exchange makes of them is not the others' business."""
        self.attempts.target = target
        self.code = reply.code
        self.reason = reply.reason
        self.headers = list(reply.headers)
        self.content_length = reply.content_length
        self.head_bytes = reply.head_bytes if self.is_first else 0
        self._has_head = True
        self._tell()

    def receive(self, pieces: list[bytes]) -> None:
        """More of the body is here."""
        self._chunks += pieces
        self._tell()

    def withhold(self) -> None:
        """The answer is for somebody else."""
        self._is_withheld = True
        self._tell()

    def end(self, error: Exception | None) -> None:
        """Nothing follows, because all is here or because of `error`."""
        self._is_over = True
        self._error = error
        self._traceback = error.__traceback__ if error is not None else None
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
