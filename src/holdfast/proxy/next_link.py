"""Following next links: one question for all streams that ask the same, its answer to all of them (grip spec §6.6).

Streams share an answer when they ask the same URI and have the same items, and when the question was put after their
reason to ask arose: what was asked before cannot know of it. An answer is kept for a moment, so that thousands of
streams which are told one after the other to ask need not come at the same time to share it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias, cast

from holdfast.errors import BackendError, GripError, WireError
from holdfast.grip.filters import BuildIdStream, has_response_filter
from holdfast.grip.instruct import missing_link, parse_instruct_head
from holdfast.grip.values import HoldMode, Instruct
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import grip_last_headers
from holdfast.proxy.origin import HoldOrigin, LinkTarget
from holdfast.proxy.own_request import OwnRequest, OwnRequests
from holdfast.proxy.reply import Reply
from holdfast.push.link import MAX_HOPS, Link
from holdfast.push.plan import HoldPlan, RouteTerms
from holdfast.push.recovering_stream import RecoveringStream
from holdfast.routing.reference import resolve_reference
from holdfast.routing.uri import ClientUri

log = logging.getLogger("holdfast.proxy")

FAILED = "Failed to retrieve next link."
TOO_LONG = "Next link chain is too long."
NOT_A_STREAM = "Next link returned non-stream hold."

SHARED_BYTES = 65536
"""Of an answer's body that are kept for those who come later; a longer answer admits nobody once it has begun."""

RECENT_S = 1.0
"""How long a complete answer is kept."""

SLICE = 200
"""Holds served in one turn of the loop: each is more work than a write of the fan-out."""

LAGGARDS_S = 5.0
"""How long an answer in many pieces waits for clients that are slow to take it, before their outbox has to do."""

MAX_DELAY_S = 16

LOOK_S = 1.0
"""How often it is looked, before a link is asked again, whether anybody still waits for it."""

Key: TypeAlias = tuple[LinkTarget, frozenset[tuple[str, str]]]


class NextLinks:
    """The questions that are being asked, by what they ask."""

    def __init__(self, proxy: ProxyContext, requests: OwnRequests) -> None:
        self.proxy = proxy
        self.requests = requests
        self._fetches: dict[Key, _Fetch] = {}

    def __len__(self) -> int:
        return len(self._fetches)

    def follow(self, hold: RecoveringStream, since_s: float) -> bool:
        """See `holdfast.push.updates.Backends`."""
        assert hold.intake is not None
        assert hold.intake.link is not None
        key = (cast(LinkTarget, hold.intake.link.target), frozenset(hold.intake.prev_ids.items()))
        fetch = self._fetches.get(key)
        if fetch is not None and fetch.admits(since_s):
            self.proxy.counters.links_shared += 1
            fetch.join(hold)
            return False
        fetch = self._fetches[key] = _Fetch(self, key, hold)
        self.proxy.runtime.spawn(fetch.run(), "next link")
        return True

    def forget(self, key: Key, fetch: _Fetch) -> None:
        """Nobody can join `fetch` any more."""
        if self._fetches.get(key) is fetch:
            del self._fetches[key]
        fetch.close()


class _Fetch:
    """One question, asked until it is answered, and the streams that wait for the answer."""

    def __init__(self, links: NextLinks, key: Key, first: RecoveringStream) -> None:
        self._links = links
        self._key = key
        self._members: list[RecoveringStream] = [first]
        self._asked_s = math.inf
        self._failures = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._has_relayed = False
        self._answered_s = 0.0
        self._conclude: Callable[[RecoveringStream], None] | None = None
        self._late: list[tuple[RecoveringStream, Callable[[RecoveringStream], None]]] = []

    # --- who takes part --------------------------------------------------------------------------------------------

    def admits(self, since_s: float) -> bool:
        """Whether the answer will do for somebody who has had to ask since then."""
        return since_s <= self._asked_s and self._body_bytes <= SHARED_BYTES

    def join(self, hold: RecoveringStream) -> None:
        """Take part, and be given what has come already."""
        if self._conclude is not None:
            # Not now: the hold may be in the middle of something, and a chain would nest as deep as it is long.
            if not self._late:
                self._links.proxy.runtime.loop.call_soon(self._serve_late)
            self._late.append((hold, self._conclude))
            return
        self._members.append(hold)
        if self._has_relayed:
            hold.relay(b"".join(self._body))

    def _serve_late(self) -> None:
        """Serve some of those who came when the answer was complete; then it is somebody else's turn."""
        late, self._late = self._late[:SLICE], self._late[SLICE:]
        if self._late:
            self._links.proxy.runtime.loop.call_soon(self._serve_late)
        for hold, conclude in late:
            self._serve(hold, conclude)

    def _serve(self, hold: RecoveringStream, conclude: Callable[[RecoveringStream], None]) -> None:
        """Give the whole answer to one who came when it was complete."""
        if hold.is_open:
            self._act(hold, lambda served: served.relay(b"".join(self._body)))
            self._act(hold, conclude)

    def _act(self, hold: RecoveringStream, act: Callable[[RecoveringStream], None]) -> None:
        """Do something to one stream. If that fails it ends, and the others go on."""
        try:
            act(hold)
        except Exception:
            log.exception("next link %s: a %s failed", self._key[0].uri.text, hold.describe())
            hold.end()

    def close(self) -> None:
        """Nobody joins any more. The conclusion refers to us and to plans, and would keep both until a collection."""
        self._conclude = None

    async def _all(self) -> AsyncIterator[RecoveringStream]:
        """Those who take part now, in slices."""
        members = self._members[:]
        for start in range(0, len(members), SLICE):
            if start:
                await asyncio.sleep(0)
            for hold in members[start : start + SLICE]:
                if hold.is_open:
                    yield hold

    def _is_wanted(self) -> bool:
        """Whether anybody still waits for the answer; if not, nobody can join any more."""
        self._members = [hold for hold in self._members if hold.is_open]
        if not self._members:
            self._links.forget(self._key, self)
        return bool(self._members)

    # --- asking ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask until there is an answer, or nobody who waits for one."""
        try:
            while self._members:
                failure = await self._ask()
                if failure is None:
                    self._links.proxy.runtime.loop.call_later(RECENT_S, self._links.forget, self._key, self)
                    return
                await self._back_off(failure)
        except Exception:
            log.exception("following the next link %s failed", self._key[0].uri.text)
            await self._end_all(FAILED)
        self._links.forget(self._key, self)

    async def _ask(self) -> str | None:
        """Ask once; why that was in vain, or None."""
        async with self._links.requests.turn:
            if not self._is_wanted():
                return None
            self._asked_s = self._links.proxy.runtime.now()
            try:
                async with self._links.requests.ask(self._request()) as reply:
                    if not 200 <= reply.code < 300:
                        return f"status {reply.code}"
                    await self._take(reply)
            except (ErrorAnswer, BackendError, WireError) as exc:
                if not self._has_relayed:
                    return str(exc)
                log.warning("answer of next link %s broken off: %s", self._key[0].uri.text, exc)
                await self._end_all(FAILED)
        return None

    def _request(self) -> OwnRequest:
        target, prev_ids = self._key
        grip_last = grip_last_headers(dict(prev_ids), self._members[0].plan.route.prefix)
        return OwnRequest(b"GET", target.uri, target.home, grip_last=grip_last)

    async def _back_off(self, failure: str) -> None:
        """Count a failure against everybody who waited for it, and wait before the next try (grip spec §6.7)."""
        self._asked_s = math.inf
        self._failures += 1
        self._links.proxy.counters.links_failed += 1
        log.info("next link %s: %s", self._key[0].uri.text, failure)
        async for hold in self._all():
            if hold.fail_link():
                self._end(hold, FAILED)
        delay_s = min(2 ** (self._failures - 1), MAX_DELAY_S) + self._links.proxy.holds.jitter()
        while self._is_wanted() and delay_s > 0:
            await asyncio.sleep(min(delay_s, LOOK_S))
            delay_s -= LOOK_S

    # --- the answer ------------------------------------------------------------------------------------------------

    async def _take(self, reply: Reply) -> None:
        """Relay the body of the answer as it comes, then act on its instruct, which is read from headers only."""
        try:
            instruct = parse_instruct_head(reply.code, reply.reason, reply.headers)
            if instruct.mode is HoldMode.RESPONSE:
                raise GripError(NOT_A_STREAM)
            stream = BuildIdStream(instruct.meta) if has_response_filter(instruct.subscriptions) else None
            conclude = self._conclusion(instruct)
            while content := await reply.read():
                if not self._is_wanted():  # the rest may be without end
                    return
                if self._has_relayed:
                    await self._wait_for_laggards()
                await self._relay(content if stream is None else stream.feed(content))
            if stream is not None:
                stream.finish()
        except GripError as exc:
            await self._end_all(str(exc))
            return
        self._conclude = conclude
        self._answered_s = self._links.proxy.runtime.now()
        async for hold in self._all():
            self._act(hold, conclude)
        self._members.clear()

    async def _relay(self, content: bytes) -> None:
        if not content:
            return
        self._has_relayed = True
        self._body_bytes += len(content)
        if self._body_bytes <= SHARED_BYTES:
            self._body.append(content)
        else:
            self._body.clear()
        async for hold in self._all():
            self._act(hold, lambda member: member.relay(content))

    async def _wait_for_laggards(self) -> None:
        """Wait a while for clients that have not taken the piece before."""
        blocked = {hold for hold in self._members if hold.is_open and hold.outlet.is_blocked}
        if not blocked:
            return
        is_free = asyncio.Event()

        def release(hold: RecoveringStream) -> None:
            blocked.discard(hold)
            if not blocked:
                is_free.set()

        for hold in blocked:
            hold.when_drained(partial(release, hold))
        try:
            async with asyncio.timeout(LAGGARDS_S):
                await is_free.wait()
        except TimeoutError:
            log.info("next link %s: %d clients are slow to take the answer", self._key[0].uri.text, len(blocked))

    def _conclusion(self, instruct: Instruct) -> Callable[[RecoveringStream], None]:
        """What the instruct does to each stream, once the body is relayed. Raises GripError."""
        if instruct.mode is None and instruct.next_link is None:
            return RecoveringStream.end
        text = missing_link(instruct)
        if text is not None:
            return lambda hold: self._end(hold, text)
        asked, home = self._key[0]
        target = None
        if instruct.next_link is not None:
            try:
                target = LinkTarget(resolve_reference(asked, instruct.next_link.uri), home)
            except WireError as exc:
                raise GripError(f"Grip-Link contains invalid link: {exc}") from exc
        if instruct.mode is None:
            assert target is not None
            return lambda hold: self._follow_on(hold, target, asked)
        plans: dict[RouteTerms, HoldPlan] = {}
        timeout_s = instruct.next_link.timeout_s if instruct.next_link is not None else 0

        def resume(hold: RecoveringStream) -> None:
            plan = plans.get(hold.plan.route)
            if plan is None:
                plan = plans[hold.plan.route] = self._links.proxy.plan(instruct, hold.plan.route, asked.text)
            link = Link(target, timeout_s) if target is not None else None
            hold.resume(plan, link, replace(_origin(hold), base=asked), self._asked_s)

        return resume

    def _follow_on(self, hold: RecoveringStream, target: LinkTarget, asked: ClientUri) -> None:
        """The answer has no hold: ask where it points (grip spec §6.5)."""
        assert hold.intake is not None
        assert hold.intake.link is not None
        hops = hold.intake.link.hops + 1
        if hops >= MAX_HOPS:
            self._end(hold, TOO_LONG)
        else:
            hold.follow_on(Link(target, 0, hops), replace(_origin(hold), base=asked), self._answered_s)

    async def _end_all(self, text: str) -> None:
        self._links.forget(self._key, self)  # whoever comes from now on asks anew
        async for hold in self._all():
            self._act(hold, lambda member: self._end(member, text))
        self._members.clear()

    def _end(self, hold: RecoveringStream, text: str) -> None:
        """End a stream because of its link; why is shown in debug mode (grip spec §6.1)."""
        self._links.proxy.counters.streams_unlinked += 1
        client, uri = hold.outlet.describe(), self._key[0].uri.text
        log.warning("client %s, %s: ended because of next link %s: %s", client, hold.describe(), uri, text)
        hold.end(f"\n\n{text}\n" if hold.plan.route.is_debug else "")


def _origin(hold: RecoveringStream) -> HoldOrigin:
    return cast(HoldOrigin, hold.origin)
