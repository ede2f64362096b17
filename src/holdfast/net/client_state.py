"""What a client connection that is awake may be doing."""

from __future__ import annotations

import enum


class ClientState(enum.Enum):
    """What it is doing."""

    WAITING = "waiting for a request"
    SERVING = "serving a request"
    GIVEN_UP = "somebody else has the client"
    CLOSED = "closed"
