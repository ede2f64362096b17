"""Requests in one packet, answered in one packet: backends of `zhttpreq/` targets (ws spec §7.6).

A request that nobody takes yet waits here: for a backend that connects, or has taken earlier ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from holdfast.errors import BackendError, BackendSilent, BadResponse, NoBackend, PacketError
from holdfast.logs import LIMITED
from holdfast.net.runtime import Runtime
from holdfast.net.zhttp_sockets import RequestSocket, bind_all
from holdfast.net.zmq_socket import ZmqContext
from holdfast.proxy.reply import WholeReply
from holdfast.proxy.zhttp_values import SILENCE_S, failure_error, final_code, make_exchange_id, stated_length
from holdfast.timers import Deadline
from holdfast.wire.zhttp.packets import Data, Failure
from holdfast.wire.zhttp.requests import RequestHead, encode_request
from holdfast.wire.zhttp.responses import Response, parse_response

log = logging.getLogger("holdfast.proxy.zhttp")

MAX_WAITING = 1000
MAX_WAITING_BYTES = 50_000_000
"""Of requests that no backend takes; later ones are answered with 502 at once."""


class RequestService:
    """The backends that connect to one spec.

    Args:
        name: the target as in the routes file, for logs.
        on_idle: called when no exchange is left.
    """

    def __init__(
        self, runtime: Runtime, context: ZmqContext, proxy_id: bytes, name: str, on_idle: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._context = context
        self._proxy_id = proxy_id
        self._name = name
        self._on_idle = on_idle
        self._socket: RequestSocket | None = None
        self._questions: dict[bytes, _Question] = {}
        self._waiting: dict[bytes, bytes] = {}
        self._waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._questions)

    def bind(self, specs: tuple[str, ...], ipc_file_mode: int | None) -> None:
        """Listen for backends. Raises ConfigError."""
        socket = RequestSocket(self._runtime, self._context, self._receive, self._refuse_parts)
        bind_all(socket, specs, ipc_file_mode)
        self._socket = socket

    def set_file_mode(self, ipc_file_mode: int | None) -> None:
        """See `ZmqSocket.set_file_mode`."""
        if self._socket is not None:
            self._socket.set_file_mode(ipc_file_mode)

    def close(self) -> None:
        """Stop; whoever still waits for an answer goes on waiting, at most until its time is up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def ask(self, head: RequestHead, body: bytes) -> WholeReply:
        """The answer to a request.

        Raises:
            BackendError: there is none, or it is a failure.
        """
        exchange_id = make_exchange_id()
        self._submit(exchange_id, encode_request(self._proxy_id, exchange_id, head, body))
        question = self._questions[exchange_id] = _Question(self._runtime)
        try:
            return await question.answer
        finally:
            question.close()
            del self._questions[exchange_id]
            self._forget_waiting(exchange_id)
            if not self._questions:
                self._on_idle()

    # --- to backends -----------------------------------------------------------------------------------------------

    def _submit(self, exchange_id: bytes, frame: bytes) -> None:
        socket = self._socket
        if socket is None:
            raise NoBackend(f"{self._name} is not listened at")
        if not self._waiting and socket.send(frame):
            return
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + len(frame) > MAX_WAITING_BYTES:
            self._runtime.counters.zhttp_packets_unsent += 1
            raise NoBackend(f"{len(self._waiting)} requests to {self._name} wait already")
        self._waiting[exchange_id] = frame
        self._waiting_bytes += len(frame)
        socket.when_writable(self._send_waiting)

    def _send_waiting(self) -> None:
        socket = self._socket
        assert socket is not None
        while self._waiting:
            exchange_id, frame = next(iter(self._waiting.items()))
            if not socket.send(frame):
                return
            self._forget_waiting(exchange_id)
        socket.when_writable(None)

    def _forget_waiting(self, exchange_id: bytes) -> None:
        self._waiting_bytes -= len(self._waiting.pop(exchange_id, b""))

    # --- from backends ---------------------------------------------------------------------------------------------

    def _receive(self, frame: bytes) -> None:
        try:
            response = parse_response(frame)
        except PacketError as exc:
            self._runtime.counters.zhttp_packets_refused += 1
            log.warning("%s: message thrown away: %s", self._name, exc, extra=LIMITED)
            return
        for place in response.places:
            question = self._questions.get(place.id)
            if question is None or question.answer.done():
                self._runtime.counters.zhttp_packets_unclaimed += 1
                log.debug("%s: answer to no open request", self._name)
            else:
                question.settle(response)

    def _refuse_parts(self) -> None:
        self._runtime.counters.zhttp_packets_refused += 1
        log.warning("%s: message of the wrong number of parts thrown away", self._name, extra=LIMITED)


class _Question:
    """A request that waits for its answer."""

    __slots__ = ("_deadline", "answer")

    def __init__(self, runtime: Runtime) -> None:
        self.answer: asyncio.Future[WholeReply] = runtime.loop.create_future()
        self._deadline = Deadline(runtime.wheel, self)
        self._deadline.set(runtime.now() + SILENCE_S)

    def settle(self, response: Response) -> None:
        try:
            self.answer.set_result(_read_answer(response))
        except BackendError as exc:
            self.answer.set_exception(exc)

    def on_deadline(self, now_s: float) -> None:
        """No answer has come."""
        if not self.answer.done():
            self.answer.set_exception(BackendSilent(f"no answer within {SILENCE_S:g} seconds"))

    def close(self) -> None:
        self._deadline.cancel()


def _read_answer(response: Response) -> WholeReply:
    """The answer of a packet. Raises BackendError."""
    head, content = response.head, response.content
    match content:
        case Failure():
            raise failure_error(content.condition)
        case Data(has_more=False):
            return WholeReply(final_code(head), head.reason, head.headers, content.body, stated_length(head.headers))
    raise BadResponse("backend did not answer with one packet")
