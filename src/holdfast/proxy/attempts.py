"""Getting an answer: the targets of a route in order, a stale connection once more, the request body sent along.

Targets that are reached over ZeroMQ are asked by `holdfast.proxy.zhttp_asking`.

routes spec §1.9 says when the next target is tried: only while no response bytes have come, and only because of the
connection. Here a request also moves on when a name does not resolve or a network cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from holdfast.errors import BackendError, BackendTimeout, BadResponse, ConnectError, WireError
from holdfast.logs import limited
from holdfast.net.backend import BackendConnection
from holdfast.net.endpoint import Endpoint
from holdfast.net.exchange import ClientGone
from holdfast.net.runtime import Work
from holdfast.proxy.answers import backend_error_answer, origin_error
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.reply import BackendReply, Reply, WholeReply
from holdfast.proxy.test_target import answer_test_request
from holdfast.proxy.zhttp_asking import ask_in_one_packet, ask_in_packets
from holdfast.routing.forward import OriginRequest, connect_address, encode_origin_head, origin_authority
from holdfast.routing.rules import Rule, Target, TargetKind
from holdfast.routing.sharing import SHAREABLE_METHODS
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk
from holdfast.wire.http1.head import ResponseHead

log = logging.getLogger("holdfast.proxy")

PREFIX_BYTES = 10_000
"""Body bytes that must have arrived, or the whole body, before a backend is contacted (routes spec §3.8)."""

KEPT_BODY_BYTES = 100_000
"""A request with a longer body is never held (grip spec §1.4), so it is never made again."""

_BODYLESS_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_IDEMPOTENT_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 §9.2.2: may be sent again when it is unknown whether the backend saw them."""


class RequestBody(Protocol):
    """Where the body of a request comes from: a client, or ourselves."""

    @property
    def content_length(self) -> int | None:
        """Its length, if that was declared."""
        ...

    @property
    def is_body_complete(self) -> bool:
        """Whether all of it is here."""
        ...

    async def read_chunk(self) -> bytes:
        """The next piece, empty at the end. Raises ClientGone."""
        ...


class Attempts:
    """One request on its way to one of a rule's targets.

    Attributes:
        target: the target chosen last.
        body: the request body as far as it has been read, and as far as it may be needed again.
        is_body_sent: whether the backend got the whole request body.
        request: what backends are sent.
        prefix: what is sent of its body at once; all of it, if it `is_whole`.
        shared: the number of the request that several clients share, None while this one is alone.
        head_bytes_sent, body_bytes_sent: what went to backends; content without its framing.
    """

    __slots__ = (
        "_begun",
        "_has_streamed",
        "_proxy",
        "_pump",
        "_route_key",
        "_sent_at_s",
        "_source",
        "body",
        "body_bytes_sent",
        "head_bytes_sent",
        "is_body_sent",
        "is_whole",
        "prefix",
        "request",
        "shared",
        "target",
    )

    def __init__(self, proxy: ProxyContext, source: RequestBody, request: OriginRequest, prefix: bytes) -> None:
        self.target: Target | None = None
        self.body = prefix
        self.head_bytes_sent = 0
        self.body_bytes_sent = 0
        # Asked now: what arrives later is not in the prefix, and has to be sent after it.
        self.is_body_sent = self.is_whole = source.is_body_complete
        self._proxy = proxy
        self._source = source
        self.request = request
        self.shared: int | None = None
        self.prefix = prefix
        self._pump: asyncio.Task[None] | None = None
        # Body bytes beyond the prefix are consumed, so that the request cannot be sent again.
        self._has_streamed = False
        self._begun: BackendConnection | None = None
        self._route_key = ""
        self._sent_at_s = 0.0

    def begin(self, rule: Rule, on_news: Callable[[], object]) -> bool:
        """Send the request at once, where nothing has to be waited for; returns whether that was so.

        That is, the body is here and a connection to the first target is idle. When `on_news` is called, `whole_reply`
        may have the answer; if not, `run` goes on.
        """
        target = rule.targets[0]
        if not self.is_whole or target.kind is not TargetKind.HOST:
            return False
        self.target = target
        self._route_key = rule.key
        is_repeatable = self.request.method in _IDEMPOTENT_METHODS
        connection = self._proxy.pool.take_idle(endpoint_of(self.request, target), is_repeatable=is_repeatable)
        if connection is None:
            return False
        try:
            self._send(connection, target)
        except WireError:
            connection.abort()
            raise
        connection.on_news = on_news
        self._begun = connection
        return True

    def whole_reply(self) -> WholeReply | None:
        """The answer to what `begin` sent, if all of it is here; then the connection is free for others."""
        connection = self._begun
        assert connection is not None
        head = connection.whole_head
        if head is None:
            return None
        self.note_answer()
        content = connection.take()
        reply = WholeReply(head.code, head.reason, head.headers, content, head.content_length, connection.head_bytes)
        self._begun = None
        self._proxy.pool.release(connection)
        return reply

    @property
    def coming_head(self) -> ResponseHead | None:
        """The head of the answer to what `begin` sent, if its body is just coming."""
        assert self._begun is not None
        return self._begun.coming_head

    def wait_on(self, on_news: Callable[[], object]) -> None:
        """Have `on_news` called again when there is more of the answer to what `begin` sent."""
        assert self._begun is not None
        self._begun.on_news = on_news

    def abandon(self) -> None:
        """Break off what `begin` began, if it is not done."""
        if self._begun is not None:
            self._begun.on_news = None
            self._begun.abort()

    async def run(self, rule: Rule) -> Reply:
        """The answer of the first target that can be connected to.

        Raises:
            ErrorAnswer: no target could be connected to, or the one that was did not answer properly.
        """
        cause: BackendError | None = None
        self._route_key = rule.key
        for number, target in enumerate(rule.targets):
            self.target = target
            if number:
                self._proxy.counters.backend_failovers += 1
            try:
                return await self._ask(rule, target)
            except (ConnectError, BackendTimeout) as exc:
                limited(log, rule.log_level).info("target %s: %s", target.text, exc)
                cause = exc
                if self._has_streamed:
                    break
            except BackendError as exc:
                limited(log, rule.log_level).info("target %s: %s", target.text, exc)
                self._proxy.counters.backend_failures += 1
                raise backend_error_answer(exc) from exc
        self._proxy.counters.backend_failures += 1
        tried = ", ".join(target.text for target in rule.targets)
        try:
            raise origin_error(f"Unable to connect to any targets. Tried: {tried}") from cause
        finally:
            del cause  # it refers to this frame, and both would wait for a collection of garbage

    @property
    def is_shareable(self) -> bool:
        """Whether the request only asks, so that others who ask the same can do with its answer."""
        return (
            self.is_whole
            and self.request.method in SHAREABLE_METHODS
            and self.content_length is None
            and not self.prefix
        )

    async def whole_body(self) -> bytes:
        """All of the body, or of a longer one a beginning that is too long to be kept, when it has been sent."""
        if self._pump is not None:
            await self._pump
        return self.body

    def stop(self) -> None:
        """Stop sending the request body."""
        pump, self._pump = self._pump, None  # once it was cancelled, it refers to us, as we did to it
        if pump is not None:
            pump.cancel()

    # --- for whoever sends -----------------------------------------------------------------------------------------

    @property
    def content_length(self) -> int | None:
        """The Content-Length of the request, None for none."""
        length = self._source.content_length
        if length is None and self.is_whole and (self.prefix or self.request.method not in _BODYLESS_METHODS):
            return len(self.prefix)
        return length

    async def read_more(self) -> bytes:
        """The next piece of the body after the prefix, empty at the end. Raises ClientGone."""
        content = await self._source.read_chunk()
        if len(self.body) <= KEPT_BODY_BYTES:
            self.body += content
        return content

    async def read_all(self, max_bytes: int) -> bool:
        """Have the whole body for the prefix, unless it is longer than this; returns whether that was so."""
        pieces, size = [self.prefix], len(self.prefix)
        is_whole = self.is_whole
        while max(size, self._source.content_length or 0) <= max_bytes and not is_whole:
            content = await self.read_more()
            pieces.append(content)
            size += len(content)
            is_whole = not content
        if not is_whole or size > max_bytes:
            return False
        self.prefix = b"".join(pieces)
        self.is_whole = self.is_body_sent = True
        return True

    def start_pump(self, sending: Work) -> None:
        """Send the rest of the body while the answer is waited for."""
        self._has_streamed = True
        self._pump = self._proxy.runtime.spawn(sending, "request body")

    def note_request(self) -> None:
        """A request goes out: count it, and remember when, if anybody wants to know how long the answer takes."""
        self._proxy.runtime.counters.backend_requests += 1
        if self._proxy.holds.statistics.is_exported:
            self._sent_at_s = self._proxy.runtime.now()

    def note_answer(self) -> None:
        """The head of the answer is here."""
        if self._sent_at_s:
            waited_s = self._proxy.runtime.now() - self._sent_at_s
            self._proxy.holds.statistics.backend_answered(self._route_key, waited_s)

    # --- asking one target -----------------------------------------------------------------------------------------

    async def _ask(self, rule: Rule, target: Target) -> Reply:
        if target.kind is TargetKind.TEST:
            return answer_test_request(self.request.path_and_query, rule.path_beg, len(self.body))
        if target.kind is TargetKind.ZHTTPREQ:
            return await ask_in_one_packet(self, self._proxy.zhttp.requests(target), target)
        if target.kind is TargetKind.ZHTTP:
            return await ask_in_packets(self, self._proxy.zhttp.streams(target), target)
        endpoint = endpoint_of(self.request, target)
        begun, self._begun = self._begun, None
        is_repeatable = self.is_whole and self._is_repeatable
        connection = begun or self._proxy.pool.take_idle(endpoint, is_repeatable=is_repeatable)
        if connection is not None:
            try:
                return await self._exchange(connection, target, is_sent=begun is not None)
            except BadResponse:
                if connection.has_received or not self._is_repeatable:
                    raise
                self._proxy.counters.backend_retries += 1
        return await self._exchange(await self._proxy.pool.connect(endpoint), target)

    @property
    def _is_repeatable(self) -> bool:
        return self.request.method in _IDEMPOTENT_METHODS and not self._has_streamed

    async def _exchange(self, connection: BackendConnection, target: Target, *, is_sent: bool = False) -> Reply:
        """Send the request on `connection`, unless `begin` did, and wait for the head of the response."""
        try:
            if not is_sent:
                self._send(connection, target)
            head = await connection.read_head()
            self.note_answer()
            return BackendReply(connection, self._proxy.pool, head)
        except (BackendError, WireError, asyncio.CancelledError):
            self.stop()
            connection.abort()
            raise

    def _send(self, connection: BackendConnection, target: Target) -> None:
        """Send the request, or what of it is here; the rest of its body follows in a task."""
        is_whole = self.is_whole
        length = self.content_length
        is_chunked = length is None and not is_whole
        head = encode_origin_head(self.request, target, content_length=length, is_chunked=is_chunked)
        body = encode_chunk(self.prefix) if is_chunked and self.prefix else self.prefix
        self.head_bytes_sent += len(head)
        self.body_bytes_sent += len(self.prefix)
        self.note_request()
        connection.send_request(self.request.method, head + body)
        if not is_whole:
            self.start_pump(self._send_body(connection, is_chunked))

    async def _send_body(self, connection: BackendConnection, is_chunked: bool) -> None:
        """Send what follows the prefix, as fast as the backend takes it."""
        try:
            while content := await self.read_more():
                self.body_bytes_sent += len(content)
                await connection.write(encode_chunk(content) if is_chunked else content)
        except ClientGone:
            return
        if is_chunked:
            await connection.write(LAST_CHUNK)
        self.is_body_sent = True


def endpoint_of(request: OriginRequest, target: Target) -> Endpoint:
    """Where `target` is connected to for this request."""
    if target.host and not target.ssl:
        return _plain_endpoint(target.host, target.port, target.untrusted)
    host, port = connect_address(request, target)
    if not target.ssl:
        return Endpoint(host, port, None, True, target.untrusted)
    name = host if target.trust_connect_host else origin_authority(request, target).host.strip("[]")
    return Endpoint(host, port, name, not target.insecure, target.untrusted, target.identity)


@lru_cache(maxsize=1024)
def _plain_endpoint(host: str, port: int, is_public_only: bool) -> Endpoint:
    """The usual kind, made once: every request asks for one, and what is the same object is found faster."""
    return Endpoint(host, port, None, True, is_public_only)
