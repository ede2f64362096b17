"""What every proxied exchange uses: routes, policies, pools and the places that holds are kept in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.counters import Counters
from holdfast.grip.signature import Verifier
from holdfast.grip.values import Instruct
from holdfast.logs import RequestLog, limited
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot
from holdfast.net.pool import BackendPool
from holdfast.net.runtime import Runtime
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.recipe import Recipe
from holdfast.proxy.relayed_head import RelayedHead
from holdfast.proxy.socket_recipe import SocketRecipe
from holdfast.proxy.sockjs_sessions import SockJsSessions
from holdfast.proxy.zhttp_backends import ZhttpBackends
from holdfast.push.outlet import HoldContext
from holdfast.push.plan import HoldPlan, PlanTable, RouteTerms
from holdfast.routing.forward import ForwardPolicy
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.table import RouteTable
from holdfast.wire.headers import Headers, get_first

log = logging.getLogger("holdfast.proxy")


@dataclass(slots=True, eq=False)
class ProxyContext:
    """The parts that the composition root puts together for the proxy.

    Args:
        routes: the table in force; replaced as a whole when the routes are reloaded.
        verifier: recognises requests of a GRIP proxy in front of us; None when there is no `upstream_key`.
        wall_clock: seconds since 1970, for signatures.
        parking, outbox_limits: for the backends of WebSockets; no parking where there is no epoll.
        allow_compression: whether WebSocket clients may compress.
        zhttp: the backends that connect by ZeroMQ.
        websocket_idle_s: silence both ways that ends a WebSocket.
        farewells: sessions whose client is gone.
        sockjs: the SockJS clients that come over HTTP.
        last_recipe, last_opening: how the last client was held, and the last WebSocket over HTTP was opened.
        last_relayed: the head of the answer that was relayed last.
        cross_origin: how requests without a route are answered that scripts of other origins make.
    """

    runtime: Runtime
    routes: RouteTable
    policy: ForwardPolicy
    pool: BackendPool
    holds: HoldContext
    plans: PlanTable
    verifier: Verifier | None
    request_log: RequestLog
    is_debug: bool
    wall_clock: Callable[[], float]
    parking: ParkingLot | None
    outbox_limits: OutboxLimits
    allow_compression: bool
    websocket_idle_s: float
    zhttp: ZhttpBackends
    farewells: Farewells
    sockjs: SockJsSessions
    cross_origin: JsonpTerms | None = None
    last_recipe: Recipe | None = None
    last_opening: SocketRecipe | None = None
    last_relayed: RelayedHead = field(default_factory=RelayedHead)

    @property
    def counters(self) -> Counters:
        """The counters of the process."""
        return self.runtime.counters

    def plan(self, instruct: Instruct, terms: RouteTerms, source: str, log_level: int | None = None) -> HoldPlan:
        """The shared part of a hold; channels over the limit are left out (grip spec §3.2), and `source` is named."""
        plan, left_out = self.plans.plan(instruct, terms)
        if left_out:
            self.counters.subscriptions_refused += left_out
            limited(log, log_level).warning("instruct from %s names %d channels too many, left out", source, left_out)
        return plan

    def wanted_route(self, headers: Headers) -> str | None:
        """The id of the route that a client asks for, where that is allowed (routes spec §1.8)."""
        if not self.policy.accept_pushpin_route:
            return None
        value = get_first(headers, b"pushpin-route")
        return value.decode("utf-8", "replace") if value is not None else None

    def is_trusted(self, headers: Headers) -> bool:
        """Whether a client is a GRIP proxy that knows our upstream key (routes spec §3.7)."""
        if self.verifier is None:
            return False
        token = get_first(headers, b"grip-sig")
        return token is not None and self.verifier.is_trusted(token, self.wall_clock())
