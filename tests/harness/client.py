"""A blocking client on a raw socket, which shows every byte and every silence of the server.

It is deliberately strict: what is not well-formed HTTP/1.1 raises, and so does anything that did not come in time.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.harness.messages import HeaderList, Response, parse_head
from tests.harness.timing import scaled

DEFAULT_TIMEOUT_S = 5.0


class ClosedByServer(Exception):
    """The server closed (or reset) the connection while more bytes were expected; ``received`` is what came before."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"connection closed after {received[-300:]!r}")
        self.received = received


def encode_request(
    target: str,
    *,
    method: str = "GET",
    host: str | None = "localhost",
    headers: HeaderList | None = None,
    body: bytes | None = None,
    version: str = "1.1",
) -> bytes:
    """Return a request as bytes; a ``body`` adds Content-Length, a ``host`` of None leaves the Host header out."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers or []]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def encode_chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of the chunked coding; empty data is the last chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class RawConnection:
    """One connected socket. Deadlines are seconds and scaled by the time factor."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._chunk_rest = 0
        self._is_last_chunk_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, for ``select``."""
        return self._socket.fileno()

    @property
    def raw(self) -> socket.socket:
        """The socket itself, for what no method does."""
        return self._socket

    @property
    def local_address(self) -> tuple[str, int]:
        """Address and port of our end."""
        name = self._socket.getsockname()
        return name[0], name[1]

    def close(self) -> None:
        """Close our end at once; harmless when closed."""
        self._socket.close()

    def reset(self) -> None:
        """Close our end with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def shut_writing(self) -> None:
        """Send FIN and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, data: bytes, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Send all of ``data``; TimeoutError if the server does not take it."""
        self._socket.settimeout(scaled(timeout_s))
        self._socket.sendall(data)

    # --- receiving ---------------------------------------------------------------------------------------------------

    def _receive(self, deadline: float) -> None:
        """Take what the server sent into the buffer, waiting for at least one byte."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError(f"nothing more within the time, so far {bytes(self._buffer[-300:])!r}")
        self._socket.settimeout(remaining)
        try:
            data = self._socket.recv(1 << 18)
        except TimeoutError:
            raise TimeoutError(f"nothing more within the time, so far {bytes(self._buffer[-300:])!r}") from None
        except ConnectionResetError:
            data = b""
        if not data:
            raise ClosedByServer(bytes(self._buffer))
        self._buffer += data

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def read_exactly(self, count: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read ``count`` raw bytes."""
        deadline = time.monotonic() + scaled(timeout_s)
        while len(self._buffer) < count:
            self._receive(deadline)
        return self._take(count)

    def read_until(self, mark: bytes, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read raw bytes up to and including ``mark``."""
        deadline = time.monotonic() + scaled(timeout_s)
        while (at := self._buffer.find(mark)) < 0:
            self._receive(deadline)
        return self._take(at + len(mark))

    def read_to_close(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read raw bytes until the server closes; TimeoutError if it does not."""
        deadline = time.monotonic() + scaled(timeout_s)
        try:
            while True:
                self._receive(deadline)
        except ClosedByServer:
            return self._take(len(self._buffer))

    def read_head(self, timeout_s: float = DEFAULT_TIMEOUT_S, method: str = "GET") -> Response:
        """Read a response head; the body is then read by the caller."""
        raw = self.read_until(b"\r\n\r\n", timeout_s)
        line, headers = parse_head(raw)
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")
        response = Response(raw, version, int(status), reason, headers, "close")
        response.framing = _framing(response, method)
        self._chunk_rest = 0
        self._is_last_chunk_read = False
        return response

    def read_response(self, method: str = "GET", timeout_s: float = DEFAULT_TIMEOUT_S) -> Response:
        """Read one complete response; a truncated one raises `ClosedByServer`."""
        response = self.read_head(timeout_s, method)
        if response.framing == "sized":
            response.body = self.read_exactly(int(response.header("Content-Length") or ""), timeout_s)
        elif response.framing == "chunked":
            response.body = self.read_chunks(timeout_s)
        elif response.framing == "close":
            response.body = self.read_to_close(timeout_s)
        return response

    def read_chunk(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read one whole chunk and return its data; b"" is the last chunk."""
        assert self._chunk_rest == 0, "in the middle of a chunk"
        size = self._read_chunk_size(timeout_s)
        data = self.read_exactly(size, timeout_s)
        self._end_chunk(size, timeout_s)
        return data

    def read_chunks(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read the chunks up to and including the last one, and return their data."""
        data = bytearray()
        while piece := self.read_chunk(timeout_s):
            data += piece
        return bytes(data)

    def read_data(self, count: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Read ``count`` bytes of a chunked body, wherever the chunks begin and end."""
        data = bytearray()
        while len(data) < count:
            if self._chunk_rest == 0:
                self._chunk_rest = self._read_chunk_size(timeout_s)
                if self._chunk_rest == 0:
                    raise ClosedByServer(bytes(data))
            wanted = min(self._chunk_rest, count - len(data))
            data += self.read_exactly(wanted, timeout_s)
            self._chunk_rest -= wanted
            if self._chunk_rest == 0:
                self._end_chunk(1, timeout_s)
        return bytes(data)

    def _read_chunk_size(self, timeout_s: float) -> int:
        assert not self._is_last_chunk_read, "the last chunk has been read"
        line = self.read_until(b"\r\n", timeout_s)[:-2]
        size = int(line, 16)
        self._is_last_chunk_read = size == 0
        return size

    def _end_chunk(self, size: int, timeout_s: float) -> None:
        end = self.read_exactly(2, timeout_s)
        assert end == b"\r\n", f"chunk of {size} bytes ends in {end!r}"

    def is_readable(self, seconds: float) -> bool:
        """Wait until there is a byte to read (or the end), for at most ``seconds``."""
        return bool(self._buffer or select.select([self._socket], [], [], seconds)[0])

    # --- what must not happen ----------------------------------------------------------------------------------------

    def assert_silent(self, seconds: float) -> None:
        """Assert that the server sends nothing and stays connected for ``seconds`` (not scaled)."""
        assert not self._buffer, f"unexpected bytes {bytes(self._buffer[:300])!r}"
        try:
            self._receive(time.monotonic() + seconds)
        except TimeoutError:
            return
        except ClosedByServer:
            raise AssertionError("the server closed the connection") from None
        raise AssertionError(f"unexpected bytes {bytes(self._buffer[:300])!r}")

    def assert_closed(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Assert that the server closes the connection in time, without another byte."""
        rest = self.read_to_close(timeout_s)
        assert rest == b"", f"unexpected bytes before the close: {rest[:300]!r}"


def open_socket(port: int, host: str, receive_buffer: int | None, source: str | None) -> socket.socket:
    """A connected socket; see `RawClient`."""
    connected = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if receive_buffer is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connected.settimeout(scaled(DEFAULT_TIMEOUT_S))
    try:
        if source is not None:
            connected.bind((source, 0))
        connected.connect((host, port))
    except OSError:
        connected.close()
        raise
    return connected


class RawClient(RawConnection):
    """A connection that we opened, from the address ``source``."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", receive_buffer: int | None = None, source: str | None = None
    ) -> None:
        super().__init__(open_socket(port, host, receive_buffer, source))

    def request(
        self,
        target: str,
        *,
        method: str = "GET",
        host: str | None = "localhost",
        headers: HeaderList | None = None,
        body: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Send one request, without waiting for the answer; see `encode_request`."""
        self.send(encode_request(target, method=method, host=host, headers=headers, body=body, version=version))


Connect = Callable[..., RawClient]
"""Opens a connection that is closed when the test ends: ``connect(port, host=..., receive_buffer=..., source=...)``."""


def _framing(response: Response, method: str) -> str:
    if method == "HEAD" or response.status < 200 or response.status in (204, 304):
        return "none"
    if response.has("Transfer-Encoding"):
        assert response.header("Transfer-Encoding") == "chunked", response.headers
        assert not response.has("Content-Length"), response.headers
        return "chunked"
    return "sized" if response.has("Content-Length") else "close"


def fetch(
    port: int,
    target: str,
    *,
    method: str = "GET",
    host: str | None = "localhost",
    headers: HeaderList | None = None,
    body: bytes | None = None,
    version: str = "1.1",
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Response:
    """Make one request on a connection of its own and return the complete response."""
    with RawClient(port) as client:
        client.request(target, method=method, host=host, headers=headers, body=body, version=version)
        return client.read_response(method, timeout_s)
