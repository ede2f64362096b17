"""Clients whose response is held, parked or with their transport, seen from all sides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tests.unit.net.helpers import OUTBOX, Owner, Peer, Stage, echo, eventually, get, staged

from holdfast.net.exchange import ClientExchange
from holdfast.net.outlets import ConnectionOutlet, OutboxLimits
from holdfast.net.parked_client import ParkedClient

FIRST = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Client = TypeVar("Client", ParkedClient, ConnectionOutlet)


@dataclass
class Held(Generic[Client]):
    """A client whose response is held."""

    stage: Stage
    peer: Peer
    owner: Owner
    client: Client

    @property
    def is_released(self) -> bool:
        return self.stage.lot is not None and not len(self.stage.lot) and self.stage.edge.open_connections == 0


@asynccontextmanager
async def held_as(
    kind: type[Client],
    *,
    first: bytes = FIRST,
    pipelined: bytes = b"",
    outbox: OutboxLimits = OUTBOX,
    is_slow: bool = False,
) -> AsyncIterator[Held[Client]]:
    """A stage with one client whose request for `/hold` is held; all other requests are answered at once."""
    owner = Owner()

    def answer(exchange: ClientExchange) -> Coroutine[Any, Any, None] | None:
        if exchange.head.target == b"/hold":
            return owner.hold(exchange, first)
        echo(exchange)
        return None

    async with staged(answer, outbox=outbox, has_parking=kind is ParkedClient) as stage:
        peer = await stage.ask(get(b"/hold") + pipelined, is_slow=is_slow)
        await eventually(lambda: owner.outlet, "held")
        assert isinstance(owner.outlet, kind)
        yield Held(stage, peer, owner, owner.outlet)
