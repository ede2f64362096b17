"""One request with its response, as the code that answers it sees it.

A `ClientExchange` is the narrow door between a client connection and whoever serves its requests: the request head, the
body as it arrives, and the response with its framing (RFC 9112 §6, routes spec §3.10). It never looks at meaning.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from holdfast.errors import WireError
from holdfast.net.outlets import ConnectionOutlet, Outlet, OutletOwner
from holdfast.net.runtime import Cancellable, Work
from holdfast.wire.cross_origin import Pieces, Transform
from holdfast.wire.headers import Headers
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody
from holdfast.wire.http1.encode import CONTINUE, LAST_CHUNK, encode_chunk, encode_response_head
from holdfast.wire.http1.head import HeadLimits, RequestHead

if TYPE_CHECKING:
    from holdfast.net.client import ClientConnection
    from holdfast.net.duplex import Duplex, DuplexOwner

BODY_BUFFER_BYTES = 65536
"""Request body bytes kept before the client is no longer read from."""


class Service(Protocol):
    """Who answers the requests of a listener: the proxy, or a control door."""

    limits: HeadLimits

    def serve(self, exchange: ClientExchange) -> Work | None:
        """Return the coroutine that will answer, or None: it is answered already, or will be by callbacks."""
        ...

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """Code, reason, headers and body for a request that could not be parsed."""
        ...


def encode_refusal(service: Service, error: WireError) -> bytes:
    """The response to a request that could not be parsed, after which the connection closes."""
    code, reason, headers, body = service.describe_refusal(error)
    return encode_response_head(code, reason, headers, is_persistent=False, content_length=len(body)) + body


class ClientGone(Exception):
    """The client left while its request body was being read."""


class ClientExchange:
    """A request being answered.

    Attributes:
        head: the request head.
        head_bytes, body_bytes: of the request, as received so far.
        head_bytes_sent, body_bytes_sent: of the response so far; content without its framing.
        has_started: whether the response head was written.
        content_length: length of the request body, if it was declared.
        transform: what is made of whatever is answered; None leaves it as it is.
    """

    __slots__ = (
        "_awaits_continue",
        "_chunks",
        "_connection",
        "_decoder",
        "_is_body_wanted",
        "_is_chunked",
        "_is_persistent",
        "_pending_bytes",
        "_pieces",
        "_waiter",
        "body_bytes",
        "body_bytes_sent",
        "content_length",
        "has_started",
        "head",
        "head_bytes",
        "head_bytes_sent",
        "transform",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead, body: bytes | None = None) -> None:
        """
        Args:
            body: the whole body, for a request that is answered a second time.
        """
        self.head = head
        self.head_bytes = 0
        self.body_bytes = 0
        self.head_bytes_sent = 0
        self.body_bytes_sent = 0
        self.has_started = False
        # Of a body that is here it is its own, whatever the head says that once came with it.
        self.content_length = len(body) if body else head.content_length
        self.transform: Transform | None = None
        self._connection = connection
        self._decoder: BodyDecoder | None = None
        if body is None and (head.is_chunked or head.content_length):
            self._decoder = SizedBody(head.content_length) if head.content_length else ChunkedBody()
        self._awaits_continue = head.expects_continue and self._decoder is not None
        self._chunks: list[bytes] = [body] if body else []
        self._pending_bytes = len(body) if body else 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_persistent = head.is_persistent
        self._is_body_wanted = True
        self._is_chunked = False
        self._pieces: Pieces | None = None

    # --- the client, and the request body -------------------------------------------------------------------------

    @property
    def client_address(self) -> str:
        """IP address of the peer, or empty text on a Unix socket."""
        return self._connection.peer_address

    @property
    def is_tls(self) -> bool:
        """Whether the client connection itself is TLS."""
        return self._connection.is_tls

    @property
    def is_body_complete(self) -> bool:
        """Whether the whole request body has arrived (it may still be unread)."""
        return self._decoder is None or self._decoder.is_complete

    @property
    def is_awaiting_body(self) -> bool:
        """Whether somebody waits for more of the request body."""
        return self._waiter is not None

    def receive(self, data: bytes) -> bytes:
        """Take body bytes from the connection; returns what follows the body. Raises WireError."""
        if self._decoder is None or self._decoder.is_complete:
            return data
        content = self._decoder.feed(data)
        if content:
            self.body_bytes += len(content)
            self._awaits_continue = False
        if content and self._is_body_wanted:
            self._chunks.append(content)
            self._pending_bytes += len(content)
            if self._pending_bytes > BODY_BUFFER_BYTES and not self._decoder.is_complete:
                self._connection.pause_reading()
        self._wake()
        return self._decoder.rest if self._decoder.is_complete else b""

    async def read_prefix(self, size: int) -> bytes:
        """The first `size` bytes of the body or more, or all of a shorter one; asks the client to go on if it waits."""
        while self._pending_bytes < size and not self.is_body_complete:
            await self._more_body()
        return self.take()

    async def read_chunk(self) -> bytes:
        """The next piece of the body, empty at its end."""
        while not self._chunks and not self.is_body_complete:
            await self._more_body()
        return self.take()

    def take(self) -> bytes:
        """The body bytes that are here already."""
        content = b""
        if self._chunks:
            content = b"".join(self._chunks)
            self._chunks.clear()
            self._pending_bytes = 0
        if self._decoder is not None and not self._decoder.is_complete:
            self._connection.resume_reading()
        return content

    def replace_body(self, body: bytes) -> None:
        """Have `body` for the request body, which the client states elsewhere: it must not send one."""
        assert self._decoder is None
        self._chunks = [body]
        self._pending_bytes = self.content_length = len(body)

    async def _more_body(self) -> None:
        if self._connection.is_lost:
            raise ClientGone
        if self._awaits_continue:
            self._awaits_continue = False
            self._connection.write(CONTINUE)
        self._connection.resume_reading()  # it was paused if more was asked for than is kept unasked
        self._connection.expect_body(self)
        self._waiter = self._connection.edge.runtime.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._connection.expect_nothing(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- who answers -----------------------------------------------------------------------------------------------

    def entrust(self, work: Cancellable) -> None:
        """Leave the answer to `work`, which is cancelled when the client leaves."""
        self._connection.work = work

    # --- the response ----------------------------------------------------------------------------------------------

    @property
    def is_head_request(self) -> bool:
        """Whether the response must not have a body because the method is HEAD."""
        return self.head.method == b"HEAD"

    @property
    def is_persistent(self) -> bool:
        """Whether the connection can carry another request after this response."""
        is_whole = self._decoder is None or self._decoder.is_complete
        return self._is_persistent and is_whole and not self._connection.edge.is_draining

    @property
    def is_plain(self) -> bool:
        """Whether a response is for HTTP/1.1, with whatever body it comes with, on a connection that goes on."""
        request = self.head
        return request.is_http11 and self.transform is None and request.method != b"HEAD" and self.is_persistent

    def make_last(self) -> None:
        """Close the connection after this response."""
        self._is_persistent = False

    def respond(
        self,
        code: int,
        reason: bytes,
        headers: Headers,
        body: bytes,
        *,
        length: int | None = None,
        is_head_only: bool = False,
    ) -> None:
        """Write a whole response in one go and end the exchange.

        Args:
            length: Content-Length when it is not the length of `body`: what a backend stated in answer to HEAD. Where
                there is a `transform`, what the response came with.
            is_head_only: leave Content-Length out, because the length of a body that is not sent is not known.
        """
        request = self.head
        if self.transform is not None:
            code, reason, headers, body = self.transform.whole(code, reason, headers, body, length)
            if request.method != b"HEAD":
                length, is_head_only = None, False
        self._is_persistent = is_persistent = self.is_persistent
        is_bodyless = code < 200 or code == 204 or code == 304
        head = encode_response_head(
            code,
            reason,
            headers,
            is_http11=request.is_http11,
            is_persistent=is_persistent,
            content_length=None if is_bodyless or is_head_only else len(body) if length is None else length,
        )
        if is_bodyless or request.method == b"HEAD":
            body = b""
        self.respond_encoded(head, body, is_persistent=is_persistent)

    def respond_encoded(self, head: bytes, body: bytes, *, is_persistent: bool = True) -> None:
        """Write a whole response with a head that says what `respond` would, and end the exchange."""
        self.has_started = True
        self.head_bytes_sent = len(head)
        self.body_bytes_sent += len(body)
        self._connection.write(head + body)
        self._connection.end_exchange(is_persistent=is_persistent)

    def start_response(self, code: int, reason: bytes, headers: Headers, content_length: int | None) -> None:
        """Write the head of a response whose body follows; without a length it is chunked or ends by closing."""
        if self.transform is not None:
            begun = self.transform.begin(code, reason, headers, content_length)
            code, reason, headers, content_length, self._pieces = begun
        self._is_chunked = content_length is None and self.head.is_http11
        self._is_persistent = self.is_persistent and (self._is_chunked or content_length is not None)
        self.has_started = True
        head = encode_response_head(
            code,
            reason,
            headers,
            is_http11=self.head.is_http11,
            is_persistent=self._is_persistent,
            content_length=content_length,
            is_chunked=self._is_chunked,
        )
        self.head_bytes_sent = len(head)
        self._connection.write(head)
        if self._pieces is not None:
            self._write(self._pieces.prefix)

    def write(self, content: bytes) -> None:
        """Write body bytes; wait for `drain` before the next piece."""
        self._write(content if self._pieces is None else self._pieces.piece(content))

    def _write(self, content: bytes) -> None:
        if content and not self.is_head_request:
            self.body_bytes_sent += len(content)
            self._connection.write(encode_chunk(content) if self._is_chunked else content)

    async def drain(self) -> None:
        """Wait until the client has taken enough for more to be written."""
        await self._connection.drain()

    def end_response(self) -> None:
        """End a response that `start_response` began."""
        if self._pieces is not None:
            self._write(self._pieces.end())
        if self._is_chunked and not self.is_head_request:
            self._connection.write(LAST_CHUNK)
        self._connection.end_exchange(is_persistent=self._is_persistent)

    @property
    def can_hold_at_once(self) -> bool:
        """Whether `hold` and `upgrade` would not wait, because nothing of earlier responses is unsent."""
        return not self._connection.unsent_bytes

    async def hold(self, owner: OutletOwner, first: bytes) -> Outlet | None:
        """Hand the client over to a hold, after sending `first`; the exchange is over for its coroutine.

        Returns:
            Where the hold writes to: a parked descriptor, or the connection where it cannot be parked. None when the
            client has left. Between the return and whatever the caller does next, nothing else can happen.
        """
        await self._connection.flushed()
        if self._connection.is_lost:
            return None
        self.has_started = True
        parking = self._connection.parking
        if parking is not None:
            return parking.park(self._connection, owner, first)
        # What is left of the body: the client has to be read from, to see it leave, but nobody wants that any more.
        self._is_body_wanted = False
        self._chunks.clear()
        outlet = ConnectionOutlet(self._connection, owner, self._connection.edge.outbox_limits)
        self._connection.keep_as_outlet(outlet)
        outlet.write_first(first)
        return outlet

    async def upgrade(self, head: bytes, owner: DuplexOwner, first: bytes = b"") -> Duplex | None:
        """Switch protocols with `head`, and send `first` with it; the exchange is over for its coroutine.

        Returns:
            The connection as a duplex, which is not read from yet; None when the client has left, and the owner is not
            told.
        """
        await self._connection.flushed()
        if self._connection.is_lost:
            return None
        self.head_bytes_sent = len(head)
        self.has_started = True
        duplex = self._connection.to_duplex(owner)
        return duplex if duplex.write_first(head + first) else None

    def abort(self) -> None:
        """Close without ending the response, so that the client can tell that it is truncated (RFC 9112 §8)."""
        self._connection.abort_exchange()
