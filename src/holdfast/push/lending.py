"""What outlets lend: ways around themselves, for as long as a client takes everything."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """A socket object on a descriptor that somebody else owns: the shortest way to one client."""

    def fileno(self) -> int:
        """The descriptor; -1 once it has been recalled."""
        ...

    def send(self, data: bytes, /) -> int:
        """Write what the system takes; returns how many bytes. Raises OSError, also once it has been recalled."""
        ...


class Borrower(Protocol):
    """Who keeps a line for longer than a moment."""

    def on_recalled(self) -> None:
        """Do not send through it any more: something waits for the client, or it has left."""
        ...


class Lender(Protocol):
    """Who has a client that can be written to without asking first, as long as nothing waits for it."""

    @property
    def direct_fd(self) -> int | None:
        """The descriptor that a volley may write to, as things stand; None if only the lender knows how."""
        ...

    def lend(self, borrower: Borrower) -> Line:
        """Let `borrower` keep a line to `direct_fd`, which is not None, until it is recalled.

        There is one borrower at a time.
        """
        ...
