"""What a client connection that is awake may be doing."""

from __future__ import annotations

import enum


class ClientState(enum.Enum):
    """What it is doing."""

    WAITING = "waiting for a request"
    SERVING = "serving a request"
    LINGERING = "discarding input after the last response"
    PARKED = "handed to the parking lot"
    CLOSED = "closed"
