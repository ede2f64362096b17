"""One WebSocket handshake, from the client's request to its 101 or to another answer (ws spec §1.3, §2.1, §4.1)."""

from __future__ import annotations

import asyncio
import logging

from holdfast.errors import BackendError, WireError
from holdfast.logs import Outcome
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.net.runtime import run_at_once
from holdfast.proxy.answers import (
    INTERNAL_ERROR,
    NOT_FOUND,
    ROUTE_NOT_FOUND,
    TEXT_PLAIN,
    ErrorAnswer,
    backend_error_answer,
    origin_error,
)
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.socket_request import SocketRequest, make_connection_id
from holdfast.proxy.traffic import count_exchange
from holdfast.proxy.visit import log_request
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_opening import Opening
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.push.dialects import COMPRESSED, PLAIN, SOCKJS, SOCKJS_COMPRESSED, Dialect
from holdfast.routing.forward import is_tls_by_header
from holdfast.routing.rules import Proto, Rule
from holdfast.routing.sockjs_paths import SOCKET_SUFFIX, path_below, shown_uri
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode, RouteCounts
from holdfast.wire.headers import Headers, without
from holdfast.wire.http1.encode import encode_response_head
from holdfast.wire.sockjs_http import is_framed_socket
from holdfast.wire.statistics import ConnectionType
from holdfast.wire.websocket.deflate import negotiate
from holdfast.wire.websocket.handshake import accepting_headers, parse_handshake

log = logging.getLogger("holdfast.proxy.websocket")

_NOT_RELAYED = frozenset(
    {
        b"connection",
        b"upgrade",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"content-length",
        b"transfer-encoding",
        b"keep-alive",
    }
)


class WebSocketExchange:
    """A handshake on its way through the proxy; `start` is a short cut for the usual case. See `Front`."""

    __slots__ = (
        "_accept_value",
        "_client",
        "_compression",
        "_connection_id",
        "_counts",
        "_is_over",
        "_is_running",
        "_is_sockjs",
        "_is_tls",
        "_opening",
        "_presence",
        "_proxy",
        "_rule",
        "_status",
        "_task",
        "_uri",
        "_websocket",
    )

    def __init__(self, proxy: ProxyContext, client: ClientExchange) -> None:
        self._proxy = proxy
        self._client = client
        self._uri: ClientUri | None = None
        self._rule: Rule | None = None
        self._accept_value = b""
        self._compression: bytes | None = None
        """The permessage-deflate that is agreed with the client; None for none (ws spec §4.5)."""
        self._is_tls = False
        self._is_sockjs = False
        self._status: int | None = None
        self._connection_id = make_connection_id()
        self._counts: RouteCounts | None = None
        self._presence: Presence | None = None
        self._opening: Opening | None = None
        self._websocket: WebSocketClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_running = False
        self._is_over = False

    # --- the usual handshake, by callbacks -------------------------------------------------------------------------

    def start(self) -> None:
        """Answer without a task if that can be done; what has been done so far is what `run` goes on with.

        It can be done if the backend is a web server that can be asked without waiting (`Opening.begin`), and all of
        its answer then comes at once, as it does with most.
        """
        try:
            self._opening = opening = self._prepare()
            is_asked = opening.begin(self._on_answer)
        except Exception as exc:
            self._finish(self._fail(exc))
            return
        if is_asked:
            self._proxy.runtime.callbacks.add(self)
        else:
            self._go_on()
        self._client.entrust(self)

    def _on_answer(self) -> None:
        """Something came of what `start` sent: act on a whole answer, and leave everything else to a task.

        Many servers write head and body one after the other: nothing is lost by waiting for the rest.
        """
        self._proxy.runtime.callbacks.discard(self)
        if self._is_over:
            return  # the client has left just now
        opening = self._opening
        assert opening is not None
        try:
            can_end = opening.take_answer() and self._client.can_hold_at_once
            is_coming = not can_end and opening.wait_on(self._on_answer)
        except Exception as exc:
            self._finish(self._fail(exc))
            return
        if can_end:
            run_at_once(self.run())
        elif is_coming:
            self._proxy.runtime.callbacks.add(self)
        else:
            self._go_on()

    def _go_on(self) -> None:
        # Not by whoever called: the request counts already, so even a task that is never begun must end it.
        self._task = self._proxy.runtime.spawn(self.run(), "exchange")

    def cancel(self) -> None:
        """The client has left."""
        task, self._task = self._task, None  # once it was cancelled, it refers to us, even if it was never begun
        if task is not None:
            task.cancel()
        if self._is_running or self._is_over:
            return
        self._proxy.runtime.callbacks.discard(self)
        assert self._opening is not None
        self._opening.leave()
        self._finish(Outcome.ERROR)

    # --- every handshake -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the handshake, whatever happens."""
        self._is_running = True
        outcome = Outcome.ERROR
        try:
            if self._opening is None:
                self._opening = self._prepare()
            await self._opening.run()
            outcome = Outcome.ACCEPT if self._status == 101 else Outcome.RESPONSE
        except Exception as exc:
            outcome = self._fail(exc)
        finally:
            self._task = None  # if it was cancelled, it refers to us, and would wait for a collection of garbage
            self._finish(outcome)

    def _prepare(self) -> Opening:
        """Find the rule for the handshake. Raises ErrorAnswer and WireError."""
        proxy, client = self._proxy, self._client
        head = client.head
        has_body = head.is_chunked or bool(head.content_length)
        handshake = parse_handshake(head.method, head.headers, has_body=has_body)
        self._accept_value = handshake.accept
        if proxy.allow_compression:
            self._compression = negotiate(handshake.offers)
        self._is_tls = client.is_tls or is_tls_by_header(head.headers, proxy.policy)
        self._uri = uri = parse_client_uri(head.target, head.host, is_tls=self._is_tls)
        wanted = proxy.wanted_route(head.headers)
        rule = proxy.routes.find(uri.host, uri.path, proto=Proto.WS, is_tls=self._is_tls, route_id=wanted)
        if rule is None:
            raise ErrorAnswer(502, ROUTE_NOT_FOUND)
        self._rule = rule
        self._arrive(rule)
        below = path_below(rule, uri)
        if below is not None:
            is_framed = is_framed_socket(below)
            if is_framed is None:
                raise ErrorAnswer(404, NOT_FOUND, is_last=True)
            self._is_sockjs = is_framed
            uri = shown_uri(rule, uri, SOCKET_SUFFIX)
        request = SocketRequest(
            rule,
            uri,
            head.headers,
            client.client_address,
            self._is_tls,
            proxy.is_trusted(head.headers),
            self._connection_id,
        )
        return Opening(proxy, request, self)

    # --- answers ---------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """See `Front`."""
        if self._compression is None:
            return SOCKJS if self._is_sockjs else PLAIN
        return SOCKJS_COMPRESSED if self._is_sockjs else COMPRESSED

    async def accept(
        self, client: WebSocketClient, reason: bytes, headers: Headers, mode: Mode, first: bytes = b""
    ) -> bool:
        """See `Front`: send the 101, and turn the connection into the client's duplex."""
        kept = without(headers, _NOT_RELAYED)
        kept += accepting_headers(self._accept_value, self._compression)
        head = encode_response_head(101, reason or b"Switching Protocols", kept)
        duplex = await self._client.upgrade(head, client, first)
        if duplex is None:
            return False
        self._status = 101
        self._websocket = client
        presence, self._presence = self._presence, None
        assert presence is not None
        self._proxy.holds.statistics.connections.hold(presence, mode)
        client.open(duplex, presence)
        return True

    def reject(self, rejection: Rejection) -> None:
        """See `Front`: relay the answer; the connection ends with it."""
        self._proxy.counters.websockets_rejected += 1
        self._status = rejection.code
        self._client.make_last()
        headers = without(rejection.headers, _NOT_RELAYED)
        self._client.respond(rejection.code, rejection.reason, headers, rejection.body)

    def _fail(self, exc: Exception) -> Outcome:
        """Answer a handshake that was not answered because of `exc`, if its client is still there."""
        match exc:
            case ErrorAnswer():
                return self._answer(exc)
            case WireError() if exc.status < 500:
                return self._answer(ErrorAnswer(exc.status, exc.text, is_last=True))
            case WireError():
                return self._answer(origin_error(exc.text))
            case BackendError():
                return self._answer(backend_error_answer(exc, str(exc)))
            case ClientGone():
                return Outcome.ERROR
        uri = self._uri.text if self._uri else "an unparsable URI"
        log.error("WebSocket handshake for %s failed", uri, exc_info=exc)
        if self._websocket is None:
            return self._answer(ErrorAnswer(500, INTERNAL_ERROR))
        self._websocket.give_up()
        return Outcome.ERROR

    def _answer(self, answer: ErrorAnswer) -> Outcome:
        """Answer with an error of our own. It has no Content-Type, but for a handshake that is none (ws spec §2.1)."""
        self._proxy.counters.request_errors += 1
        if self._client.has_started:
            self._client.abort()
            return Outcome.ERROR
        self._status = answer.code
        is_debug = self._rule.debug if self._rule is not None else self._proxy.is_debug
        headers = TEXT_PLAIN if answer.is_last else []
        self._client.make_last()
        self._client.respond(answer.code, answer.reason, headers, answer.body(is_debug=is_debug))
        return Outcome.RESPONSE

    # --- what is told of it ----------------------------------------------------------------------------------------

    def _arrive(self, rule: Rule) -> None:
        """The WebSocket has a route: count it there. Backends over HTTP are told its id (ws spec §1.2)."""
        statistics, client = self._proxy.holds.statistics, self._client
        self._counts = counts = statistics.routes.find(rule.key)
        connection_id = self._connection_id if any(target.over_http for target in rule.targets) else None
        started = counts.begin()
        self._presence = Presence(counts, started, ConnectionType.WEBSOCKET, client, self._is_tls, connection_id)
        statistics.connections.begin(self._presence)

    def _finish(self, outcome: Outcome) -> None:
        """The handshake is over; without a WebSocket its connection is, too."""
        self._is_over = True
        opening, self._opening = self._opening, None  # it refers to us
        proxy, client = self._proxy, self._client
        statistics = proxy.holds.statistics
        if self._counts is not None and statistics.wants_reports:
            count_exchange(self._counts, client)
        if self._presence is not None:
            statistics.connections.end(self._presence)
        if proxy.request_log.is_enabled:
            target = opening.target.text if opening is not None and opening.target is not None else None
            log_request(proxy, client, outcome, rule=self._rule, uri=self._uri, target=target, status=self._status)
