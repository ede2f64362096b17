"""Asking a web server whether it accepts a WebSocket: that goes on when the client leaves (ws spec §1.3, §1.4).

The backend may be accepting already, and is told then that nobody is there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.errors import BackendError, WireError
from holdfast.net.runtime import run_at_once
from holdfast.proxy.acceptance import Acceptance
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.event_answers import fits_turn
from holdfast.proxy.event_requests import EventRequests
from holdfast.proxy.reply import WholeReply
from holdfast.proxy.socket_recipe import SocketRecipe
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.websocket_over_http import EventsBackend
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.proxy.whole_request import WholeRequest
from holdfast.push.dialects import Dialect
from holdfast.push.socket_hold import SocketHold
from holdfast.routing.rules import Target


class OpenRequest:
    """The OPEN request of a session. `answer` does everything; `begin` is a short cut for the usual case.

    Args:
        dialect: what the client speaks.

    Attributes:
        backend: who is asked.
    """

    __slots__ = (
        "_asked",
        "_dialect",
        "_error",
        "_is_answered",
        "_is_begun",
        "_proxy",
        "_recipe",
        "_reply",
        "_request",
        "_result",
        "_target",
        "backend",
    )

    def __init__(self, proxy: ProxyContext, request: SocketRequest, target: Target, dialect: Dialect) -> None:
        self.backend = EventsBackend(proxy, EventRequests.of(proxy, request, target), one_event=target.one_event)
        self._proxy = proxy
        self._request = request
        self._target = target
        self._dialect = dialect
        self._asked: WholeRequest = self.backend.ask()
        self._reply: WholeReply | None = None
        self._result: Acceptance | Rejection | None = None
        self._error: Exception | None = None
        self._recipe: SocketRecipe | None = None
        self._is_begun = False
        self._is_answered = False

    # --- the usual request, by callbacks ---------------------------------------------------------------------------

    def begin(self, on_news: Callable[[], object]) -> bool:
        """Ask now, where nothing has to be waited for; returns whether that was so.

        When `on_news` is called, `take_answer` may take the answer. In any case `answer` or `leave` must follow.
        """
        self._is_begun = self._asked.begin(on_news)
        return self._is_begun

    def take_answer(self) -> bool:
        """Whether what has come after `begin` is an answer that decides: `answer` has nothing to wait for then."""
        self._reply = reply = self._asked.whole_reply()
        if reply is None or not fits_turn(reply.body):
            return False
        if not self._accept_like_before(reply):
            run_at_once(self._run())
        return self._result is not None or self._error is not None

    def wait_on(self, on_news: Callable[[], object]) -> bool:
        """Whether the rest of the answer is just coming, so that `on_news` is called again. See `take_answer`."""
        return self._reply is None and self._asked.wait_on(on_news)

    def _accept_like_before(self, reply: WholeReply) -> bool:
        """Take the answer for what an equal one was; whether that is known."""
        request = self._request
        last, rule, has_grip = self._proxy.last_opening, request.rule, request.has_grip
        if last is None or not last.is_for(reply, rule, self._target, self._dialect, has_grip=has_grip):
            self._proxy.last_opening = SocketRecipe.first(reply, rule, self._target, self._dialect, has_grip=has_grip)
            return False
        self._recipe = last
        known = last.follow()
        if known is None:
            return False
        self._result, agreement = known
        self.backend.agree(agreement)
        self._is_answered = True
        return True

    def remember(self, hold: SocketHold) -> None:
        """The answer was acted on, and `hold` came of it: if it was the second of its kind, others will come."""
        recipe, result = self._recipe, self._result
        if recipe is not None and isinstance(result, Acceptance) and result.plan is None and recipe.is_simple:
            self._proxy.last_opening = recipe.learn(result, self.backend.agreement, hold)

    def leave(self) -> None:
        """The client has left, and nobody has asked for the `answer`."""
        if self._is_answered:
            self._error = None
            self.backend.break_off()
        elif self._is_begun and self._proxy.farewells.begin(self):
            self._proxy.runtime.spawn(self._run(), "WebSocket open").add_done_callback(self._part)
        else:
            self._asked.abandon()

    # --- every request ---------------------------------------------------------------------------------------------

    async def answer(self) -> Acceptance | Rejection:
        """Ask, or go on with what has been done of it; a backend that cannot decide is asked again when it wants.

        Raises:
            ErrorAnswer: there is no proper answer; caused by a ConnectError if the backend could not be connected to.
        """
        while True:
            if not self._is_answered:
                await self._wait()
            error, self._error = self._error, None
            try:
                if isinstance(error, ErrorAnswer):
                    raise error
                if error is not None:
                    raise origin_error(str(error)) from error
            finally:
                del error  # its traceback has this frame: all would wait for a collection of garbage
            if self._result is not None:
                return self._result
            await asyncio.sleep(self.backend.interval_s)
            self._asked = self.backend.ask()
            self._reply = self._recipe = None  # what comes of the next answer is not due to this one
            self._is_answered = False

    async def _wait(self) -> None:
        """Ask in a task that does not end when this one is cancelled."""
        task = self._proxy.runtime.spawn(self._run(), "WebSocket open")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._proxy.farewells.begin(self):
                task.add_done_callback(self._part)
            else:
                task.cancel()
            raise

    async def _run(self) -> None:
        """Ask, unless the answer is here, and see what it says."""
        try:
            if self._reply is not None:
                self._result = await self.backend.judge(self._reply)
            else:
                async with self._asked as reply:
                    self._result = await self.backend.judge(reply)
        except (ErrorAnswer, BackendError, WireError) as exc:
            self._error = exc
        self._is_answered = True

    def _part(self, task: asyncio.Task[None]) -> None:
        """What has become of a request whose client has left: a backend that has accepted is told."""
        self._proxy.farewells.end(self)
        self._asked.abandon()  # a task that was cancelled before its first step has not
        self._error = None
        self.backend.break_off()
