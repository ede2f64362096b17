"""The proxy as the service of the client ports."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.answers import TEXT_PLAIN
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.http_exchange import HttpExchange
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.reasons import reason_phrase


class ProxyService:
    """Gives each request its exchange."""

    def __init__(self, context: ProxyContext, limits: HeadLimits) -> None:
        self.limits = limits
        self._context = context

    def serve(self, exchange: ClientExchange) -> Coroutine[Any, Any, None]:
        """The coroutine that answers `exchange`."""
        return HttpExchange(self._context, exchange).run()

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """routes spec §3.2: text/plain, the text and a newline."""
        return error.status, reason_phrase(error.status), TEXT_PLAIN, f"{error.text}\n".encode()
