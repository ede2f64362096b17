"""Answers that the proxy makes itself, and their texts (routes spec §3.11)."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import AddressRefused, BackendError, BackendSilent, LengthRequired
from holdfast.wire.headers import Headers
from holdfast.wire.reasons import reason_phrase

TEXT_PLAIN: Headers = [(b"Content-Type", b"text/plain")]

ROUTE_NOT_FOUND = "Route not found"
NOT_FOUND = "Not Found"
ORIGIN_ERROR = "Error while proxying to origin."
ADDRESS_BLOCKED = "Error: Origin host/IP blocked."
SERVICE_UNREACHABLE = "Error: zhttp service for route is unreachable."
NO_SOCKETS_IN_ONE_PACKET = "WebSockets cannot be used with zhttpreq target"
LENGTH_REQUIRED = "Must provide Content-Length header."
TOO_LARGE_FOR_GRIP = "Request too large to accept GRIP instruct."
EVENTS_FORBIDDEN = "Client not allowed to send WebSocket events directly."
INTERNAL_ERROR = "Failed to process request."
ACCEPT_UNAVAILABLE = "Accept service unavailable."


@dataclass(slots=True, eq=False)  # not frozen: context managers set the traceback of what passes through them
class ErrorAnswer(Exception):
    """Ends an exchange with an answer of our own.

    Args:
        code: status.
        text: one line for the client.
        debug_text: the line instead of `text` when the route is in debug mode.
        is_last: the connection is closed afterwards, because the client cannot be trusted to know where it is.
    """

    code: int
    text: str
    debug_text: str | None = None
    is_last: bool = False

    def __str__(self) -> str:
        return self.text if self.debug_text is None else self.debug_text

    def body(self, *, is_debug: bool) -> bytes:
        """The body, with its newline."""
        text = self.debug_text if is_debug and self.debug_text is not None else self.text
        return f"{text}\n".encode()

    @property
    def reason(self) -> bytes:
        """The reason phrase of the status."""
        return reason_phrase(self.code)


def origin_error(debug_text: str | None = None) -> ErrorAnswer:
    """502 because of the backend; what happened is shown in debug mode only."""
    return ErrorAnswer(502, ORIGIN_ERROR, debug_text)


def backend_error_answer(error: BackendError, debug_text: str | None = None) -> ErrorAnswer:
    """The answer when a backend failed before it answered; `debug_text` where there is none for that failure."""
    match error:
        case LengthRequired():
            return ErrorAnswer(411, LENGTH_REQUIRED)
        case AddressRefused():
            return origin_error(ADDRESS_BLOCKED)
        case BackendSilent():
            return origin_error(SERVICE_UNREACHABLE)
    return origin_error(debug_text)
