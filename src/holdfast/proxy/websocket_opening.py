"""Asking backends for a WebSocket on behalf of a client, target by target (ws spec §1.3, §2.1, §2.9, §7.8).

What the client came by is a matter of its front: a handshake of RFC 6455, or SockJS over HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from holdfast.errors import BackendError, ConnectError
from holdfast.grip.ws_extension import parse_grip_extension
from holdfast.logs import limited
from holdfast.proxy.answers import NO_SOCKETS_IN_ONE_PACKET, TEXT_PLAIN, ErrorAnswer, origin_error
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.open_request import OpenRequest
from holdfast.proxy.origin import HoldOrigin, Home
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.test_target import NO_SUCH_RESOURCE, socket_channels
from holdfast.proxy.websocket_backend import BackendSide
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_connect import connect_backend
from holdfast.proxy.websocket_echo import EchoBackend
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.proxy.websocket_relay import RelayBackend
from holdfast.proxy.zhttp_websocket import ZhttpSocketBackend, make_handshake
from holdfast.push.dialects import Dialect
from holdfast.push.plan import HoldPlan, RouteTerms
from holdfast.push.socket_hold import SocketHold
from holdfast.routing.rules import Target, TargetKind
from holdfast.statistics.routes import Mode
from holdfast.wire.headers import Headers

log = logging.getLogger("holdfast.proxy.websocket")

MAX_HEADERS = 60
"""Of a backend's acceptance (ws spec §4.1)."""

_MODES = {
    TargetKind.HOST: Mode.WEBSOCKET_RELAYED,
    TargetKind.ZHTTP: Mode.WEBSOCKET_ZHTTP,
    TargetKind.TEST: Mode.WEBSOCKET_TEST,
}
_NOT_FOUND = Rejection(404, b"Not Found", TEXT_PLAIN, NO_SUCH_RESOURCE)


class Front(Protocol):
    """The client's end."""

    @property
    def dialect(self) -> Dialect:
        """What the client speaks."""
        ...

    async def accept(
        self, client: WebSocketClient, reason: bytes, headers: Headers, mode: Mode, first: bytes = b""
    ) -> bool:
        """A backend accepts: open `client`, which metrics call `mode`; False when the client has left.

        Args:
            first: what the client gets at once, in its dialect.
        """
        ...

    def reject(self, rejection: Rejection) -> None:
        """A backend does not accept."""
        ...


class Opening:
    """One client's way to a backend.

    Attributes:
        target: the last that was asked.
    """

    __slots__ = ("_asked", "_front", "_proxy", "_request", "target")

    def __init__(self, proxy: ProxyContext, request: SocketRequest, front: Front) -> None:
        self.target: Target | None = None
        self._proxy = proxy
        self._request = request
        self._front = front
        self._asked: OpenRequest | None = None

    # --- the usual opening, by callbacks ---------------------------------------------------------------------------

    def begin(self, on_answer: Callable[[], object]) -> bool:
        """Ask the first target now, if it is a web server and nothing has to be waited for; whether that was so.

        When `on_answer` is called, `take_answer` may take the answer. In any case `run` or `leave` must follow.

        Raises:
            WireError: the request makes no sense.
        """
        target = self._request.rule.targets[0]
        if not target.over_http or target.kind is not TargetKind.HOST:
            return False
        self.target = target
        self._asked = asked = self._make_open_request(target)
        return asked.begin(on_answer)

    def take_answer(self) -> bool:
        """Whether there is an answer, and `run` has nothing to wait for but the client."""
        assert self._asked is not None
        return self._asked.take_answer()

    def wait_on(self, on_answer: Callable[[], object]) -> bool:
        """Whether the rest of the answer is just coming, so that `on_answer` is called again."""
        assert self._asked is not None
        return self._asked.wait_on(on_answer)

    def leave(self) -> None:
        """The client has left before `run`: what `begin` has begun is ended without it."""
        if self._asked is not None:
            self._asked.leave()

    # --- every opening ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask target by target, until one answers: the front has it then.

        Raises:
            ErrorAnswer, WireError, BackendError: none did, or the one that did makes no sense.
        """
        targets, counters = self._request.rule.targets, self._proxy.counters
        for number, target in enumerate(targets):
            self.target = target
            if number:
                counters.backend_failovers += 1
            try:
                return await self._try(target)
            except ConnectError as exc:
                limited(log, self._request.rule.log_level).info("target %s: %s", target.text, exc)
            except ErrorAnswer as answer:
                if not isinstance(answer.__cause__, ConnectError):
                    raise
        counters.backend_failures += 1
        tried = ", ".join(target.text for target in targets)
        raise origin_error(f"Unable to connect to any targets. Tried: {tried}")

    async def _try(self, target: Target) -> None:
        """Open the WebSocket with one target; what it refuses is an answer, too."""
        if target.kind is TargetKind.TEST:
            await self._open_echo(target)
        elif target.over_http:
            await self._open_over_http(target)
        elif target.kind is TargetKind.ZHTTP:
            await self._open_zhttp(target)
        elif target.kind is TargetKind.ZHTTPREQ:
            raise origin_error(NO_SOCKETS_IN_ONE_PACKET)
        else:
            await self._open_relay(target)

    # --- by kind of backend ----------------------------------------------------------------------------------------

    async def _open_echo(self, target: Target) -> None:
        """The built-in test target (ws spec §2.9)."""
        request = self._request
        channels = socket_channels(request.uri.path, request.uri.query, request.rule.path_beg)
        if channels is None:
            self._front.reject(_NOT_FOUND)
            return
        backend = EchoBackend()
        client = backend.client = self._make_client(backend, target)
        if await self._accept(client, b"", [], lambda: None):
            for channel in channels:
                client.hold.subscribe(channel, ())
            client.go_on()

    async def _open_over_http(self, target: Target) -> None:
        """A web server that gets events (ws spec §1.3). A client that leaves meanwhile is reported by DISCONNECT."""
        asked, self._asked = self._asked or self._make_open_request(target), None
        result = await asked.answer()
        if isinstance(result, Rejection):
            self._front.reject(result)
            return
        backend = asked.backend
        client = backend.client = self._make_client(backend, target, result.plan)
        if await self._accept(client, b"", result.headers, backend.break_off, result.first):
            if result.messages:
                client.note_relayed(result.messages)
            backend.begin(result.events)
            asked.remember(client.hold)

    def _make_open_request(self, target: Target) -> OpenRequest:
        return OpenRequest(self._proxy, self._request, target, self._front.dialect)

    async def _open_relay(self, target: Target) -> None:
        """A WebSocket server (ws spec §2.1)."""
        request = self._request
        answer = await connect_backend(self._proxy, request, target)
        if isinstance(answer, Rejection):
            self._front.reject(answer)
            return
        prefix = None
        if request.has_grip:
            prefix = parse_grip_extension(
                [value for name, value in answer.headers if name.lower() == b"sec-websocket-extensions"]
            )
        backend = RelayBackend(target.text, prefix)
        client = backend.client = self._make_client(backend, target)
        if await self._accept(client, answer.reason, answer.headers, answer.connection.abort):
            try:
                backend.begin(answer.to_duplex(backend))
            except BackendError as exc:
                log.info("%s: %s", backend.describe(), exc)
                client.backend_broke_off()

    async def _open_zhttp(self, target: Target) -> None:
        """A ZeroMQ backend (ws spec §7.8)."""
        proxy, request = self._proxy, self._request
        handshake = make_handshake(proxy, request, target)
        backend = ZhttpSocketBackend(proxy, proxy.zhttp.streams(target), has_grip=request.has_grip)
        sent_at_s = proxy.runtime.now()
        answer = await backend.open(handshake)
        proxy.holds.statistics.backend_answered(request.rule.key, proxy.runtime.now() - sent_at_s)
        if isinstance(answer, Rejection):
            self._front.reject(answer)
            return
        client = self._make_client(backend, target)
        backend.client = client
        if await self._accept(client, answer.reason, answer.headers, backend.break_off):
            backend.begin()

    # --- what comes of it ------------------------------------------------------------------------------------------

    def _make_client(self, backend: BackendSide, target: Target, plan: HoldPlan | None = None) -> WebSocketClient:
        """
        Args:
            plan: what it is subscribed to; None for what the route wants.
        """
        rule, uri = self._request.rule, self._request.uri
        if plan is None:
            terms = RouteTerms(
                key=rule.key,
                prefix=rule.prefix,
                is_debug=rule.debug,
                implicit_channels=target.subs,
            )
            plan = self._proxy.plans.socket_plan(terms, (), {})
        client = WebSocketClient(self._proxy, backend)
        client.hold = SocketHold(
            self._proxy.holds,
            self._proxy.plans,
            plan,
            client,
            dialect=self._front.dialect,
            origin=HoldOrigin(Home.of(uri, rule.id), uri),
        )
        return client

    @property
    def _mode(self) -> Mode:
        """What metrics call a WebSocket with this backend."""
        assert self.target is not None
        return Mode.WEBSOCKET_OVER_HTTP if self.target.over_http else _MODES[self.target.kind]

    async def _accept(
        self, client: WebSocketClient, reason: bytes, headers: Headers, give_up: Callable[[], None], first: bytes = b""
    ) -> bool:
        """Open the client; False when it has left.

        Args:
            give_up: called when it has left, and whenever else nothing comes of it.
        """
        is_open = False
        try:
            if len(headers) > MAX_HEADERS:
                raise origin_error(f"the backend's answer has more than {MAX_HEADERS} headers")
            is_open = await self._front.accept(client, reason, headers, self._mode, first)
        finally:
            if not is_open:
                client.discard()
                give_up()
        return is_open
