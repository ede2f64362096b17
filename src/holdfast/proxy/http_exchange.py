"""One proxied HTTP request, from its head to its last byte or to its hold (routes spec §3.1)."""

from __future__ import annotations

import asyncio
import logging

from holdfast.errors import BackendError, WireError
from holdfast.grip.instruct import is_instruct
from holdfast.logs import Log, Outcome, limited
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.net.runtime import Work, run_at_once
from holdfast.proxy.accept import MAX_BODY_BYTES, Acceptor
from holdfast.proxy.answers import (
    EVENTS_FORBIDDEN,
    INTERNAL_ERROR,
    ROUTE_NOT_FOUND,
    TEXT_PLAIN,
    ErrorAnswer,
    origin_error,
)
from holdfast.proxy.attempts import PREFIX_BYTES, Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.cross_origin import ask_cross_origin
from holdfast.proxy.held_request import RetryTerms
from holdfast.proxy.reply import Reply
from holdfast.proxy.request_recipe import RequestRecipe, make_request_recipe
from holdfast.proxy.sharing import Sharing
from holdfast.proxy.visit import Visit, log_request
from holdfast.routing.forward import OriginRequest, build_origin_request, is_tls_by_header, relayed_headers
from holdfast.routing.rules import Proto, Rule
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.wire.headers import Headers
from holdfast.wire.ws_events import MEDIA_TYPE

log = logging.getLogger("holdfast.proxy")


class HttpExchange:
    """A request on its way through the proxy. `run` reads top to bottom; `start` is a short cut for the usual case.

    Args:
        retry: for a request that was held and is made again on behalf of its client.
        sharing: where requests with equal ones meet; None if each is made for itself. `start` knows nothing of it.
    """

    __slots__ = (
        "_attempts",
        "_client",
        "_is_over",
        "_is_running",
        "_is_trusted",
        "_method",
        "_proxy",
        "_reply",
        "_retry",
        "_rule",
        "_sharing",
        "_status",
        "_task",
        "_uri",
        "_visit",
    )

    def __init__(
        self,
        proxy: ProxyContext,
        client: ClientExchange,
        retry: RetryTerms | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._retry = retry
        self._sharing = sharing
        self._method = client.head.method
        self._uri: ClientUri | None = None
        self._rule: Rule | None = None
        self._attempts: Attempts | None = None
        self._reply: Reply | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_over = False
        self._is_running = False
        self._is_trusted = False
        self._status: int | None = None
        self._visit = Visit(proxy.holds.statistics, client, retry.presence if retry is not None else None)

    # --- the usual request, by callbacks ---------------------------------------------------------------------------

    def start(self) -> Work | None:
        """Answer without a coroutine if that can be done; the coroutine that does it, if nothing has been done yet.

        It can be done if the request can be sent without waiting (`Attempts.begin`) and all of its answer then comes at
        once, as it is with most. If not, `run` goes on with what has been done so far.
        """
        client = self._client
        if not client.is_body_complete:
            return self.run()
        try:
            rule, request = self._prepare()
            self._attempts = attempts = Attempts(self._proxy, client, request, client.take())
            is_sent = attempts.begin(rule, self._on_news)
        except Exception as exc:
            self._finish(self._fail(exc))
            return None
        if is_sent:
            self._proxy.runtime.callbacks.add(self)
        else:
            # Not by whoever called: the request counts already, so even a task that is never begun must end it.
            self._task = self._proxy.runtime.spawn(self.run(), "exchange")
        client.entrust(self)
        return None

    def _on_news(self) -> None:
        """Something came of what `start` sent: act on a whole answer, and leave everything else to the coroutine.

        Many servers write head and body one after the other. With an instruct nothing is lost by waiting for the rest.
        """
        self._proxy.runtime.callbacks.discard(self)
        attempts = self._attempts
        assert attempts is not None
        try:
            outcome = self._act(attempts)
        except Exception as exc:
            outcome = self._fail(exc)
        if outcome is not None:
            self._finish(outcome)

    def _act(self, attempts: Attempts) -> Outcome | None:
        """Answer with what has come; None if somebody will, later."""
        self._reply = reply = attempts.whole_reply()
        if reply is None:
            if (head := attempts.coming_head) is not None and self._is_instruct(head.headers):
                attempts.wait_on(self._on_news)
                self._proxy.runtime.callbacks.add(self)
                return None
        elif (encoded := self._proxy.last_relayed.find(reply, self._client)) is not None:
            self._status = reply.code
            self._client.respond_encoded(encoded, reply.take())
            return Outcome.RESPONSE
        elif not self._is_instruct(reply.headers):
            self._relay(reply)
            return Outcome.RESPONSE
        elif self._can_accept_at_once(reply):
            return run_at_once(self._accept(reply, attempts))
        self._task = self._proxy.runtime.spawn(self.run(), "exchange")
        return None

    def cancel(self) -> None:
        """Nobody waits any more for the answer to what `start` sent."""
        task, self._task = self._task, None  # once it was cancelled, it refers to us, even if it was never begun
        if task is not None:
            task.cancel()
        if not self._is_running:  # nor will it, if its task was cancelled before the first step
            self._proxy.runtime.callbacks.discard(self)
            assert self._attempts is not None
            self._attempts.abandon()
            self._finish(Outcome.ERROR)

    # --- every request ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the request, whatever happens."""
        self._is_running = True
        outcome = Outcome.ERROR
        try:
            outcome = await self._forward()
        except Exception as exc:
            outcome = self._fail(exc)
        finally:
            self._task = None  # if it was cancelled, it refers to us, and would wait for a collection of garbage
            self._finish(outcome)

    async def _forward(self) -> Outcome:
        client = self._client
        if self._attempts is None:
            _, request = self._prepare()
            prefix = client.take() if client.is_body_complete else await client.read_prefix(PREFIX_BYTES)
            self._attempts = Attempts(self._proxy, client, request, prefix)
        rule, attempts = self._rule, self._attempts
        assert rule is not None
        self._reply = reply = self._reply or await self._ask(attempts, rule)
        try:
            if self._is_instruct(reply.headers):
                return await self._accept(reply, attempts)
            if reply.is_complete:
                self._relay(reply)
            else:
                await self._stream(reply)
            return Outcome.RESPONSE
        finally:
            attempts.stop()
            reply.close(is_request_sent=attempts.is_body_sent)

    async def _ask(self, attempts: Attempts, rule: Rule) -> Reply:
        if self._sharing is None:
            return await attempts.run(rule)
        return await self._sharing.ask(attempts, rule, is_trusted=self._is_trusted)

    def _prepare(self) -> tuple[Rule, OriginRequest]:
        """Find the rule for the request, and make what goes to the backend. Raises ErrorAnswer and WireError."""
        proxy, client = self._proxy, self._client
        head = client.head
        if head.memo is not None and (known := self._recall(head.memo)) is not None:
            return known
        policy = proxy.policy
        is_tls = client.is_tls or (policy.accept_x_forwarded_protocol and is_tls_by_header(head.headers, policy))
        self._uri = uri = parse_client_uri(head.target, head.host, is_tls=is_tls)
        self._rule = rule = self._find_rule(uri, is_tls)
        if rule is not None:
            self._visit.arrive(rule)
        headers = head.headers
        terms = rule.cross_origin if rule is not None else proxy.cross_origin
        if terms is not None:
            self._uri, self._method, headers = ask_cross_origin(client, terms, uri)
            uri = self._uri
        if rule is None:
            raise ErrorAnswer(502, ROUTE_NOT_FOUND)
        self._is_trusted = proxy.is_trusted(head.headers)
        routes = proxy.routes
        if routes.has_event_targets and not self._is_trusted and _sends_events(headers) and routes.takes_events(rule):
            raise ErrorAnswer(403, EVENTS_FORBIDDEN)
        now_s = proxy.wall_clock()
        request = build_origin_request(
            rule,
            uri,
            self._method,
            headers,
            policy=policy,
            is_tls=is_tls,
            is_trusted=self._is_trusted,
            client_address=client.client_address,
            now_s=now_s,
            grip_last=self._retry.grip_last if self._retry is not None else (),
        )
        if rule.sig is not None and rule.sig.error is not None:
            log.error("failed to sign request: %s", rule.sig.error)
        if head.is_repeated:
            head.memo = make_request_recipe(proxy, client, uri, rule, request, now_s)
        return rule, request

    def _recall(self, recipe: object) -> tuple[Rule, OriginRequest] | None:
        """What `_prepare` has made of the same head before, unless it would make something else now."""
        proxy = self._proxy
        if not isinstance(recipe, RequestRecipe):
            return None
        if not recipe.is_for(proxy.routes, self._client, proxy.wall_clock()):
            return None
        self._uri = recipe.uri
        self._rule = rule = recipe.rule
        self._visit.arrive(rule)
        return rule, recipe.request

    def _find_rule(self, uri: ClientUri, is_tls: bool) -> Rule | None:
        """The rule for the request; one that is made again keeps its rule while that exists and fits (§1.8)."""
        routes = self._proxy.routes
        if self._retry is not None:
            rule = routes.find(uri.host, uri.path, proto=Proto.HTTP, is_tls=is_tls, route_id=self._retry.route_id)
            if rule is not None and (rule.path_beg is None or uri.path.startswith(rule.path_beg)):
                return rule
        wanted = self._proxy.wanted_route(self._client.head.headers)
        return routes.find(uri.host, uri.path, proto=Proto.HTTP, is_tls=is_tls, route_id=wanted)

    def _is_instruct(self, headers: Headers) -> bool:
        """Whether an answer is an instruct, and from somebody who may give us one."""
        assert self._rule is not None
        return not self._is_trusted and not self._rule.no_grip and is_instruct(headers)

    def _relay(self, reply: Reply) -> None:
        """Pass a complete answer through, in one go (routes spec §3.10)."""
        client = self._client
        self._status = reply.code
        self._proxy.last_relayed.note(reply)
        headers, body = relayed_headers(reply.headers, is_framed_anew=True), reply.take()
        if client.is_head_request or client.transform is not None:
            length = reply.content_length
            is_head_only = client.is_head_request and length is None
            client.respond(reply.code, reply.reason, headers, body, length=length, is_head_only=is_head_only)
        else:
            client.respond(reply.code, reply.reason, headers, body)

    async def _stream(self, reply: Reply) -> None:
        """Pass an answer through as it comes, as fast as the client takes it."""
        client = self._client
        self._status = reply.code
        headers = relayed_headers(reply.headers, is_framed_anew=True)
        client.start_response(reply.code, reply.reason, headers, reply.content_length)
        while content := await reply.read():
            client.write(content)
            await client.drain()
        client.end_response()

    def _can_accept_at_once(self, reply: Reply) -> bool:
        """Whether nothing has to be waited for: the whole instruct is here, and the client could be parked now."""
        return reply.is_complete and reply.body_bytes <= MAX_BODY_BYTES and self._client.can_hold_at_once

    async def _accept(self, reply: Reply, attempts: Attempts) -> Outcome:
        assert attempts.target is not None
        assert self._rule is not None
        assert self._uri is not None
        acceptor = Acceptor(self._proxy, self._client, self._uri, self._rule, attempts.target, self._visit.lend())
        try:
            is_held = await acceptor.run(reply, attempts)
        finally:
            self._visit.take_back(acceptor.presence)
        self._status = acceptor.status
        return Outcome.ACCEPT if is_held else Outcome.RESPONSE

    def _fail(self, exc: Exception) -> Outcome:
        """Answer a request that was not answered because of `exc`, if its client is still there."""
        match exc:
            case ErrorAnswer():
                return self._answer(exc)
            case WireError():
                return self._answer(ErrorAnswer(exc.status, exc.text))
            case BackendError():
                return self._break_off(exc)
            case ClientGone():
                return Outcome.ERROR
        uri = self._uri.text if self._uri else "an unparsable URI"
        log.error("request for %s failed", uri, exc_info=exc)
        return self._answer(ErrorAnswer(500, INTERNAL_ERROR))

    def _answer(self, answer: ErrorAnswer) -> Outcome:
        """Answer with an error of our own, or cut the response off if it has begun."""
        self._proxy.counters.request_errors += 1
        if self._client.has_started:
            self._client.abort()
            return Outcome.ERROR
        self._status = answer.code
        body = answer.body(is_debug=self._is_debug)
        if answer.is_last:
            self._client.make_last()
        self._client.respond(answer.code, answer.reason, TEXT_PLAIN, body, length=len(body))
        return Outcome.RESPONSE

    def _break_off(self, exc: BackendError) -> Outcome:
        """The backend broke off: 502, or when it is too late for that a response that is seen to be truncated."""
        uri = self._uri.text if self._uri else ""
        if not self._client.has_started:
            self._log_of_route.info("no whole answer to %s: %s", uri, exc)
            self._proxy.counters.backend_failures += 1
            return self._answer(origin_error(str(exc)))
        self._log_of_route.warning("response to %s truncated: %s", uri, exc)
        self._proxy.counters.responses_truncated += 1
        self._client.abort()
        return Outcome.ERROR

    @property
    def _log_of_route(self) -> Log:
        """Where messages about the request go, as far as its route wants them; errors always do."""
        return limited(log, self._rule.log_level if self._rule is not None else None)

    @property
    def _is_debug(self) -> bool:
        return self._rule.debug if self._rule is not None else self._proxy.is_debug

    def _finish(self, outcome: Outcome) -> None:
        """The request is answered or held, or given up; once, whoever says so again because the client leaves."""
        if self._is_over:
            return
        self._is_over = True
        proxy, attempts = self._proxy, self._attempts
        self._visit.end(attempts, self._reply)
        if proxy.request_log.is_enabled:
            log_request(
                proxy,
                self._client,
                outcome,
                rule=self._rule,
                uri=self._uri,
                target=attempts.target.text if attempts is not None and attempts.target is not None else None,
                status=self._status,
                method=self._method,
                is_retry=self._retry is not None,
                shared=attempts.shared if attempts is not None else None,
            )


def _sends_events(headers: Headers) -> bool:
    """Whether a client says what only a proxy may: what happened on a WebSocket (routes spec §3.11)."""
    for name, value in headers:
        # A loop that looks at lengths first, because every request passes here.
        if len(name) == 12 and name.lower() == b"content-type" and _media_type(value) == MEDIA_TYPE:
            return True
    return False


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()
