"""The proxy as the service of the client ports."""

from __future__ import annotations

import asyncio

from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.net.runtime import Work
from holdfast.proxy.answers import TEXT_PLAIN
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.http_exchange import HttpExchange
from holdfast.proxy.sharing import Sharing
from holdfast.proxy.sockjs_exchange import find_sockjs
from holdfast.proxy.websocket_exchange import WebSocketExchange
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.reasons import reason_phrase


class ProxyService:
    """Gives each request its exchange.

    Args:
        max_open: exchanges in progress at once, held clients not included; later ones wait. None means no limit.
        sharing: lets equal requests share one to the backend; None if each is made for itself.
    """

    def __init__(
        self,
        context: ProxyContext,
        limits: HeadLimits,
        max_open: int | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.limits = limits
        self._context = context
        self._gate = asyncio.Semaphore(max_open) if max_open is not None else None
        self._sharing = sharing
        self._starts_at_once = max_open is None and sharing is None

    def serve(self, exchange: ClientExchange) -> Work | None:
        """See `Service`."""
        if exchange.head.upgrade == b"websocket":
            socket_exchange = WebSocketExchange(self._context, exchange)
            if self._gate is None:
                socket_exchange.start()
                return None
            coroutine = socket_exchange.run()
        elif self._context.routes.sockjs_prefixes and (sockjs := find_sockjs(self._context, exchange)) is not None:
            coroutine = sockjs.run()  # before everything else (routes spec §3.1)
        else:
            http_exchange = HttpExchange(self._context, exchange, sharing=self._sharing)
            if self._starts_at_once:
                return http_exchange.start()
            coroutine = http_exchange.run()
        return coroutine if self._gate is None else self._wait_for_turn(self._gate, coroutine)

    async def _wait_for_turn(self, gate: asyncio.Semaphore, coroutine: Work) -> None:
        try:
            await gate.acquire()
        except asyncio.CancelledError:
            coroutine.close()
            raise
        try:
            await coroutine
        finally:
            gate.release()

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """routes spec §3.2: text/plain, the text and a newline."""
        return error.status, reason_phrase(error.status), TEXT_PLAIN, f"{error.text}\n".encode()
