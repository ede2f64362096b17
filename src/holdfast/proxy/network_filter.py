"""Filters that ask the network: `http-check` and `http-modify` (grip spec §11.4)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson

from holdfast.errors import BackendError, BackendTimeout, BadResponse, ConnectError, WireError
from holdfast.grip.filters import Question, Verdict
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import grip_last_headers
from holdfast.proxy.origin import HoldOrigin
from holdfast.proxy.own_request import OwnRequest, OwnRequests
from holdfast.proxy.reply import Reply
from holdfast.push.render import ItemSkipped
from holdfast.routing.reference import resolve_reference
from holdfast.wire.headers import get_first

if TYPE_CHECKING:
    from holdfast.push.channels import FilteringHold

log = logging.getLogger("holdfast.proxy")

TIMEOUT_S = 10.0
MAX_CONTENT_BYTES = 100_000

REQUESTS_PER_SECOND = 100
"""To one URL. Others wait, unless they would have to for longer than `TIMEOUT_S`."""

MAX_PACES = 1000
"""URLs whose pace is kept; when there are more, those that are not in a hurry are forgotten."""


class NetworkFilters:
    """Runs the filters of holds, one item of a hold at a time."""

    def __init__(self, proxy: ProxyContext, requests: OwnRequests) -> None:
        self._proxy = proxy
        self._requests = requests
        self._paces: dict[str, float] = {}

    def filter(self, hold: FilteringHold) -> None:
        """See `holdfast.push.updates.Backends`."""
        self._proxy.runtime.spawn(self._run(hold), "filter")

    async def _run(self, hold: FilteringHold) -> None:
        rendering = hold.rendering()
        if rendering is None:
            return
        try:
            question = next(rendering)
            while True:
                question = rendering.send(await self._answer(hold, question))
        except StopIteration as done:
            result: Any = done.value  # of the kind that this hold renders
            hold.filtered(result)
        except ItemSkipped as skipped:
            hold.skipped(skipped)
        except Exception:
            log.exception("a filter of a %s failed", hold.describe())
            hold.skipped(ItemSkipped("filter error: failed", is_failure=True))

    async def _answer(self, hold: FilteringHold, question: Question) -> Verdict:
        """The verdict on one item; it never fails, a failure is a verdict too."""
        origin = cast(HoldOrigin, hold.origin)
        url = question.context.hold_meta.get("url")
        if not url:
            return Verdict(error="missing url value")
        try:
            uri = resolve_reference(origin.base, url)
        except WireError:
            return Verdict(error="invalid url value")
        headers = [
            (b"Sub-Meta", _encode_meta(question.context.hold_meta)),
            (b"Pub-Meta", _encode_meta(question.context.item_meta)),
        ]
        prev_ids = hold.intake.prev_ids if hold.intake is not None else {}
        grip_last = grip_last_headers(prev_ids, hold.plan.route.prefix)
        request = OwnRequest(b"POST", uri, origin.home, headers, grip_last, question.content)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if not await self._wait_for_turn(uri.text):
                    return Verdict(error="network request limit reached")
                self._proxy.counters.filter_requests += 1
                async with self._requests.turn, self._requests.ask(request) as reply:
                    return await _read(reply)
        except TimeoutError:
            return Verdict(error="network request failed: request timed out")
        except (ErrorAnswer, BackendError, WireError) as exc:
            log.info("filter request %s: %s", uri.text, exc)
            return Verdict(error=f"network request failed: {_describe(exc)}")

    async def _wait_for_turn(self, url: str) -> bool:
        """Space the requests to one URL, bursts of a second's worth allowed; False if the wait would be too long."""
        now_s = self._proxy.runtime.now()
        at_s = max(self._paces.get(url, 0.0), now_s) + 1 / REQUESTS_PER_SECOND
        wait_s = at_s - now_s - 1
        if wait_s > TIMEOUT_S:
            return False
        if len(self._paces) > MAX_PACES:
            self._paces = {known: due_s for known, due_s in self._paces.items() if due_s > now_s}
        self._paces[url] = at_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return True


def _encode_meta(meta: Mapping[str, str | None]) -> bytes:
    """A compact JSON object, without what counts as missing. JSON escapes what could break a line."""
    return orjson.dumps({key: value for key, value in meta.items() if value is not None})


async def _read(reply: Reply) -> Verdict:
    """What an answer says: 200 with the new content, or 204, unless its `Action` is to drop the item."""
    if reply.code not in (200, 204):
        return Verdict(error=f"unexpected network request status: code={reply.code}")
    if get_first(reply.headers, b"action") == b"drop":
        return Verdict(is_drop=True)
    if reply.code == 204:
        return Verdict()
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.read():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_CONTENT_BYTES:
            return Verdict(error=f"network response exceeded {MAX_CONTENT_BYTES} bytes")
    return Verdict(content=b"".join(pieces))


def _describe(exc: BaseException) -> str:
    """The protocol's words for a failure."""
    cause = exc.__cause__ if isinstance(exc, ErrorAnswer) else exc
    if isinstance(cause, BackendTimeout):
        return "request timed out"
    if isinstance(cause, BadResponse):
        return "disconnected"
    if isinstance(cause, ConnectError):
        return _describe_connect(cause)
    return "general error"


def _describe_connect(error: ConnectError) -> str:
    cause = error.__cause__
    if isinstance(cause, TimeoutError):
        return "connection timed out"
    if isinstance(cause, ssl.SSLError):
        return "tls error"
    return "connection refused" if isinstance(cause, ConnectionRefusedError) else "general error"
