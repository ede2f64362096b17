"""HTTP/1.1 messages as a test sees them: the head, parsed without tolerance, and the bytes exactly as they came."""

from __future__ import annotations

from dataclasses import dataclass, field

HeaderList = list[tuple[str, str]]


def parse_head(raw: bytes) -> tuple[str, HeaderList]:
    """Split a message head (up to and including the empty line) into its start line and its headers.

    Raises:
        AssertionError: a line does not end in CRLF, or a header line is not ``Name: value``.
    """
    assert raw.endswith(b"\r\n\r\n"), raw
    lines = raw[:-4].decode("latin-1").split("\r\n")
    headers: HeaderList = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        assert colon and name and name == name.strip(), f"bad header line {line!r} in {raw!r}"
        headers.append((name, value.strip()))
    return lines[0], headers


class _WithHeaders:
    """Questions about a header list; names compare without case."""

    headers: HeaderList

    def header(self, name: str) -> str | None:
        """The value of the only header called ``name``, or None; two of them are a test failure."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times: {values}"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """The values of all headers called ``name``, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def has(self, name: str) -> bool:
        """Whether there is a header called ``name``."""
        return bool(self.all(name))

    def names(self) -> list[str]:
        """The header names in order, spelled as received."""
        return [key for key, _ in self.headers]


@dataclass
class Request(_WithHeaders):
    """A request as a backend received it; ``body`` grows until ``complete``."""

    raw_head: bytes
    method: str
    target: str
    version: str
    headers: HeaderList
    connection: int
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass
class Response(_WithHeaders):
    """A response as a client received it; ``framing`` is ``sized``, ``chunked``, ``close`` or ``none``."""

    raw_head: bytes
    version: str
    status: int
    reason: str
    headers: HeaderList
    framing: str
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode()
