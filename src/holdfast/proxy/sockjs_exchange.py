"""One HTTP request of a SockJS client, from its head to its answer or its hold (routes spec §4.2, §4.3)."""

from __future__ import annotations

import logging
import os

from holdfast.errors import BackendError, FrameError, WireError
from holdfast.logs import Outcome
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.proxy.answers import (
    INTERNAL_ERROR,
    NOT_FOUND,
    TEXT_PLAIN,
    ErrorAnswer,
    backend_error_answer,
)
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.sockjs_front import SessionFront
from holdfast.proxy.sockjs_receiver import ResponseReceiver
from holdfast.proxy.sockjs_session import SockJsSession
from holdfast.proxy.sockjs_sessions import SessionKey
from holdfast.proxy.traffic import count_heads
from holdfast.proxy.visit import log_request
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.push.dialects import SOCKJS_HTTP
from holdfast.routing.forward import is_tls_by_header, relayed_headers
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.sockjs_paths import path_below, shown_uri
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.wire.headers import Headers, get_first
from holdfast.wire.reasons import reason_phrase
from holdfast.wire.sockjs import STILL_OPEN
from holdfast.wire.sockjs_http import (
    SCRIPT,
    Action,
    Endpoint,
    Format,
    Transport,
    common_headers,
    form_field,
    format_of,
    info,
    parse_callback,
    parse_endpoint,
    wrap,
)

log = logging.getLogger("holdfast.proxy.sockjs")

MAX_BODY_BYTES = 100_000

BAD_REQUEST = "Bad Request"
REQUEST_TOO_LARGE = "Request too large."
ALREADY_SENDING = "Already sending"
TOO_MANY_SESSIONS = "Too many sessions."


class SockJsExchange:
    """A request below the prefix of a route.

    Args:
        below: what the path has behind the prefix.
    """

    __slots__ = (
        "_below",
        "_client",
        "_is_tls",
        "_origin",
        "_proxy",
        "_rule",
        "_status",
        "_target",
        "_uri",
    )

    def __init__(
        self, proxy: ProxyContext, client: ClientExchange, rule: Rule, uri: ClientUri, below: bytes, *, is_tls: bool
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._rule = rule
        self._uri = uri
        self._below = below
        self._is_tls = is_tls
        self._origin = get_first(client.head.headers, b"origin")
        self._target: Target | None = None
        self._status: int | None = None

    async def run(self) -> None:
        """Answer the request, whatever happens."""
        rule = self._rule
        counts = self._proxy.holds.statistics.routes.find(rule.key)
        started = counts.begin()
        outcome = Outcome.ERROR
        try:
            outcome = await self._serve()
        except ErrorAnswer as answer:
            outcome = self._fail(answer)
        except WireError as error:
            outcome = self._fail(ErrorAnswer(error.status, error.text))
        except BackendError as exc:
            outcome = self._fail(backend_error_answer(exc, str(exc)))
        except ClientGone:
            pass
        except Exception:
            log.exception("SockJS request for %s failed", self._uri.text)
            outcome = self._fail(ErrorAnswer(500, INTERNAL_ERROR))
        finally:
            if self._proxy.holds.statistics.wants_reports:
                count_heads(counts, self._client)
            counts.end(started)
            target = self._target.text if self._target is not None else None
            log_request(
                self._proxy, self._client, outcome, rule=rule, uri=self._uri, target=target, status=self._status
            )

    async def _serve(self) -> Outcome:
        endpoint = parse_endpoint(self._client.head.method, self._below)
        body = await self._read_body()
        if body is None:
            self._refuse(400, REQUEST_TOO_LARGE)
        elif endpoint is None:
            self._refuse(404, NOT_FOUND)
        elif endpoint.action is Action.RECEIVE:
            return await self._receive(endpoint)
        elif endpoint.action is Action.SEND:
            await self._send(endpoint, body)
        else:
            self._tell(endpoint.action)
        return Outcome.RESPONSE

    async def _read_body(self) -> bytes | None:
        """The body; None if it is too large."""
        client = self._client
        if (client.content_length or 0) > MAX_BODY_BYTES:
            return None
        body = await client.read_prefix(MAX_BODY_BYTES + 1)
        return body if len(body) <= MAX_BODY_BYTES else None

    # --- what needs no session -------------------------------------------------------------------------------------

    def _tell(self, action: Action) -> None:
        if action is Action.OPTIONS:
            self._respond(204, TEXT_PLAIN, b"")
        elif action is Action.INFO:
            self._respond(200, TEXT_PLAIN, info(int.from_bytes(os.urandom(4))))
        else:
            page = self._proxy.sockjs.page
            headers: Headers = [(b"ETag", page.etag)]
            if get_first(self._client.head.headers, b"if-none-match") == page.etag:
                self._respond(304, headers, b"")
                return
            headers.append((b"Content-Type", b"text/html; charset=UTF-8"))
            headers.append((b"Cache-Control", b"public, max-age=31536000"))
            self._respond(200, headers, page.body)

    # --- frames ----------------------------------------------------------------------------------------------------

    async def _receive(self, endpoint: Endpoint) -> Outcome:
        """Give the client what there is for its session, now or later; a session that is not known is opened."""
        callback = None
        if endpoint.transport is Transport.JSONP:
            callback = parse_callback(self._uri.query)
            if callback is None:
                self._refuse(400, BAD_REQUEST)
                return Outcome.RESPONSE
        format = format_of(endpoint.transport, callback)
        key = self._key(endpoint)
        session = self._proxy.sockjs.find(key)
        is_new = session is None
        if session is None:
            session = self._make_session(key)
        receiver = ResponseReceiver(session, format, self._origin)
        if not session.attach(receiver):
            self._refuse_receiver(format)
            return Outcome.RESPONSE
        try:
            if is_new and not await self._open(session):
                return Outcome.RESPONSE
            is_held = await receiver.serve(self._client)
        except BaseException:
            session.receiver_gone(receiver)
            raise
        if is_held:
            return Outcome.ACCEPT
        self._status = 200
        return Outcome.RESPONSE

    def _refuse_receiver(self, format: Format) -> None:
        """There is one already, which goes on; a client that wants a stream gets a short one."""
        headers: Headers = [(b"Content-Type", format.content_type)]
        if not format.is_streaming:
            self._respond(200, headers, format.encode(STILL_OPEN))
            return
        self._status = 200
        self._client.start_response(200, b"OK", [*headers, *common_headers(self._origin)], None)
        self._client.write(format.prelude)
        self._client.write(format.encode(STILL_OPEN))
        self._client.end_response()

    def _key(self, endpoint: Endpoint) -> SessionKey:
        rule = self._rule
        return SessionKey(self._uri.host, rule.domain, rule.id, rule.sockjs or b"", endpoint.session_id)

    def _make_session(self, key: SessionKey) -> SockJsSession:
        sessions = self._proxy.sockjs
        session = SockJsSession(sessions, key, self._proxy.runtime, self._client.client_address)
        if not sessions.add(key, session):
            raise ErrorAnswer(503, TOO_MANY_SESSIONS)
        return session

    async def _open(self, session: SockJsSession) -> bool:
        """Ask the backend for a WebSocket; False if it does not want it, and the client has its answer."""
        front = SessionFront(self._proxy, self._client, session, self._reject)
        try:
            return await front.open(self._rule, shown_uri(self._rule, self._uri), is_tls=self._is_tls)
        finally:
            self._target = front.target

    def _reject(self, rejection: Rejection) -> None:
        headers = relayed_headers(rejection.headers, is_framed_anew=True)
        self._respond(rejection.code, headers, rejection.body, reason=rejection.reason)

    # --- messages --------------------------------------------------------------------------------------------------

    async def _send(self, endpoint: Endpoint, body: bytes) -> None:
        """Give the client's messages to the backend, and answer when it has taken them."""
        session = self._proxy.sockjs.find(self._key(endpoint))
        if session is None:
            self._refuse(404, NOT_FOUND)
        elif session.last_frame is not None:
            self._acknowledge(endpoint, session.last_frame, b"\n")
        elif session.is_sending:
            self._refuse(400, ALREADY_SENDING)
        else:
            try:
                messages = list(SOCKJS_HTTP.reader(None).receive(self._payload(endpoint, body)))
            except FrameError as error:
                self._refuse(400, error.text)
                return
            if messages and not await session.send(messages):
                self._refuse(404, NOT_FOUND)
            else:
                self._acknowledge(endpoint, b"ok", b"")

    def _payload(self, endpoint: Endpoint, body: bytes) -> bytes:
        if not endpoint.is_form:
            return body
        form = self._uri.query or b"" if self._client.head.method == b"GET" else body
        return form_field(form, b"d") or b""

    def _acknowledge(self, endpoint: Endpoint, text: bytes, ending: bytes) -> None:
        callback = parse_callback(self._uri.query) if endpoint.is_form else None
        if callback is not None:
            self._respond(200, [(b"Content-Type", SCRIPT)], wrap(callback, text))
        else:
            self._respond(200, TEXT_PLAIN, text + ending)

    # --- answers ---------------------------------------------------------------------------------------------------

    def _refuse(self, code: int, text: str) -> None:
        self._respond(code, TEXT_PLAIN, f"{text}\n".encode())

    def _respond(self, code: int, headers: Headers, body: bytes, *, reason: bytes | None = None) -> None:
        self._status = code
        all_headers = [*headers, *common_headers(self._origin)]
        self._client.respond(code, reason or reason_phrase(code), all_headers, body)

    def _fail(self, answer: ErrorAnswer) -> Outcome:
        """Answer with an error that is not SockJS's: without Content-Type (§4.3)."""
        self._proxy.counters.request_errors += 1
        if self._client.has_started:
            self._client.abort()
            return Outcome.ERROR
        self._respond(answer.code, [], answer.body(is_debug=self._rule.debug), reason=answer.reason)
        return Outcome.RESPONSE


def find_sockjs(proxy: ProxyContext, client: ClientExchange) -> SockJsExchange | None:
    """The exchange of a request that is SockJS; None for others, those that make no sense included."""
    head = client.head
    is_tls = client.is_tls or is_tls_by_header(head.headers, proxy.policy)
    try:
        uri = parse_client_uri(head.target, head.host, is_tls=is_tls)
    except WireError:
        return None
    if not uri.path.startswith(proxy.routes.sockjs_prefixes):
        return None  # so that other requests look for their route once
    route_id = proxy.wanted_route(head.headers)
    rule = proxy.routes.find(uri.host, uri.path, proto=Proto.HTTP, is_tls=is_tls, route_id=route_id)
    below = path_below(rule, uri) if rule is not None else None
    if rule is None or below is None:
        return None
    return SockJsExchange(proxy, client, rule, uri, below, is_tls=is_tls)
