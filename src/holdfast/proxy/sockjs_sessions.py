"""All SockJS clients that come over HTTP, by the route and the id that they came with (routes spec §4.3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from holdfast.counters import Counters
from holdfast.wire.sockjs_http import IframePage

if TYPE_CHECKING:
    from holdfast.proxy.sockjs_session import SockJsSession

log = logging.getLogger("holdfast.proxy.sockjs")


class SessionKey(NamedTuple):
    """What a session is found by: an id that is known elsewhere is of no use under another host or route."""

    host: str
    domain: str
    route_id: str
    prefix: bytes
    session_id: bytes


class SockJsSessions:
    """Those that have not ended.

    Args:
        max_open: at once; further ones are refused.
        script_url: of the client library, for the page of old browsers.

    Attributes:
        page: that page.
        is_ending: the process stops, and whoever is opened now ends at once.
    """

    def __init__(self, max_open: int, script_url: str, counters: Counters) -> None:
        self.page = IframePage.of(script_url)
        self.is_ending = False
        self._max_open = max_open
        self.counters = counters
        self._open: dict[SessionKey, SockJsSession] = {}

    def __len__(self) -> int:
        return len(self._open)

    def find(self, key: SessionKey) -> SockJsSession | None:
        """The session with this key, if there is one."""
        return self._open.get(key)

    def add(self, key: SessionKey, session: SockJsSession) -> bool:
        """Whether there is room for one more; its key must be new. `forget` must follow."""
        if len(self._open) >= self._max_open:
            self.counters.sockjs_sessions_refused += 1
            log.warning("SockJS session refused: there are %d already", len(self._open))
            return False
        self._open[key] = session
        self.counters.sockjs_sessions_opened += 1
        return True

    def forget(self, key: SessionKey) -> None:
        """It is over."""
        self._open.pop(key, None)

    def end_all(self) -> None:
        """End them in good order; what happens to one of them must not matter to the others."""
        self.is_ending = True
        for session in list(self._open.values()):
            try:
                session.end()
            except Exception:
                log.exception("ending a SockJS session failed")
