"""One WebSocket handshake, from the client's request to its 101 or to another answer (ws spec §1.3, §2.1, §4.1)."""

from __future__ import annotations

import logging
import os
import uuid

from holdfast.errors import BackendError, WireError
from holdfast.logs import Outcome
from holdfast.net.exchange import ClientExchange, ClientGone
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
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.traffic import count_exchange
from holdfast.proxy.visit import log_request
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_opening import Opening
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.push.dialects import COMPRESSED, PLAIN, SOCKJS, SOCKJS_COMPRESSED, Dialect
from holdfast.routing.forward import is_tls_by_header
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.sockjs_paths import SOCKET_SUFFIX, path_below, shown_uri
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode, RouteCounts
from holdfast.wire.headers import Headers, without
from holdfast.wire.http1.encode import encode_response_head
from holdfast.wire.sockjs_http import is_framed_socket
from holdfast.wire.statistics import ConnectionType
from holdfast.wire.websocket.deflate import negotiate
from holdfast.wire.websocket.handshake import ClientHandshake, accepting_headers, parse_handshake

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
    """A handshake on its way through the proxy. `run` reads top to bottom. See `Front`."""

    __slots__ = (
        "_client",
        "_connection_id",
        "_counts",
        "_handshake",
        "_is_sockjs",
        "_is_tls",
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
        self._is_sockjs = False
        self._status: int | None = None
        self._connection_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
        self._counts: RouteCounts | None = None
        self._presence: Presence | None = None
        self._websocket: WebSocketClient | None = None

    async def run(self) -> None:
        """Answer the handshake, whatever happens."""
        proxy, outcome = self._proxy, Outcome.ERROR
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
            target = self._target.text if self._target is not None else None
            log_request(
                proxy, self._client, outcome, rule=self._rule, uri=self._uri, target=target, status=self._status
            )

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
        opening = Opening(proxy, request, self)
        try:
            await opening.run()
        finally:
            self._target = opening.target

    # --- answers ---------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """See `Front`."""
        if self._compression is None:
            return SOCKJS if self._is_sockjs else PLAIN
        return SOCKJS_COMPRESSED if self._is_sockjs else COMPRESSED

    @property
    def _compression(self) -> bytes | None:
        """The permessage-deflate that is agreed with the client; None for none (ws spec §4.5)."""
        if not self._proxy.allow_compression:
            return None
        return negotiate(self._handshake.offers)

    async def accept(self, client: WebSocketClient, reason: bytes, headers: Headers, mode: Mode) -> bool:
        """See `Front`: send the 101, and turn the connection into the client's duplex."""
        kept = without(headers, _NOT_RELAYED)
        kept += accepting_headers(self._handshake.accept, self._compression)
        head = encode_response_head(101, reason or b"Switching Protocols", kept)
        duplex = await self._client.upgrade(head, client)
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
