"""The backends that connect to us by ZeroMQ: one set of sockets per spec of the routes, whichever rules name it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from holdfast.errors import ConfigError, NoBackend
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext
from holdfast.proxy.zhttp_requests import RequestService
from holdfast.proxy.zhttp_streams import StreamService
from holdfast.routing.rules import Rule, Target, TargetKind

log = logging.getLogger("holdfast.proxy.zhttp")

MAX_SPECS = 100
"""Different specs of one routes file (routes spec §1.6)."""

BIND_RETRY_S = 1.0


class ZhttpBackends:
    """All of them.

    Args:
        proxy_id: what this process is called by backends; no blanks, and no other process has it.
    """

    def __init__(self, runtime: Runtime, context: ZmqContext, proxy_id: bytes) -> None:
        self._runtime = runtime
        self._context = context
        self._proxy_id = proxy_id
        self._wanted: dict[tuple[str, ...], Target] = {}
        self._requests: dict[tuple[str, ...], RequestService] = {}
        self._streams: dict[tuple[str, ...], StreamService] = {}
        self._unbound: set[tuple[str, ...]] = set()
        self._slot = 0

    @property
    def exchange_count(self) -> int:
        """Exchanges that are not over."""
        return sum(map(len, self._requests.values())) + sum(map(len, self._streams.values()))

    def apply(self, rules: Iterable[Rule]) -> None:
        """Listen for the backends of these rules, and of no others once those are idle."""
        self._wanted = _wanted_targets(rules)
        for specs, target in self._wanted.items():
            service = self._requests.get(specs, self._streams.get(specs))
            if service is None:
                self._make(target)
                self._unbound.add(specs)
            else:
                service.set_file_mode(target.ipc_file_mode)
        self._close_idle()
        self._bind(is_first=True)

    def requests(self, target: Target) -> RequestService:
        """The backends of a `zhttpreq/` target. Raises NoBackend."""
        service = self._requests.get(target.specs)
        if service is None:
            raise NoBackend(f"{target.text} is not listened at")
        return service

    def streams(self, target: Target) -> StreamService:
        """The backends of a `zhttp/` target. Raises NoBackend."""
        service = self._streams.get(target.specs)
        if service is None:
            raise NoBackend(f"{target.text} is not listened at")
        return service

    def close(self) -> None:
        """Stop listening."""
        if self._slot:
            self._runtime.wheel.remove(self._slot, self)
            self._slot = 0
        for services in self._services():
            for service in services.values():
                service.close()
        self._requests.clear()
        self._streams.clear()

    def on_timer(self, now_s: float) -> None:
        """Try again to bind what could not be bound; see `timers.Timed`."""
        self._slot = 0
        self._bind(is_first=False)

    def _make(self, target: Target) -> None:
        runtime, context = self._runtime, self._context
        if target.kind is TargetKind.ZHTTPREQ:
            self._requests[target.specs] = RequestService(
                runtime, context, self._proxy_id, target.text, self._close_idle
            )
        else:
            self._streams[target.specs] = StreamService(runtime, context, self._proxy_id, target.text, self._close_idle)

    def _bind(self, *, is_first: bool) -> None:
        """Bind what is not: an address may be free in a moment, when whoever had it is gone."""
        for specs in list(self._unbound):
            target = self._wanted[specs]
            services = self._requests if target.kind is TargetKind.ZHTTPREQ else self._streams
            try:
                services[specs].bind(specs, target.ipc_file_mode)
            except ConfigError as exc:
                if is_first:
                    log.error("target %s: %s; trying again", target.text, exc)
                continue
            self._unbound.discard(specs)
            log.info("listening for backends at %s", target.text)
        if self._unbound and not self._slot:
            self._slot = self._runtime.wheel.add(self._runtime.now() + BIND_RETRY_S, self)

    def _services(self) -> tuple[Mapping[tuple[str, ...], RequestService | StreamService], ...]:
        return self._requests, self._streams

    def _close_idle(self) -> None:
        """Close what is not wanted, and not used."""
        for services in self._services():
            for specs, service in list(services.items()):
                if specs not in self._wanted and not len(service):
                    service.close()
                    self._requests.pop(specs, None)
                    self._streams.pop(specs, None)
                    self._unbound.discard(specs)
                    log.info("not listening for backends at %s any more", ", ".join(specs))


def _wanted_targets(rules: Iterable[Rule]) -> dict[tuple[str, ...], Target]:
    """The first target of each spec."""
    targets = [target for rule in rules for target in rule.targets if target.specs]
    wanted: dict[tuple[str, ...], Target] = {}
    for target in targets:
        wanted.setdefault(target.specs, target)
    if len(wanted) > MAX_SPECS:
        log.warning("too many unique zhttp route targets, limiting to %d", MAX_SPECS)
        wanted = dict(list(wanted.items())[:MAX_SPECS])
    return wanted
