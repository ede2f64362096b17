"""Asking a backend again on behalf of a client whose long poll is held (grip spec §5.6)."""

from __future__ import annotations

from typing import cast

from holdfast.net.outlets import Outlet
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import HeldRequest, RetryTerms, grip_last_headers
from holdfast.proxy.http_exchange import HttpExchange
from holdfast.push.holds import ResponseHold


def retry_hold(proxy: ProxyContext, hold: ResponseHold) -> None:
    """Make a hold that has left its channels ask again; what comes of it answers its client, or holds it anew."""
    proxy.runtime.spawn(_retry(proxy, hold), "retry")


async def _retry(proxy: ProxyContext, hold: ResponseHold) -> None:
    request = hold.request
    assert isinstance(request, HeldRequest)
    # The hold sees the narrow side of what `ClientExchange.hold` returned.
    outlet = cast(Outlet, hold.outlet)
    exchange = await outlet.reopen(request.parse(), request.body)
    if exchange is not None:
        grip_last = grip_last_headers(hold.prev_ids or {}, hold.plan.route.prefix)
        await HttpExchange(proxy, exchange, RetryTerms(request.route_id, grip_last)).run()
