"""SockJS clients over HTTP: one session, its polls and its sends, in each of the transports."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.harness.client import Connect, RawClient
from tests.harness.cors import without_framing
from tests.harness.messages import HeaderList, Response

_numbers = itertools.count(1)

NO_STORE = ("Cache-Control", "no-store, no-cache, must-revalidate, max-age=0")
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")
COMMON = [NO_STORE, ("Access-Control-Allow-Origin", "*"), CREDENTIALS]
TEXT = ("Content-Type", "text/plain")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
STILL_OPEN = 'c[2010,"Another connection still open"]'
CLOSED = 'c[0,"Connection closed"]'


def common(origin: str) -> HeaderList:
    """The headers that every answer ends with, for a request with an ``Origin``."""
    return [NO_STORE, ("Access-Control-Allow-Origin", origin), CREDENTIALS]


def messages(*texts: str) -> str:
    """The frame with these messages."""
    return "a" + json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Transport:
    """How a client polls and sends; ``jsonp`` wraps what it gets in a script."""

    name: str
    method: str
    query: str = ""

    def wrap(self, frame: str) -> str:
        """The body of a poll's answer."""
        if self.name == "xhr":
            return frame + "\n"
        return f"/**/cb({json.dumps(frame, ensure_ascii=False)});\n"

    @property
    def content_type(self) -> tuple[str, str]:
        """The type of a poll's answer."""
        return TEXT if self.name == "xhr" else ("Content-Type", "application/javascript")

    def encode(self, payload: str) -> tuple[HeaderList, bytes]:
        """The headers and the body of a send."""
        if self.name == "xhr":
            return [TEXT], payload.encode()
        return [FORM], f"d={quote(payload)}".encode()


XHR = Transport("xhr", "POST")
JSONP = Transport("jsonp", "GET", "?c=cb")


def fresh_session() -> str:
    """A session id that no other test uses."""
    return f"session-{next(_numbers)}"


class Session:
    """One SockJS session; ``path`` is that of the session, ``host`` chooses the route."""

    def __init__(self, connect: Connect, port: int, host: str, prefix: str, transport: Transport = XHR) -> None:
        self._connect = connect
        self._port = port
        self._host = host
        self.transport = transport
        self.path = f"{prefix}/000/{fresh_session()}"

    def request(self, endpoint: str, **options: Any) -> RawClient:
        """Make a request of the session without waiting for its answer."""
        client = self._connect(self._port)
        client.request(f"{self.path}/{endpoint}", host=self._host, **options)
        return client

    def begin_poll(self, query: str = "", **options: Any) -> RawClient:
        """Begin a poll."""
        transport = self.transport
        fields = {"method": transport.method, "body": b"" if transport.method == "POST" else None, **options}
        parameters = f"{transport.query}{'&' if transport.query else '?'}{query}" if query else transport.query
        return self.request(f"{transport.name}{parameters}", **fields)

    def poll(self, timeout_s: float = 5.0, **options: Any) -> Response:
        """Make a poll and return its answer."""
        client = self.begin_poll(**options)
        response = client.read_response(timeout_s=timeout_s)
        client.close()
        return response

    def expect(self, frame: str, timeout_s: float = 5.0) -> None:
        """Poll, and get this frame."""
        self.check(self.poll(timeout_s), frame)

    def check(self, response: Response, frame: str) -> None:
        """Assert that the answer of a poll is this frame, as it has to be."""
        assert (response.status, response.text) == (200, self.transport.wrap(frame)), response
        assert without_framing(response) == [self.transport.content_type, *COMMON]

    def open(self, **options: Any) -> None:
        """Make the first poll of a session that the backend accepts by itself."""
        self.check(self.poll(**options), "o")

    def send_payload(self, payload: str) -> Response:
        """Send text where a list of messages belongs."""
        headers, body = self.transport.encode(payload)
        client = self.request(f"{self.transport.name}_send", method="POST", headers=headers, body=body)
        response = client.read_response()
        client.close()
        return response

    def send(self, *texts: str) -> None:
        """Send messages, which must be taken."""
        response = self.send_payload(json.dumps(texts))
        assert (response.status, response.text) == (200, "ok"), response
        assert without_framing(response) == [TEXT, *COMMON]
