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

    __slots__ = ("_connection", "_pool", "code", "content_length", "headers", "reason")

    def __init__(self, connection: BackendConnection, pool: BackendPool, head: ResponseHead) -> None:
        self.code = head.code
        self.reason = head.reason
        self.headers = head.headers
        self.content_length = head.content_length
        self._connection = connection
        self._pool = pool

    @property
    def is_complete(self) -> bool:
        """Whether the whole body is here."""
        return self._connection.is_response_complete

    async def read(self) -> bytes:
        """The next body bytes, empty at the end. Raises BackendError."""
        return await self._connection.read()

    def take(self) -> bytes:
        """The body bytes that are here."""
        return self._connection.take()

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
    """

    __slots__ = ("_body", "code", "content_length", "headers", "reason")

    def __init__(self, code: int, reason: bytes, headers: Headers, body: bytes, content_length: int | None) -> None:
        self.code = code
        self.reason = reason
        self.headers = headers
        self.content_length = content_length
        self._body = body

    @property
    def is_complete(self) -> bool:
        """Always."""
        return True

    async def read(self) -> bytes:
        """The body, then empty."""
        return self.take()

    def take(self) -> bytes:
        """The body, then empty."""
        body, self._body = self._body, b""
        return body

    def close(self, *, is_request_sent: bool) -> None:
        """Nothing is held."""
