"""Opening a SockJS session: a backend is asked for a WebSocket on behalf of a client over HTTP (routes spec §4.1)."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.net.exchange import ClientExchange
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.socket_request import SocketRequest, make_connection_id
from holdfast.proxy.sockjs_session import SockJsSession
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_opening import Opening
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.push.dialects import SOCKJS_HTTP, Dialect
from holdfast.routing.rules import Rule, Target
from holdfast.routing.uri import ClientUri
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode
from holdfast.wire.headers import Headers
from holdfast.wire.statistics import ConnectionType


class SessionFront:
    """The client's end. See `Front`.

    Args:
        client: the request that opens the session.
        answer_rejection: gives the client the answer of a backend that does not accept.

    Attributes:
        target: the last that was asked.
    """

    __slots__ = ("_answer_rejection", "_client", "_presence", "_proxy", "_session", "target")

    def __init__(
        self,
        proxy: ProxyContext,
        client: ClientExchange,
        session: SockJsSession,
        answer_rejection: Callable[[Rejection], None],
    ) -> None:
        self.target: Target | None = None
        self._proxy = proxy
        self._client = client
        self._session = session
        self._answer_rejection = answer_rejection
        self._presence: Presence | None = None

    async def open(self, rule: Rule, uri: ClientUri, *, is_tls: bool) -> bool:
        """Ask for `uri`; False if the client has been given a rejection. Without acceptance the session is over.

        Raises:
            ErrorAnswer, WireError, BackendError: see `Opening.run`.
        """
        proxy, client = self._proxy, self._client
        connection_id = make_connection_id()
        headers = client.head.headers
        request = SocketRequest(
            rule, uri, headers, client.client_address, is_tls, proxy.is_trusted(headers), connection_id
        )
        self._presence = self._make_presence(
            rule, connection_id if any(target.over_http for target in rule.targets) else None, is_tls=is_tls
        )
        opening = Opening(proxy, request, self)
        try:
            await opening.run()
        finally:
            self.target = opening.target
            self._session.discard()
            if self._presence is not None:
                proxy.holds.statistics.connections.end(self._presence)
        return self._presence is None

    def _make_presence(self, rule: Rule, connection_id: str | None, *, is_tls: bool) -> Presence:
        """The session's, beside that of its requests."""
        statistics = self._proxy.holds.statistics
        counts = statistics.routes.find(rule.key)
        type = ConnectionType.WEBSOCKET
        presence = Presence(counts, counts.begin(), type, self._client, is_tls, connection_id)
        statistics.connections.begin(presence)
        return presence

    @property
    def dialect(self) -> Dialect:
        """See `Front`."""
        return SOCKJS_HTTP

    async def accept(
        self, client: WebSocketClient, reason: bytes, headers: Headers, mode: Mode, first: bytes = b""
    ) -> bool:
        """See `Front`. There is no 101, so the client sees nothing of the headers."""
        assert not first  # nobody is opened like the one before
        presence, self._presence = self._presence, None
        assert presence is not None
        self._proxy.holds.statistics.connections.hold(presence, mode)
        self._session.open(client, presence)
        return True

    def reject(self, rejection: Rejection) -> None:
        """See `Front`."""
        self._proxy.counters.websockets_rejected += 1
        self._answer_rejection(rejection)
