"""The OPEN request of a WebSocket over HTTP: it goes on when the client leaves (ws spec §1.3, §1.4).

The backend may be accepting already, and is told then that nobody is there any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.errors import BackendError, WireError
from holdfast.net.runtime import run_at_once
from holdfast.proxy.acceptance import Acceptance, Agreement
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.event_answers import fits_turn
from holdfast.proxy.reply import WholeReply
from holdfast.proxy.websocket_over_http import EventsBackend
from holdfast.proxy.websocket_rejection import Rejection


class OpenRequest:
    """Asks once whether `backend` accepts. `answer` does everything; `begin` is a short cut for the usual case."""

    __slots__ = ("_backend", "_error", "_is_answered", "_is_begun", "_proxy", "_reply", "_request", "_result")

    def __init__(self, proxy: ProxyContext, backend: EventsBackend) -> None:
        self._proxy = proxy
        self._backend = backend
        self._request = backend.ask()
        self._reply: WholeReply | None = None
        self._result: Acceptance | Rejection | None = None
        self._error: Exception | None = None
        self._is_begun = False
        self._is_answered = False

    @property
    def backend(self) -> EventsBackend:
        """Who is asked."""
        return self._backend

    # --- the usual request, by callbacks ---------------------------------------------------------------------------

    def begin(self, on_news: Callable[[], object]) -> bool:
        """Ask now, where nothing has to be waited for; returns whether that was so.

        When `on_news` is called, `take_reply` may have the answer. In any case `answer` or `leave` must follow.
        """
        self._is_begun = self._request.begin(on_news)
        return self._is_begun

    def take_reply(self) -> WholeReply | None:
        """What has come after `begin`, if all of it is here; then `judge` and `accept` are possible, too."""
        self._reply = self._request.whole_reply()
        return self._reply

    def judge(self) -> bool:
        """Whether the reply decides, so that `answer` has nothing to wait for."""
        assert self._reply is not None
        if not fits_turn(self._reply.body):
            return False
        run_at_once(self._run())
        return self._result is not None or self._error is not None

    def accept(self, acceptance: Acceptance, agreement: Agreement) -> None:
        """It is known what the reply says."""
        self._backend.agree(agreement)
        self._result = acceptance
        self._is_answered = True

    def leave(self) -> None:
        """The client has left, and nobody has asked for the `answer`."""
        if self._is_answered:
            self._error = None
            self._backend.break_off()
        elif self._is_begun and self._proxy.farewells.begin(self):
            self._proxy.runtime.spawn(self._run(), "WebSocket open").add_done_callback(self._part)
        else:
            self._request.abandon()

    # --- every request ---------------------------------------------------------------------------------------------

    async def answer(self) -> Acceptance | Rejection | None:
        """Make the request, or go on with what has been done of it.

        Returns:
            See `EventsBackend.judge`.

        Raises:
            ErrorAnswer: there is no proper answer; caused by a ConnectError if the backend could not be connected to.
        """
        if not self._is_answered:
            task = self._proxy.runtime.spawn(self._run(), "WebSocket open")
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if self._proxy.farewells.begin(self):
                    task.add_done_callback(self._part)
                else:
                    task.cancel()
                raise
        error, self._error = self._error, None
        try:
            if isinstance(error, ErrorAnswer):
                raise error
            if error is not None:
                raise origin_error(str(error)) from error
        finally:
            del error  # its traceback has this frame: all would wait for a collection of garbage
        return self._result

    async def _run(self) -> None:
        """Make the request in a task of its own, unless its reply is here."""
        try:
            if self._reply is not None:
                self._result = await self._backend.judge(self._reply)
            else:
                async with self._request as reply:
                    self._result = await self._backend.judge(reply)
        except (ErrorAnswer, BackendError, WireError) as exc:
            self._error = exc
        self._is_answered = True

    def _part(self, task: asyncio.Task[None]) -> None:
        """What has become of a request whose client has left: a backend that has accepted is told."""
        self._proxy.farewells.end(self)
        self._request.abandon()  # a task that was cancelled before its first step has not
        self._error = None
        self._backend.break_off()
