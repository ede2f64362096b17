"""Asking backends on behalf of holds: the far side of `holdfast.push.updates` (grip spec §5.6, §6.6, §6.9, §11.4)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from holdfast.errors import BackendError, WireError
from holdfast.logs import LIMITED
from holdfast.net.outlets import Outlet
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import HeldRequest, RetryTerms, grip_last_headers
from holdfast.proxy.http_exchange import HttpExchange
from holdfast.proxy.network_filter import NetworkFilters
from holdfast.proxy.next_link import NextLinks
from holdfast.proxy.origin import HoldOrigin
from holdfast.proxy.own_request import OwnRequest, OwnRequests
from holdfast.push.recovering_stream import RecoveringStream
from holdfast.push.response_hold import ResponseHold

if TYPE_CHECKING:
    from holdfast.push.channels import FilteringHold, Hold

log = logging.getLogger("holdfast.proxy")

MAX_REPORTS = 10_000
"""Ends of holds that are being reported, or wait for it. Backends may take a minute for each; clients need less."""


class HeldBackends:
    """Asks backends for holds: see `holdfast.push.updates.Backends`."""

    def __init__(self, proxy: ProxyContext) -> None:
        self._proxy = proxy
        self._requests = OwnRequests(proxy)
        self._links = NextLinks(proxy, self._requests)
        self._filters = NetworkFilters(proxy, self._requests)
        self._reports = 0

    def retry(self, hold: ResponseHold) -> None:
        """Make the request of a long poll again; what comes of it answers its client, or holds it anew."""
        self._proxy.runtime.spawn(self._retry(hold), "retry")

    def follow(self, hold: RecoveringStream, since_s: float) -> bool:
        """Ask the next link of a stream."""
        return self._links.follow(hold, since_s)

    def filter(self, hold: FilteringHold) -> None:
        """Run filters that ask the network."""
        self._filters.filter(hold)

    def hold_ended(self, hold: Hold) -> None:
        """Tell the backend that its client is gone, if it wants to know."""
        origin = cast(HoldOrigin, hold.origin)
        if self._begin_report(origin):
            self._proxy.runtime.spawn(self._report_gone(origin), "gone link")

    def _begin_report(self, origin: HoldOrigin) -> bool:
        """Whether the backend wants to know, and there is room for one more to tell it; `_report_gone` must follow."""
        if origin.gone is None:
            return False
        if self._reports >= MAX_REPORTS:
            self._proxy.counters.gone_reports_failed += 1
            log.warning("gone link %s: not asked, %d others wait", origin.gone.text, self._reports, extra=LIMITED)
            return False
        self._reports += 1
        return True

    async def _retry(self, hold: ResponseHold) -> None:
        if hold.origin is not None and self._begin_report(cast(HoldOrigin, hold.origin)):
            try:
                await self._report_gone(cast(HoldOrigin, hold.origin))
            except Exception:
                log.exception("reporting the end of a %s failed", hold.describe())
        request = hold.request
        assert isinstance(request, HeldRequest)
        # The hold sees the narrow side of what `ClientExchange.hold` returned.
        outlet = cast(Outlet, hold.outlet)
        exchange = outlet.reopen(request.parse(), request.body)
        if exchange is None:
            hold.depart()
        else:
            presence, hold.presence = hold.presence, None
            prev_ids = hold.intake.prev_ids if hold.intake is not None else {}
            grip_last = grip_last_headers(prev_ids, hold.plan.route.prefix)
            await HttpExchange(self._proxy, exchange, RetryTerms(request.route_id, grip_last, presence)).run()

    async def _report_gone(self, origin: HoldOrigin) -> None:
        """One POST without a body; nobody waits for what comes of it, and it is not repeated (grip spec §6.9)."""
        assert origin.gone is not None
        self._proxy.counters.gone_reported += 1
        request = OwnRequest(b"POST", origin.gone, origin.home)
        try:
            async with self._requests.turn, self._requests.ask(request) as reply:
                failure = None if 200 <= reply.code < 300 and not await reply.read() else f"status {reply.code}"
        except (ErrorAnswer, BackendError, WireError) as exc:
            failure = str(exc)
        finally:
            self._reports -= 1
        if failure is not None:
            self._proxy.counters.gone_reports_failed += 1
            log.warning("gone link %s: %s", origin.gone.text, failure)
