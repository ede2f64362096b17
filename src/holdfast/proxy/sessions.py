"""The WebSockets that are spoken over HTTP, by the `Connection-Id` that their backends know (ws spec §1.2)."""

from __future__ import annotations

from typing import Protocol


class Session(Protocol):
    """One that can be told to ask its backend."""

    def refresh(self) -> None:
        """Have the backend asked for news (ws spec §1.7)."""
        ...


class Sessions:
    """All that have been accepted and have not ended."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def add(self, connection_id: str, session: Session) -> None:
        """It is accepted."""
        self._sessions[connection_id] = session

    def discard(self, connection_id: str) -> None:
        """It has ended, if it was ever accepted."""
        self._sessions.pop(connection_id, None)

    def refresh(self, connection_id: str) -> bool:
        """Have a session ask its backend; False if there is none with this id."""
        session = self._sessions.get(connection_id)
        if session is None:
            return False
        session.refresh()
        return True
