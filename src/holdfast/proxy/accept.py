"""Acting on an instruct: answer, or hold the client (grip spec §1, §5.1, §6.1)."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace

from holdfast.errors import GripError
from holdfast.grip.filters import FilterError, filter_response
from holdfast.grip.instruct import (
    can_stream_body,
    missing_link,
    parse_instruct,
    parse_instruct_head,
    parse_streamed_response,
)
from holdfast.grip.values import BackendResponse, HoldMode, Instruct
from holdfast.logs import limited
from holdfast.net.exchange import ClientExchange
from holdfast.net.outlets import Outlet
from holdfast.proxy.answers import ACCEPT_UNAVAILABLE, TOO_LARGE_FOR_GRIP, ErrorAnswer, origin_error
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import HeldRequest
from holdfast.proxy.recipe import Recipe
from holdfast.proxy.reply import Reply, read_limited
from holdfast.proxy.ties import NO_TIES, Ties, tie
from holdfast.push.outlet import Framing
from holdfast.push.plan import HoldPlan, RouteTerms
from holdfast.push.recovering_stream import make_stream
from holdfast.push.response_hold import ResponseHold
from holdfast.push.stream_hold import StreamHold
from holdfast.routing.rules import Rule, Target
from holdfast.routing.uri import ClientUri
from holdfast.statistics.connections import Presence
from holdfast.wire.http1.encode import encode_chunk, encode_response_head

log = logging.getLogger("holdfast.proxy")

MAX_BODY_BYTES = 100_000
"""Of a request that may be held, and of an instruct (grip spec §1.4)."""

_HEAD_ONLY_CODES = frozenset({204, 304})

_FRAMINGS = {
    (is_http11, is_persistent, is_bodyless): Framing(is_http11, is_persistent, is_bodyless)
    for is_http11 in (False, True)
    for is_persistent in (False, True)
    for is_bodyless in (False, True)
}


class Acceptor:
    """Turns a backend's instruct into an answer or a hold.

    Attributes:
        status: status of the answer, for the request log; None when the client is held.
        presence: the client's connection, as statistics know it; None once a hold has taken it over.
    """

    __slots__ = ("_client", "_proxy", "_rule", "_target", "_uri", "presence", "status")

    def __init__(
        self,
        proxy: ProxyContext,
        client: ClientExchange,
        uri: ClientUri,
        rule: Rule,
        target: Target,
        presence: Presence,
    ) -> None:
        self.presence: Presence | None = presence
        self._proxy = proxy
        self._client = client
        self._uri = uri
        self._rule = rule
        self._target = target
        self.status: int | None = None

    async def run(self, reply: Reply, attempts: Attempts) -> bool:
        """Act on the instruct; returns whether the client is held.

        Args:
            attempts: what was sent of the client's request, which may still be coming.

        Raises:
            ErrorAnswer: the instruct is not valid, or it or the request is too large.
        """
        self._check_size(attempts.body)
        body = await read_limited(reply, MAX_BODY_BYTES)
        if len(body) > MAX_BODY_BYTES:
            if can_stream_body(reply.headers):
                return await self._stream_body(reply, body)
            raise self._refuse(f"GRIP instruct response too large from {self._target.text}")
        recipe = self._proxy.last_recipe
        if recipe is not None and self._client.transform is None:
            plan = recipe.plan_for(reply, body, self._rule, self._target, self._framing())
            if plan is not None:
                return await self._follow(recipe, plan, attempts)
        try:
            instruct = parse_instruct(reply.code, reply.reason, reply.headers, body)
            ties = tie(instruct, self._uri, self._rule)
        except GripError as exc:
            raise self._refuse(f"Failed to parse accept instructions: {exc}") from exc
        if instruct.mode is HoldMode.RESPONSE:
            plan = self._plan(instruct)
            self._remember(reply, body, instruct, ties, plan)
            return await self._hold_response(plan, ties, attempts)
        if instruct.mode is None and ties.link is None:
            self._answer(instruct)
            return False
        return await self._begin_stream(instruct, ties, reply, body)

    async def _follow(self, recipe: Recipe, plan: HoldPlan, attempts: Attempts) -> bool:
        """Hold the client like the one before."""
        if plan.kept is not None:
            return await self._hold_response(plan, NO_TIES, attempts)
        self._client.head_bytes_sent = recipe.head_bytes
        self._client.body_bytes_sent = recipe.content_bytes
        await self._open_stream(plan, NO_TIES, recipe.first)
        return True

    def _remember(
        self, reply: Reply, body: bytes, instruct: Instruct, ties: Ties, plan: HoldPlan, first: bytes = b""
    ) -> None:
        """Keep how a client was held, if the next could be held like that."""
        client = self._client
        is_whole = len(instruct.subscriptions) <= self._proxy.plans.subscription_max  # else it has to be said each time
        if ties is NO_TIES and client.transform is None and is_whole:
            self._proxy.last_recipe = Recipe(
                reply.headers,
                body,
                self._rule,
                self._target,
                self._framing(),
                weakref.ref(plan),
                first,
                client.head_bytes_sent,
                client.body_bytes_sent,
            )

    # --- without a hold --------------------------------------------------------------------------------------------

    def _answer(self, instruct: Instruct) -> None:
        """Neither hold nor link: an ordinary, complete response (grip spec §1.6)."""
        response = self._filtered(instruct)
        self.status = response.code
        self._client.respond(response.code, response.reason, response.headers, response.body)

    # --- long polls ------------------------------------------------------------------------------------------------

    async def _hold_response(self, plan: HoldPlan, ties: Ties, attempts: Attempts) -> bool:
        """Keep the response, and send nothing (grip spec §5.1).

        Not before all of the request is here, which backends may answer earlier: it may have to be made again.
        """
        request_body = await attempts.whole_body()
        self._check_size(request_body)
        request = HeldRequest.of(self._client.head, request_body, self._rule)
        framing, transform = self._framing(), self._client.transform
        if transform is not None:
            framing = self._proxy.holds.framings.find(framing, transform)
        hold = ResponseHold(self._proxy.holds, plan, framing, request, ties.origin)
        outlet = await self._client.hold(hold, b"")
        if outlet is not None:
            self._hand_over(hold, outlet)
            hold.open(outlet)
        return True

    def _hand_over(self, hold: ResponseHold | StreamHold, outlet: Outlet) -> None:
        """From now on the connection is the hold's."""
        presence, self.presence = self.presence, None
        if presence is not None:
            presence.peer = outlet
            hold.presence = presence
            self._proxy.holds.statistics.connections.begin(presence)

    # --- streams ---------------------------------------------------------------------------------------------------

    async def _begin_stream(self, instruct: Instruct, ties: Ties, reply: Reply, instruct_body: bytes) -> bool:
        """Send the initial response, then hold (grip spec §6.1)."""
        failure: ErrorAnswer | None = None
        try:
            response = self._filtered(instruct)
        except ErrorAnswer as answer:
            response, failure = instruct.response, answer
        if self._client.is_head_request or response.code in _HEAD_ONLY_CODES:
            self.status = response.code
            self._client.respond(response.code, response.reason, response.headers, b"", is_head_only=True)
            return False
        framing, headers = self._framing(), response.headers
        if self._client.transform is not None:
            headers = self._client.transform.cors.with_headers(headers)
        head = encode_response_head(
            response.code,
            response.reason,
            headers,
            is_http11=framing.is_http11,
            is_persistent=framing.is_persistent and framing.is_http11,
            is_chunked=framing.is_http11,
        )
        if failure is not None:
            return await self._open_any_stream(instruct, ties, head, failure.debug_text)
        body = encode_chunk(response.body) if framing.is_http11 and response.body else response.body
        self._client.head_bytes_sent = len(head)
        self._client.body_bytes_sent = len(response.body)
        missing = missing_link(instruct)
        if instruct.mode is None or missing is not None:
            return await self._open_any_stream(instruct, ties, head + body, missing)
        plan = self._plan(instruct)
        self._remember(reply, instruct_body, instruct, ties, plan, head + body)
        await self._open_stream(plan, ties, head + body)
        return True

    async def _stream_body(self, reply: Reply, beginning: bytes) -> bool:
        """A body over the limit goes to the client as it comes, and the hold starts when it ends (grip spec §1.4)."""
        client = self._client
        try:
            head = parse_streamed_response(reply.code, reply.reason, reply.headers)
        except GripError as exc:
            self._proxy.counters.instruct_errors += 1
            raise ErrorAnswer(500, ACCEPT_UNAVAILABLE) from exc
        self.status = head.code
        if head.code in _HEAD_ONLY_CODES:
            client.respond(head.code, head.reason, head.headers, b"")
            return False
        if client.transform is not None:
            client.transform = client.transform.cors  # what may become a stream is none of JSON-P
        client.start_response(head.code, head.reason, head.headers, None)
        content = beginning
        while content:
            client.write(content)
            await client.drain()
            content = await reply.read()
        try:
            instruct = parse_instruct_head(reply.code, reply.reason, reply.headers)
            ties = tie(instruct, self._uri, self._rule)
        except GripError as exc:
            failure = self._refuse(f"Failed to parse accept instructions: {exc}")
            if self._rule.debug:
                client.write(f"\n\n{failure}\n".encode())
            client.end_response()
            return False
        if client.is_head_request:
            client.end_response()
            return False
        return await self._open_any_stream(instruct, ties, b"", missing_link(instruct))

    async def _open_any_stream(self, instruct: Instruct, ties: Ties, first: bytes, failure: str | None) -> bool:
        """Send `first`, subscribe; `failure`, when not None, ends the stream at once (shown in debug mode).

        Without a hold only the link counts, and it is asked at once (grip spec §6.5).
        """
        is_held = instruct.mode is HoldMode.STREAM
        if not is_held:
            instruct = replace(instruct, subscriptions=(), keep_alive=None)
        hold = await self._open_stream(self._plan(instruct), ties, first)
        if failure is not None:
            hold.end(f"\n\n{failure}\n" if self._rule.debug else "")
        elif not is_held:
            hold.update(self._proxy.runtime.now(), is_urgent=True)
        return True

    async def _open_stream(self, plan: HoldPlan, ties: Ties, first: bytes) -> StreamHold:
        """Send `first` and subscribe; nothing becomes of it if the client turns out to have left."""
        hold = make_stream(self._proxy.holds, plan, self._framing(), ties.link, ties.origin)
        outlet = await self._client.hold(hold, first)
        if outlet is not None:
            self._hand_over(hold, outlet)
            hold.open(outlet)
        return hold

    # --- shared ----------------------------------------------------------------------------------------------------

    def _check_size(self, request_body: bytes) -> None:
        """Refuse a request that is longer than GRIP allows. Raises ErrorAnswer."""
        if len(request_body) > MAX_BODY_BYTES or (self._client.head.content_length or 0) > MAX_BODY_BYTES:
            raise ErrorAnswer(400, TOO_LARGE_FOR_GRIP)

    def _plan(self, instruct: Instruct) -> HoldPlan:
        """The shared part of the hold."""
        terms = RouteTerms(
            key=self._rule.key,
            prefix=self._rule.prefix,
            is_debug=self._rule.debug,
            implicit_channels=self._target.subs,
        )
        return self._proxy.plan(instruct, terms, self._target.text, self._rule.log_level)

    def _framing(self) -> Framing:
        head = self._client.head
        return _FRAMINGS[head.is_http11, self._client.is_persistent, head.method == b"HEAD"]

    def _filtered(self, instruct: Instruct) -> BackendResponse:
        """The response after the response filters of its channels (grip spec §11.3)."""
        response = instruct.response
        try:
            body = filter_response(instruct.subscriptions, instruct.meta, response.body)
        except FilterError as exc:
            raise self._refuse(str(exc)) from exc
        return replace(response, body=body) if body is not response.body else response

    def _refuse(self, debug_text: str) -> ErrorAnswer:
        """502 because of the instruct (grip spec §1.5)."""
        self._proxy.counters.instruct_errors += 1
        limited(log, self._rule.log_level).warning("target %s: %s", self._target.text, debug_text)
        return origin_error(debug_text)
