"""Asking a web server with events that must not be lost, although it cannot be reached for a while (ws spec §1.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.errors import ConnectError
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.reply import Reply
from holdfast.proxy.whole_request import WholeRequest

MAX_RETRIES = 5

T = TypeVar("T")


async def ask_until_connected(
    proxy: ProxyContext, make: Callable[[], WholeRequest], read: Callable[[Reply], Awaitable[T]]
) -> T:
    """What `read` makes of the answer to a request, which is made again and again if the backend cannot be reached.

    Args:
        make: makes the request anew: its signature is valid for an hour.

    Raises:
        ErrorAnswer: there is no proper answer, or after all retries no connection.
    """
    retries = 0
    while True:
        proxy.counters.websocket_requests += 1
        try:
            async with make() as reply:
                return await read(reply)
        except ErrorAnswer as exc:
            if not isinstance(exc.__cause__, ConnectError) or retries >= MAX_RETRIES:
                raise
        delay_s = 2**retries + proxy.holds.jitter()
        retries += 1
        proxy.counters.websocket_retries += 1
        await asyncio.sleep(delay_s)
