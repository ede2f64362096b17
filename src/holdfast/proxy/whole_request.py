"""A request of which everything is known from the start, as those are that the proxy makes itself, and its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.reply import Reply
from holdfast.routing.forward import OriginRequest
from holdfast.routing.rules import Rule


@asynccontextmanager
async def answer_to(proxy: ProxyContext, rule: Rule, request: OriginRequest, body: bytes) -> AsyncIterator[Reply]:
    """The answer of one of the rule's targets, while the context lasts.

    Raises:
        ErrorAnswer: no target could be connected to, or the one that was did not answer properly; caused by a
            BackendError.
    """
    attempts = Attempts(proxy, _WholeBody(), request, body)
    reply = await attempts.run(rule)
    try:
        yield reply
    finally:
        attempts.stop()
        reply.close(is_request_sent=True)


class _WholeBody:
    """See `attempts.RequestBody`: nothing follows what is there."""

    content_length: int | None = None
    is_body_complete = True

    async def read_chunk(self) -> bytes:
        """Nothing."""
        return b""
