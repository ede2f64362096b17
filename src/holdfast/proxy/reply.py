"""A backend's answer, wherever it comes from: head at hand, body as it arrives."""

from __future__ import annotations

from typing import Protocol

from holdfast.net.backend import BackendConnection
from holdfast.net.pool import BackendPool
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import ResponseHead


class Reply(Protocol):
    """What the exchange needs of an answer."""

    code: int
    reason: bytes
    headers: Headers
    content_length: int | None
    head_bytes: int
    body_bytes: int
    """Of its head, and of its content so far."""

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        ...

    async def read(self) -> bytes:
        """The next body bytes, empty at the end. Raises BackendError."""
        ...

    def take(self) -> bytes:
        """The body bytes that are here."""
        ...

    def close(self, *, is_request_sent: bool) -> None:
        """The exchange is over; `is_request_sent` tells whether the backend got the whole request body."""
        ...


class BackendReply:
    """An answer on a backend connection, which goes back to the pool when the exchange is over."""

    __slots__ = ("_connection", "_pool", "body_bytes", "code", "content_length", "head_bytes", "headers", "reason")

    def __init__(self, connection: BackendConnection, pool: BackendPool, head: ResponseHead) -> None:
        self.code = head.code
        self.reason = head.reason
        self.headers = head.headers
        self.content_length = head.content_length
        self.head_bytes = connection.head_bytes
        self.body_bytes = 0
        self._connection = connection
        self._pool = pool

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        return self._connection.is_response_complete

    async def read(self) -> bytes:
        """The next body bytes, empty at the end. Raises BackendError."""
        content = await self._connection.read()
        self.body_bytes += len(content)
        return content

    def take(self) -> bytes:
        """The body bytes that are here."""
        content = self._connection.take()
        self.body_bytes += len(content)
        return content

    def close(self, *, is_request_sent: bool) -> None:
        """Give the connection back, or close it when the backend still waits for the rest of the request."""
        if is_request_sent:
            self._pool.release(self._connection)
        else:
            self._connection.abort()


class WholeReply:
    """An answer that needs no connection any more, or never had one: the built-in test target's.

    Args:
        content_length: what was stated, which is not the length of the body in an answer to HEAD.

    Attributes:
        body: what has not been taken.
    """

    __slots__ = ("body", "body_bytes", "code", "content_length", "head_bytes", "headers", "reason")

    def __init__(
        self,
        code: int,
        reason: bytes,
        headers: Headers,
        body: bytes,
        content_length: int | None,
        head_bytes: int = 0,
    ) -> None:
        self.code = code
        self.reason = reason
        self.headers = headers
        self.content_length = content_length
        self.head_bytes = head_bytes
        self.body_bytes = len(body)
        self.body = body

    @property
    def is_complete(self) -> bool:
        """Always."""
        return True

    async def read(self) -> bytes:
        """The body, then empty."""
        return self.take()

    def take(self) -> bytes:
        """The body, then empty."""
        body, self.body = self.body, b""
        return body

    def close(self, *, is_request_sent: bool) -> None:
        """Nothing is held."""


async def read_limited(reply: Reply, limit: int) -> bytes:
    """The body of an answer, or a beginning of it that is longer than `limit` bytes. Raises BackendError."""
    if reply.is_complete:
        return reply.take()
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await reply.read()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
