"""WebSockets over HTTP by their connection id."""

from __future__ import annotations

from holdfast.proxy.sessions import Sessions


class _Session:
    def __init__(self) -> None:
        self.refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1


def test_sessions() -> None:
    sessions, session = Sessions(), _Session()
    sessions.add("id", session)
    assert (sessions.refresh("id"), sessions.refresh("other"), session.refreshed) == (True, False, 1)
    sessions.discard("id")
    sessions.discard("id")
    assert not sessions.refresh("id")
