"""The demo's backend: an ordinary web server whose answers carry GRIP headers, or are events of a WebSocket.

It answers and is done: it keeps no connection and no list of clients, and could be restarted while they are held. The
GRIP part is `HOLDS`, `answer_events` and `publish`; the rest serves the files of the page. Only the standard library is
used, so that everything here can be carried over to any framework.
"""

from __future__ import annotations

import html
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from string import Template

from holdfast import __version__

log = logging.getLogger("holdfast.demo")

MAX_CHARACTERS = 500
MAX_BODY_BYTES = 4 * MAX_CHARACTERS
MAX_EVENTS_BYTES = 500_000  # Holdfast sends what has come meanwhile in one request
PUBLISH_TIMEOUT_S = 5
CLIENT_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response of the backend."""

    headers: Mapping[str, str]
    body: bytes = b""
    status: int = 200


def event(name: str, content: bytes = b"") -> bytes:
    """An event of a WebSocket, as it is in the body of a request or an answer: its length is hexadecimal."""
    return b"%s %x\r\n%s\r\n" % (name.encode(), len(content), content) if content else f"{name}\r\n".encode()


def events_in(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The events of a body: name and content of each."""
    rest = BytesIO(body)
    while line := rest.readline().split():
        content = b""
        if len(line) > 1:
            content = rest.read(int(line[1], 16))
            rest.readline()
        yield line[0].decode(), content


TEXT = "text/plain; charset=utf-8"

HOLDS = {
    # The client stays connected and receives every `http-stream` item of the channel. After 20 s of silence Holdfast
    # sends an empty line, so that everybody on the way knows that the connection is in use.
    "/stream": Answer(
        {
            "Content-Type": TEXT,
            "Grip-Hold": "stream",
            "Grip-Channel": "demo",
            "Grip-Keep-Alive": r"\n; format=cstring; timeout=20",
        },
        b"The backend opened this stream. Holdfast holds it.\n",
    ),
    # The same in the format of server-sent events, on a channel of its own: the bytes of its items are different.
    "/events": Answer(
        {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache",
            "Grip-Hold": "stream",
            "Grip-Channel": "demo-events",
            "Grip-Keep-Alive": r":\n\n; format=cstring; timeout=20",
        },
    ),
    # The client waits until an `http-response` item answers its request, or 30 s, and then receives this empty answer.
    "/poll": Answer(
        {
            "Content-Type": TEXT,
            "Grip-Hold": "response",
            "Grip-Channel": "demo",
            "Grip-Timeout": "30",
        },
    ),
}

# What the client of a WebSocket does comes as requests, too: each carries a few events. This answer to the first one
# accepts the WebSocket. In what the backend says, `c:` begins an order to Holdfast, and `m:` a message for the client.
ACCEPTANCE = Answer(
    {"Content-Type": "application/websocket-events", "Sec-WebSocket-Extensions": "grip"},
    event("OPEN")
    + event("TEXT", b'c:{"type": "subscribe", "channel": "demo"}')
    + event("TEXT", b"m:The backend accepted this WebSocket. Holdfast holds it."),
)


def answer_events(body: bytes, publish_text: Callable[[str], Answer]) -> Answer:
    """Answer a request of a WebSocket: publish what its client says, and tell it alone if that was not possible."""
    answers = b""
    for name, content in events_in(body):
        if name == "OPEN":
            answers += ACCEPTANCE.body
        elif name == "TEXT":
            published = publish_text(content.decode())
            if published.status != 200:
                answers += event("TEXT", b"m:" + published.body.strip())
        elif name == "CLOSE":
            answers += event("CLOSE", content)
    return Answer(ACCEPTANCE.headers, answers)


def items_for(text: str) -> list[dict[str, object]]:
    """What is published for one message: an item per channel, in the formats that its holds receive."""
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return [
        {
            "channel": "demo",
            "formats": {
                "http-stream": {"content": f"{text}\n"},
                "http-response": {"body": f"{text}\n"},
                "ws-message": {"content": text},
            },
        },
        {"channel": "demo-events", "formats": {"http-stream": {"content": f"{lines}\n"}}},
    ]


def publish(control_port: int, text: str) -> Answer:
    """Publish a message to everyone who is held. Holdfast's answer tells, in JSON, how many that were.

    Raises:
        OSError: the control port does not answer.
    """
    connection = HTTPConnection("127.0.0.1", control_port, timeout=PUBLISH_TIMEOUT_S)
    try:
        body = json.dumps({"items": items_for(text)})
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request("POST", "/publish/", body, headers)
        response = connection.getresponse()
        return Answer({"Content-Type": response.headers["Content-Type"] or TEXT}, response.read(), response.status)
    finally:
        connection.close()


# --- Everything below is a plain web server. ---

PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; "
    "connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'",
}


def load_pages(control_port: int) -> dict[str, Answer]:
    """The files of the page, by path."""

    def file(name: str) -> str:
        return files(__package__).joinpath(name).read_text("utf-8")

    values = {
        "version": __version__,
        "publish_url": f"http://localhost:{control_port}/publish/",
        "max_characters": str(MAX_CHARACTERS),
        **{f"{path[1:]}_answer": html.escape(_as_text(answer)) for path, answer in HOLDS.items()},
        "socket_answer": html.escape(_as_text(ACCEPTANCE)),
    }
    contents = {
        "/": ("text/html; charset=utf-8", Template(file("page.html")).substitute(values)),
        "/page.css": ("text/css; charset=utf-8", file("page.css")),
        "/page.js": ("text/javascript; charset=utf-8", file("page.js")),
        "/logo.svg": ("image/svg+xml", file("logo.svg")),
    }
    return {
        path: Answer({"Content-Type": content_type, **PAGE_HEADERS}, content.encode())
        for path, (content_type, content) in contents.items()
    }


def _as_text(answer: Answer) -> str:
    head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} OK\n{head}\n{answer.body.decode()}"


class DemoBackend(ThreadingHTTPServer):
    """The server, on a free port of the loopback interface.

    Args:
        control_port: where Holdfast takes what is published.
    """

    daemon_threads = True

    def __init__(self, control_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.control_port = control_port
        self.pages = HOLDS | load_pages(control_port)


class _Handler(BaseHTTPRequestHandler):
    server: DemoBackend
    protocol_version = "HTTP/1.1"
    timeout = CLIENT_TIMEOUT_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self._send(self.server.pages.get(path) or _plain(404, "There is no such page."))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        is_socket = self.path == "/socket" and self.headers["Content-Type"] == ACCEPTANCE.headers["Content-Type"]
        length = self.headers.get("Content-Length")
        if length is None or int(length) > (MAX_EVENTS_BYTES if is_socket else MAX_BODY_BYTES):
            self.close_connection = True  # the body is not read
            self._send(_plain(413, f"A message has at most {MAX_CHARACTERS} characters, and says its Content-Length."))
            return
        body = self.rfile.read(int(length))
        if is_socket:
            self._send(answer_events(body, self._publish))
        elif self.path == "/publish":
            self._send(self._publish(body.decode("utf-8", "replace")))
        else:
            self._send(_plain(404, "Messages are posted to /publish."))

    def _publish(self, text: str) -> Answer:
        text = text.strip()
        if not text:
            return _plain(400, "There is no message to publish.")
        if len(text) > MAX_CHARACTERS:
            return _plain(413, f"A message has at most {MAX_CHARACTERS} characters.")
        try:
            return publish(self.server.control_port, text)
        except OSError as error:
            return _plain(502, f"The message could not be published: {error}.")

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def version_string(self) -> str:
        return f"holdfast-demo/{__version__}"

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def _plain(status: int, text: str) -> Answer:
    return Answer({"Content-Type": TEXT}, f"{text}\n".encode(), status)


@contextmanager
def running_backend(control_port: int) -> Iterator[DemoBackend]:
    """The backend, served by threads for as long as the block lasts."""
    with DemoBackend(control_port) as server:
        thread = threading.Thread(target=server.serve_forever, name="demo-backend", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
