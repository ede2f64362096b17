"""The one exception tree of Holdfast.

HoldfastError
├── WireError        a peer sent bytes that are not valid; carries the status to answer
├── FrameError       a WebSocket peer sent a frame that is not valid; carries the close code
├── PacketError      a ZeroMQ peer sent a message that is not valid; it is thrown away
├── GripError        a backend's instruct or a publisher's item is not valid
├── RouteError       a line of the routes file is not valid
├── ConfigError      a setting is unknown or has a bad value
├── KeyMaterialError a signing key cannot be read or used
└── BackendError     a backend failed us
    ├── ConnectError     it could not be connected to (another target may be tried)
    ├── BackendTimeout   it was silent for too long
    ├── BadResponse      it closed early or sent something that is not an HTTP response
    ├── AddressRefused   the address policy does not allow to connect to it
    ├── LengthRequired   it takes only requests whose length is declared
    ├── NoBackend        nobody is connected who would take the request
    └── BackendSilent    it took the request perhaps, and gave no sign of life

The message of an exception says what was got, what was expected and, where there is one, the limit. It is meant for
logs and for debug mode; what a client may see is decided where the answer is made.
"""

from __future__ import annotations

from typing import Self


class HoldfastError(Exception):
    """Base of every error that Holdfast raises on purpose."""


class WireError(HoldfastError):
    """A peer sent bytes that do not follow the protocol.

    Args:
        status: the HTTP status to answer with, 400-599.
        text: the body of that answer, one line without a newline; it names no internals and may be shown to the peer.
        fault: what was wrong in a few fixed words, for doors that have texts of their own.
    """

    def __init__(self, status: int, text: str, fault: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.fault = fault


class FrameError(HoldfastError):
    """A WebSocket peer sent a frame that does not follow the protocol; it has to be disconnected.

    Args:
        code: the close code that says so, 1002, 1007 or 1009 (RFC 6455 §7.4.1); None to leave without a word.
        text: what was wrong; it names no internals and may be shown to the peer.
    """

    def __init__(self, code: int | None, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class PacketError(HoldfastError):
    """A ZeroMQ peer sent a message that is not valid. It is counted, logged and thrown away, and never answered."""


class GripError(HoldfastError):
    """An instruct or a published item is not valid; the text is the protocol's own (grip spec §3, §4, §8)."""


class RouteError(HoldfastError):
    """One line of the routes file is not valid; the text does not repeat file and line."""


class ConfigError(HoldfastError):
    """A setting is unknown or has a bad value; the text names its place (file and line, or variable)."""


class KeyMaterialError(HoldfastError):
    """Key material cannot be read, or does not fit its algorithm."""


class BackendError(HoldfastError):
    """A backend failed before or while it answered."""

    def anew(self) -> Self:
        """The same failure, to be raised by who keeps this one: the frames that meet it would refer to each other."""
        return type(self)(*self.args)


class ConnectError(BackendError):
    """No connection to the backend could be made: refused, unreachable, unresolvable, TLS failure."""


class BackendTimeout(BackendError):
    """The backend was silent for longer than the limit."""


class BadResponse(BackendError):
    """The backend closed early or sent something that is not an HTTP response."""


class AddressRefused(BackendError):
    """The address policy does not allow a connection to any address of the backend."""


class LengthRequired(BackendError):
    """The backend takes only requests whose length is declared."""


class NoBackend(BackendError):
    """No ZeroMQ backend is connected that would take the request."""


class BackendSilent(BackendError):
    """A ZeroMQ backend gave no sign of life for longer than the limit; it may never have been there."""
