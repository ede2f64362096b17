"""What stands before a control door: web pages are turned away, and who may not publish (decision 14).

Invariants: a request that is refused reaches nothing behind the door, its body is not read, and its answer has no
header by which a page could read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from holdfast.control.web_pages import refusal_of_page
from holdfast.counters import Counters
from holdfast.errors import WireError
from holdfast.grip.publish_auth import PublishVerifier
from holdfast.logs import LIMITED
from holdfast.net.exchange import ClientExchange, Service
from holdfast.net.runtime import Work
from holdfast.wire.headers import Headers, get_all
from holdfast.wire.reasons import reason_phrase

log = logging.getLogger("holdfast.control.guard")


class Guard:
    """Decides who passes.

    Args:
        names: by which web pages may ask (`control_hosts`).
        verifier: of publishers; None where nobody is asked for credentials.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        counters: Counters,
        names: Collection[str],
        verifier: PublishVerifier | None = None,
        *,
        wall_clock: Callable[[], float],
    ) -> None:
        self._counters = counters
        self._names = frozenset(name.lower() for name in names)
        self._verifier = verifier
        self._wall_clock = wall_clock

    def admits(self, exchange: ClientExchange) -> bool:
        """Whether a request may pass; one that may not has been answered."""
        head = exchange.head
        reason = refusal_of_page(head, self._names)
        if reason is not None:
            self._counters.control_pages_refused += 1
            log.warning("control request from %s refused: %s", exchange.client_address, reason, extra=LIMITED)
            _refuse(exchange, 403, f"Forbidden: {reason}.\n")
            return False
        # The root says no more than that something listens: health checks ask for it.
        if self._verifier is None or head.target == b"/":
            return True
        reason = self._verifier.refusal(get_all(head.headers, b"authorization"), self._wall_clock())
        if reason is None:
            return True
        self._counters.publishes_unauthorized += 1
        log.warning("control request from %s refused: %s", exchange.client_address, reason, extra=LIMITED)
        _refuse(exchange, 401, f"Unauthorized: {reason}.\n", [(b"WWW-Authenticate", self._verifier.challenge)])
        return False


class GuardedDoor:
    """A service behind a guard."""

    def __init__(self, service: Service, guard: Guard) -> None:
        self.limits = service.limits
        self._service = service
        self._guard = guard

    def serve(self, exchange: ClientExchange) -> Work | None:
        """See `Service`."""
        return self._service.serve(exchange) if self._guard.admits(exchange) else None

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """See `Service`."""
        return self._service.describe_refusal(error)


def _refuse(exchange: ClientExchange, code: int, text: str, headers: Headers | None = None) -> None:
    fields = [*(headers or []), (b"Content-Type", b"text/plain")]
    exchange.respond(code, reason_phrase(code), fields, text.encode())
