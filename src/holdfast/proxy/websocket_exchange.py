"""One WebSocket handshake, from the client's request to its 101 or to another answer (ws spec §1.3, §2.1, §4.1)."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable

from holdfast.errors import BackendError, ConnectError, WireError
from holdfast.grip.ws_extension import parse_grip_extension
from holdfast.logs import Outcome, RequestRecord
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.proxy.answers import (
    INTERNAL_ERROR,
    NO_SOCKETS_IN_ONE_PACKET,
    ROUTE_NOT_FOUND,
    TEXT_PLAIN,
    ErrorAnswer,
    backend_error_answer,
    origin_error,
)
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.event_requests import EventRequests, Rejection, for_target
from holdfast.proxy.origin import HoldOrigin, Home
from holdfast.proxy.test_target import NO_SUCH_RESOURCE, socket_channels
from holdfast.proxy.traffic import count_exchange
from holdfast.proxy.websocket_client import BackendSide, WebSocketClient
from holdfast.proxy.websocket_connect import connect_backend
from holdfast.proxy.websocket_echo import EchoBackend
from holdfast.proxy.websocket_over_http import Acceptance, EventsBackend
from holdfast.proxy.websocket_relay import RelayBackend
from holdfast.proxy.zhttp_websocket import ZhttpSocketBackend, make_handshake
from holdfast.push.plan import RouteTerms
from holdfast.push.socket_hold import SocketHold
from holdfast.routing.forward import is_tls_by_header
from holdfast.routing.rules import Proto, Rule, Target, TargetKind
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode, RouteCounts
from holdfast.wire.headers import Headers, get_first, without, without_prefix
from holdfast.wire.http1.encode import encode_response_head
from holdfast.wire.statistics import ConnectionType
from holdfast.wire.websocket.deflate import negotiate
from holdfast.wire.websocket.handshake import ClientHandshake, accepting_headers, parse_handshake

log = logging.getLogger("holdfast.proxy.websocket")

MAX_HEADERS = 60
"""Of a backend's acceptance (ws spec §4.1)."""

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
_MODES = {
    TargetKind.HOST: Mode.WEBSOCKET_RELAYED,
    TargetKind.ZHTTP: Mode.WEBSOCKET_ZHTTP,
    TargetKind.TEST: Mode.WEBSOCKET_TEST,
}
_OF_EVENTS = frozenset({b"content-type", b"keep-alive-interval", b"content-bytes-accepted"})


class WebSocketExchange:
    """A handshake on its way through the proxy. `run` reads top to bottom."""

    __slots__ = (
        "_client",
        "_connection_id",
        "_counts",
        "_handshake",
        "_is_tls",
        "_is_trusted",
        "_presence",
        "_proxy",
        "_rule",
        "_status",
        "_target",
        "_uri",
        "_websocket",
    )

    def __init__(self, proxy: ProxyContext, client: ClientExchange) -> None:
        self._proxy = proxy
        self._client = client
        self._uri: ClientUri | None = None
        self._rule: Rule | None = None
        self._target: Target | None = None
        self._handshake: ClientHandshake
        self._is_tls = False
        self._is_trusted = False
        self._status: int | None = None
        self._connection_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
        self._counts: RouteCounts | None = None
        self._presence: Presence | None = None
        self._websocket: WebSocketClient | None = None

    async def run(self) -> None:
        """Answer the handshake, whatever happens."""
        outcome = Outcome.ERROR
        try:
            await self._open()
            outcome = Outcome.ACCEPT if self._status == 101 else Outcome.RESPONSE
        except ErrorAnswer as answer:
            outcome = self._answer(answer)
        except WireError as error:
            is_ours = error.status < 500
            outcome = self._answer(
                ErrorAnswer(error.status, error.text, is_last=True) if is_ours else origin_error(error.text)
            )
        except BackendError as exc:
            outcome = self._answer(backend_error_answer(exc, str(exc)))
        except ClientGone:
            pass
        except Exception:
            log.exception("WebSocket handshake for %s failed", self._uri.text if self._uri else "an unparsable URI")
            if self._websocket is not None:
                self._websocket.give_up()
            else:
                outcome = self._answer(ErrorAnswer(500, INTERNAL_ERROR))
        finally:
            self._depart()
            self._log(outcome)

    async def _open(self) -> None:
        proxy, client = self._proxy, self._client
        head = client.head
        has_body = head.is_chunked or bool(head.content_length)
        self._handshake = parse_handshake(head.method, head.headers, has_body=has_body)
        self._is_tls = client.is_tls or is_tls_by_header(head.headers, proxy.policy)
        self._uri = uri = parse_client_uri(head.target, head.host, is_tls=self._is_tls)
        wanted = proxy.wanted_route(head.headers)
        rule = proxy.routes.find(uri.host, uri.path, proto=Proto.WS, is_tls=self._is_tls, route_id=wanted)
        if rule is None:
            raise ErrorAnswer(502, ROUTE_NOT_FOUND)
        self._rule = rule
        self._arrive(rule)
        self._is_trusted = proxy.is_trusted(head.headers)
        for number, target in enumerate(rule.targets):
            self._target = target
            if number:
                proxy.counters.backend_failovers += 1
            try:
                return await self._try(rule, target, uri)
            except ConnectError as exc:
                log.info("target %s: %s", target.text, exc)
            except ErrorAnswer as answer:
                if not isinstance(answer.__cause__, ConnectError):
                    raise
        proxy.counters.backend_failures += 1
        tried = ", ".join(target.text for target in rule.targets)
        raise origin_error(f"Unable to connect to any targets. Tried: {tried}")

    async def _try(self, rule: Rule, target: Target, uri: ClientUri) -> None:
        """Open the WebSocket with one target; what it refuses is an answer, too."""
        if target.kind is TargetKind.TEST:
            await self._open_echo(rule, target, uri)
        elif target.over_http:
            await self._open_over_http(rule, target, uri)
        elif target.kind is TargetKind.ZHTTP:
            await self._open_zhttp(rule, target, uri)
        elif target.kind is TargetKind.ZHTTPREQ:
            raise origin_error(NO_SOCKETS_IN_ONE_PACKET)
        else:
            await self._open_relay(rule, target, uri)

    # --- by kind of backend ----------------------------------------------------------------------------------------

    async def _open_echo(self, rule: Rule, target: Target, uri: ClientUri) -> None:
        """The built-in test target (ws spec §2.9)."""
        channels = socket_channels(uri.path, uri.query, rule.path_beg)
        if channels is None:
            self._reject(404, b"Not Found", TEXT_PLAIN, NO_SUCH_RESOURCE)
            return
        backend = EchoBackend()
        client = backend.client = self._make_client(backend, rule, target, uri)
        if await self._accept(client, b"", [], lambda: None):
            for channel in channels:
                client.hold.subscribe(channel, ())
            client.go_on()

    async def _open_over_http(self, rule: Rule, target: Target, uri: ClientUri) -> None:
        """A web server that gets events (ws spec §1.3). A client that leaves meanwhile is reported by DISCONNECT."""
        requests = EventRequests.of(
            self._proxy,
            for_target(rule, target),
            uri,
            self._client.head.headers,
            connection_id=self._connection_id,
            client_address=self._client.client_address,
            is_tls=self._is_tls,
            is_trusted=self._is_trusted,
        )
        backend = EventsBackend(self._proxy, requests, one_event=target.one_event)
        result = await self._ask(backend)
        while result is None:
            await asyncio.sleep(backend.interval_s)
            result = await self._ask(backend)
        if isinstance(result, Rejection):
            self._reject(result.code, result.reason, result.headers, result.body)
            return
        client = backend.client = self._make_client(backend, rule, target, uri)
        headers = without_prefix(without(result.headers, _OF_EVENTS), b"set-meta-")
        if await self._accept(client, b"", headers, backend.break_off):
            backend.begin(result.events)

    async def _ask(self, backend: EventsBackend) -> Acceptance | Rejection | None:
        """Make the OPEN request. A client that leaves does not end it: the backend may be accepting already."""
        farewells = self._proxy.farewells
        opening = _Opening(backend)
        task = self._proxy.runtime.spawn(opening.run(), "WebSocket open")

        def leave(_: object) -> None:
            farewells.end(task)
            backend.break_off()

        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if farewells.begin(task):
                task.add_done_callback(leave)
            else:
                task.cancel()
            raise
        return opening.result()

    async def _open_relay(self, rule: Rule, target: Target, uri: ClientUri) -> None:
        """A WebSocket server (ws spec §2.1)."""
        answer = await connect_backend(
            self._proxy,
            for_target(rule, target),
            uri,
            self._client,
            is_tls=self._is_tls,
            is_trusted=self._is_trusted,
        )
        if isinstance(answer, Rejection):
            self._reject(answer.code, answer.reason, answer.headers, answer.body)
            return
        prefix = None
        if not rule.no_grip and not self._is_trusted:
            prefix = parse_grip_extension(
                [value for name, value in answer.headers if name.lower() == b"sec-websocket-extensions"]
            )
        backend = RelayBackend(target.text, prefix)
        client = backend.client = self._make_client(backend, rule, target, uri)
        if await self._accept(client, answer.reason, answer.headers, answer.connection.abort):
            try:
                backend.begin(answer.to_duplex(backend))
            except BackendError as exc:
                log.info("%s: %s", backend.describe(), exc)
                client.backend_broke_off()

    async def _open_zhttp(self, rule: Rule, target: Target, uri: ClientUri) -> None:
        """A ZeroMQ backend (ws spec §7.8)."""
        proxy, is_trusted = self._proxy, self._is_trusted
        handshake = make_handshake(proxy, rule, target, uri, self._client, is_tls=self._is_tls, is_trusted=is_trusted)
        has_grip = not rule.no_grip and not is_trusted
        backend = ZhttpSocketBackend(proxy, proxy.zhttp.streams(target), has_grip=has_grip)
        sent_at_s = proxy.runtime.now()
        answer = await backend.open(handshake)
        proxy.holds.statistics.backend_answered(rule.key, proxy.runtime.now() - sent_at_s)
        if isinstance(answer, Rejection):
            self._reject(answer.code, answer.reason, answer.headers, answer.body)
            return
        client = self._make_client(backend, rule, target, uri)
        backend.client = client
        if await self._accept(client, answer.reason, answer.headers, backend.break_off):
            backend.begin()

    # --- answers ---------------------------------------------------------------------------------------------------

    def _make_client(self, backend: BackendSide, rule: Rule, target: Target, uri: ClientUri) -> WebSocketClient:
        terms = RouteTerms(
            key=rule.key,
            prefix=rule.prefix,
            is_debug=rule.debug,
            implicit_channels=target.subs,
        )
        client = WebSocketClient(self._proxy, backend)
        client.hold = SocketHold(
            self._proxy.holds,
            self._proxy.plans,
            terms,
            client,
            is_compressed=self._compression is not None,
            origin=HoldOrigin(Home.of(uri, rule.id), uri),
        )
        return client

    @property
    def _compression(self) -> bytes | None:
        """The permessage-deflate that is agreed with the client; None for none (ws spec §4.5)."""
        if not self._proxy.allow_compression:
            return None
        return negotiate(self._handshake.offers)

    async def _accept(
        self, client: WebSocketClient, reason: bytes, headers: Headers, give_up: Callable[[], None]
    ) -> bool:
        """Send the 101 and turn the connection into the client's duplex; False when the client has left.

        Args:
            give_up: called when it has left, and whenever else nothing comes of it.
        """
        duplex = None
        try:
            if len(headers) > MAX_HEADERS:
                raise origin_error(f"the backend's answer has more than {MAX_HEADERS} headers")
            kept = without(headers, _NOT_RELAYED)
            kept += accepting_headers(self._handshake.accept, self._compression)
            head = encode_response_head(101, reason or b"Switching Protocols", kept)
            duplex = await self._client.upgrade(head, client)
        finally:
            if duplex is None:
                client.discard()
                give_up()
        if duplex is None:
            return False
        self._status = 101
        self._websocket = client
        presence, self._presence = self._presence, None
        assert presence is not None
        assert self._target is not None
        self._proxy.holds.statistics.connections.hold(presence, _mode_of(self._target))
        client.open(duplex, presence)
        return True

    def _reject(self, code: int, reason: bytes, headers: Headers, body: bytes) -> None:
        """Relay the answer of a backend that does not want the WebSocket; the connection ends with it."""
        self._proxy.counters.websockets_rejected += 1
        self._status = code
        self._client.make_last()
        self._client.respond(code, reason, without(headers, _NOT_RELAYED), body)

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

    def _depart(self) -> None:
        """The handshake is over; without a WebSocket its connection is, too."""
        statistics = self._proxy.holds.statistics
        if self._counts is not None and statistics.wants_reports:
            count_exchange(self._counts, self._client)
        if self._presence is not None:
            statistics.connections.end(self._presence)

    def _log(self, outcome: Outcome) -> None:
        if not self._proxy.request_log.is_enabled:
            return
        head, rule = self._client.head, self._rule
        self._proxy.request_log.finished(
            RequestRecord(
                method=head.method,
                uri=self._uri.text if self._uri is not None else head.target.decode("latin-1"),
                target=self._target.text if self._target is not None else None,
                client_address=self._client.client_address,
                referer=get_first(head.headers, b"referer"),
                route_id=rule.id if rule is not None and rule.has_explicit_id else None,
                status=self._status,
                body_bytes=self._client.body_bytes_sent,
                outcome=outcome,
                user_agent=get_first(head.headers, b"user-agent"),
            )
        )


def _mode_of(target: Target) -> Mode:
    """What metrics call a WebSocket with this backend."""
    if target.over_http:
        return Mode.WEBSOCKET_OVER_HTTP
    return _MODES[target.kind]


class _Opening:
    """The OPEN request of a session, in a task of its own: it goes on when the client leaves."""

    def __init__(self, backend: EventsBackend) -> None:
        self._backend = backend
        self._result: Acceptance | Rejection | None = None
        self._error: Exception | None = None

    async def run(self) -> None:
        """Make the request."""
        try:
            self._result = await self._backend.open()
        except (ErrorAnswer, BackendError, WireError) as exc:
            self._error = exc

    def result(self) -> Acceptance | Rejection | None:
        """What came of it; see `EventsBackend.open`. Raises ErrorAnswer."""
        if isinstance(self._error, ErrorAnswer):
            raise self._error
        if self._error is not None:
            raise origin_error(str(self._error)) from self._error
        return self._result
