"""A request of which everything is known from the start, as those are that the proxy makes itself, and its answer."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.reply import Reply, WholeReply
from holdfast.routing.forward import OriginRequest
from holdfast.routing.rules import Rule


class WholeRequest:
    """One such request, made when its context is entered: that is the answer of one of the rule's targets.

    Entering raises:
        ErrorAnswer: no target could be connected to, or the one that was did not answer properly; caused by a
            BackendError.
    """

    __slots__ = ("_attempts", "_reply", "_rule")

    def __init__(self, proxy: ProxyContext, rule: Rule, request: OriginRequest, body: bytes) -> None:
        self._rule = rule
        self._attempts = Attempts(proxy, _WHOLE_BODY, request, body)
        self._reply: Reply

    def begin(self, on_news: Callable[[], object]) -> bool:
        """Make it now, where nothing has to be waited for; returns whether that was so.

        When `on_news` is called, `whole_reply` may have the answer; if not, the context is still to be entered.
        """
        return self._attempts.begin(self._rule, on_news)

    def whole_reply(self) -> WholeReply | None:
        """See `Attempts.whole_reply`."""
        return self._attempts.whole_reply()

    def wait_on(self, on_news: Callable[[], object]) -> bool:
        """Whether there is no whole reply yet, but its head, and the rest is coming: `on_news` is called again then."""
        if self._attempts.coming_head is None:
            return False
        self._attempts.wait_on(on_news)
        return True

    def abandon(self) -> None:
        """Break off what `begin` began, if its context has not been entered."""
        self._attempts.abandon()

    async def __aenter__(self) -> Reply:
        self._reply = reply = await self._attempts.run(self._rule)
        return reply

    async def __aexit__(self, *failure: object) -> None:
        self._attempts.stop()
        self._reply.close(is_request_sent=True)


class _WholeBody:
    """See `attempts.RequestBody`: nothing follows what is there."""

    content_length: int | None = None
    is_body_complete = True

    async def read_chunk(self) -> bytes:
        """Nothing."""
        return b""


_WHOLE_BODY = _WholeBody()
