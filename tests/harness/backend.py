"""A scripted origin server: records each request exactly as it came, and answers what the test says, byte for byte.

One thread per connection. Replies are values; what happens over time is written as pieces: bytes are sent, a number is
a pause in seconds, an event is waited for. So a test decides when a body goes on, without sleeping.

Real backends send head and body of an answer with one write, or with two; here every second one does either.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tests.harness.messages import HeaderList, Request, parse_head
from tests.harness.ports import free_port
from tests.harness.timing import eventually, scaled

Piece = bytes | float | threading.Event


class Framing(Enum):
    """How the end of a scripted body is marked."""

    SIZED = "Content-Length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "the connection closes"
    AS_WRITTEN = "the headers are sent as given, and nothing is added"


@dataclass(frozen=True)
class Reply:
    """One scripted response.

    Args:
        body: the whole body, or its pieces.
        breaks_off: close the connection after the pieces, without marking the end of the body.
        closes: close the connection after the response, and say so.
    """

    status: int = 200
    reason: str = "OK"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Iterable[Piece] = b""
    framing: Framing = Framing.SIZED
    closes: bool = False
    breaks_off: bool = False
    length: int | None = None

    def pieces(self) -> Iterable[Piece]:
        """The body as pieces."""
        return [self.body] if isinstance(self.body, bytes) else self.body

    def head(self) -> bytes:
        """The response head as bytes."""
        headers: HeaderList = list(self.headers)
        if self.framing is Framing.SIZED and self.status not in (204, 304):
            size = sum(len(piece) for piece in self.pieces() if isinstance(piece, bytes))
            headers.append(("Content-Length", str(size if self.length is None else self.length)))
        elif self.framing is Framing.CHUNKED:
            headers.append(("Transfer-Encoding", "chunked"))
        if self.closes or self.framing is Framing.UNTIL_CLOSE:
            headers.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


@dataclass(frozen=True)
class RawReply:
    """Bytes (and pauses) sent as they are; the connection is closed afterwards unless ``keeps`` is set.

    With ``resets`` the close is a TCP reset.
    """

    pieces: Sequence[Piece] = ()
    keeps: bool = False
    resets: bool = False


AnyReply = Reply | RawReply


def in_one_write(reply: Reply) -> RawReply:
    """``reply`` with its head and its body sent at once, so that the proxy knows all of it when it sees the head."""
    assert isinstance(reply.body, bytes)
    return RawReply([reply.head() + reply.body], keeps=True)


def held_back(gate: threading.Event, reply: Reply) -> RawReply:
    """``reply``, of which not even the head is sent before the gate opens."""
    return RawReply([gate, reply.head(), *reply.pieces()], keeps=True)


Handler = Callable[[Request], AnyReply]


@dataclass
class _Script:
    handler: Handler
    is_early: bool
    is_in_one_write: bool
    requests: list[Request] = field(default_factory=list)


class _Connection:
    """One accepted connection: reads requests, answers them."""

    def __init__(
        self, number: int, sock: socket.socket, find: Callable[[Request], _Script], tls: ssl.SSLContext | None
    ) -> None:
        self.number = number
        self._socket = sock
        self._find = find
        self._tls = tls
        self._buffer = bytearray()
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"backend-{number}")

    def close(self, reset: bool = False) -> None:
        """Close the connection; the thread then ends by itself."""
        try:
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _run(self) -> None:
        try:
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_side=True)
            while self._serve_one():
                pass
        except (OSError, EOFError):
            pass
        finally:
            self.close()

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise EOFError
        self._buffer += data

    def _take_until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            self._receive()
        data = bytes(self._buffer[: at + len(mark)])
        del self._buffer[: at + len(mark)]
        return data

    def _serve_one(self) -> bool:
        if self._is_greeted_in_tls():
            self._socket.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return False
        raw = self._take_until(b"\r\n\r\n")
        line, headers = parse_head(raw)
        method, target, version = line.split(" ")
        request = Request(raw, method, target, version, headers, self.number)
        script = self._find(request)
        script.requests.append(request)
        if not script.is_early:
            self._read_body(request)
        is_kept = self._answer(script.handler(request), is_in_one_write=script.is_in_one_write)
        if script.is_early and is_kept:
            self._read_body(request)
        return is_kept

    def _is_greeted_in_tls(self) -> bool:
        """Whether a TLS handshake arrives where a request is expected, which servers answer in plain text."""
        if not self._buffer:
            self._receive()
        return self._buffer.startswith(b"\x16")

    def _read_body(self, request: Request) -> None:
        if request.header("Transfer-Encoding") == "chunked":
            while size := int(self._take_until(b"\r\n"), 16):
                self._read_into(request, size)
                self._take_until(b"\r\n")
            self._take_until(b"\r\n")
        else:
            self._read_into(request, int(request.header("Content-Length") or 0))
        request.complete = True

    def _read_into(self, request: Request, count: int) -> None:
        while count:
            if not self._buffer:
                self._receive()
            piece = self._buffer[:count]
            del self._buffer[: len(piece)]
            request.body += piece
            count -= len(piece)

    def _answer(self, reply: AnyReply, *, is_in_one_write: bool) -> bool:
        if isinstance(reply, RawReply):
            self._send(reply.pieces, _as_is)
            if reply.resets:
                self.close(reset=True)
            return reply.keeps
        is_chunked = reply.framing is Framing.CHUNKED
        if is_in_one_write and isinstance(reply.body, bytes) and not is_chunked:
            self._socket.sendall(reply.head() + reply.body)
        else:
            self._socket.sendall(reply.head())
            self._send(reply.pieces(), _as_chunk if is_chunked else _as_is)
        if reply.breaks_off:
            return False
        if is_chunked:
            self._socket.sendall(b"0\r\n\r\n")
        return not reply.closes and reply.framing is not Framing.UNTIL_CLOSE

    def _send(self, pieces: Iterable[Piece], encode: Callable[[bytes], bytes]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                self._socket.sendall(encode(piece))
            elif isinstance(piece, threading.Event):
                if not piece.wait(scaled(15)):
                    raise EOFError
            else:
                threading.Event().wait(piece)


def _as_is(data: bytes) -> bytes:
    return data


def _as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _not_found(_request: Request) -> AnyReply:
    return Reply(404, "Not Found", body=b"no script for this path\n")


class ScriptedBackend:
    """An HTTP/1.1 server on a fixed loopback port, which may be stopped and started again."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = free_port(host)
        self.connections_accepted = 0
        self._tls = tls
        self._scripts: dict[str, _Script] = {}
        self._unknown = _Script(_not_found, is_early=False, is_in_one_write=True)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.start()

    # --- scripting ---------------------------------------------------------------------------------------------------

    def serve(self, reply: AnyReply | Handler, path: str | None = None, early: bool = False) -> str:
        """Answer requests for ``path`` (a fresh one by default) and return the path.

        With ``early`` the answer is given as soon as the request head is there.
        """
        number = next(self._numbers)
        path = path or f"/p{number}"
        handler = reply if callable(reply) else (lambda _request: reply)
        self._scripts[path] = _Script(handler, early, is_in_one_write=number % 2 == 0)
        return path

    def serve_in_turn(self, *replies: AnyReply, path: str | None = None) -> str:
        """Answer the first request with the first reply and so on; the last one is repeated."""
        remaining = list(replies)

        def next_reply(_request: Request) -> AnyReply:
            return remaining.pop(0) if len(remaining) > 1 else remaining[0]

        return self.serve(next_reply, path)

    def _find(self, request: Request) -> _Script:
        return self._scripts.get(request.path, self._unknown)

    # --- what was seen -----------------------------------------------------------------------------------------------

    def requests(self, path: str) -> list[Request]:
        """The requests for ``path`` so far, oldest first."""
        return list(self._scripts[path].requests)

    def request(self, path: str) -> Request:
        """The one request for ``path``; waits for it."""
        eventually(lambda: self.requests(path), f"a request for {path}")
        (request,) = self.requests(path)
        return request

    def all_heads(self) -> bytes:
        """Every request head ever received, one after the other."""
        scripts = [*self._scripts.values(), self._unknown]
        return b"".join(request.raw_head for script in scripts for request in script.requests)

    def is_connected(self, request: Request) -> bool:
        """Whether the connection on which ``request`` came is still being served."""
        with self._lock:
            return any(known.number == request.connection and known.thread.is_alive() for known in self._connections)

    # --- running -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen (again) on the same port."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=512)
        self._listener = listener
        self._thread = threading.Thread(target=self._accept, args=(listener,), daemon=True, name="backend-accept")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        if self._thread is not None:
            self._thread.join()
        self.cut_connections()

    def cut_connections(self) -> None:
        """Close every connection and wait until their threads have ended."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        for connection in connections:
            connection.thread.join(scaled(20))

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _address = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections_accepted += 1
            connection = _Connection(self.connections_accepted, sock, self._find, self._tls)
            with self._lock:
                self._connections = [known for known in self._connections if known.thread.is_alive()]
                self._connections.append(connection)
            connection.thread.start()
