"""SockJS over HTTP: what a path below the prefix asks for, and how answers look (SockJS 0.3.3; routes spec §4.2)."""

from __future__ import annotations

import enum
import hashlib
import html
import json
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from holdfast.wire.headers import Headers

TEXT: bytes = b"text/plain"
SCRIPT: bytes = b"application/javascript"

MAX_STREAM_BYTES = 131_072
"""Of one streaming response; then it ends, and the client comes back, because browsers keep all of it."""

_NO_STORE = b"no-store, no-cache, must-revalidate, max-age=0"
_IFRAME = re.compile(rb"/iframe.*\.html")
_CALLBACK = re.compile(r"[\w$.\[\] -]{1,128}")


class Action(enum.Enum):
    """What a request asks for, apart from the WebSocket transports."""

    INFO = "what the server can do"
    IFRAME = "the page for old browsers"
    RECEIVE = "to open a session, or get what is there for it"
    SEND = "to give messages"
    OPTIONS = "whether other sites may ask"


class Transport(enum.Enum):
    """How a client gets frames."""

    XHR = "xhr"
    JSONP = "jsonp"
    XHR_STREAMING = "xhr_streaming"
    EVENTSOURCE = "eventsource"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a request asks for.

    Attributes:
        session_id: of the session, where it is about one.
        transport: for `RECEIVE`.
        is_form: for `SEND`: the messages are in a field `d`.
    """

    action: Action
    session_id: bytes = b""
    transport: Transport = Transport.XHR
    is_form: bool = False


_RECEIVERS = {
    b"xhr": (Transport.XHR, (b"POST",)),
    b"jsonp": (Transport.JSONP, (b"GET", b"POST")),
    b"xhr_streaming": (Transport.XHR_STREAMING, (b"POST",)),
    b"eventsource": (Transport.EVENTSOURCE, (b"GET",)),
}


def parse_endpoint(method: bytes, path: bytes) -> Endpoint | None:
    """What a request asks for, None for nothing that there is.

    Args:
        path: what follows the prefix, percent-encoded, without query.
    """
    if method == b"OPTIONS":
        return Endpoint(Action.OPTIONS)
    if method == b"GET" and path == b"/info":
        return Endpoint(Action.INFO)
    if method == b"GET" and _IFRAME.fullmatch(path):
        return Endpoint(Action.IFRAME)
    parts = path.split(b"/")
    if len(parts) != 4 or parts[0] or not parts[2]:
        return None
    _, _, session_id, name = parts
    if name in _RECEIVERS:
        transport, methods = _RECEIVERS[name]
        return Endpoint(Action.RECEIVE, session_id, transport) if method in methods else None
    if name == b"xhr_send" and method == b"POST":
        return Endpoint(Action.SEND, session_id)
    if name == b"jsonp_send" and method in (b"GET", b"POST"):
        return Endpoint(Action.SEND, session_id, is_form=True)
    return None


def is_framed_socket(path: bytes) -> bool | None:
    """Whether a WebSocket at this path below the prefix has SockJS frames inside; None if there is none (§4.2)."""
    if path == b"/websocket":
        return False
    parts = path.split(b"/")
    return True if len(parts) == 4 and not parts[0] and all(parts[2:]) else None


def form_field(form: bytes, *names: bytes) -> bytes | None:
    """The decoded value of the first of `names` that a query or a form has."""
    for wanted in names:
        for pair in form.split(b"&"):
            name, _, value = pair.partition(b"=")
            if name == wanted:
                return unquote_to_bytes(value.replace(b"+", b" "))
    return None


def parse_callback(query: bytes | None) -> bytes | None:
    """The name of the function that a script is to call, None if there is none, or what is there is no name.

    Nothing that could be a program gets through: who may only run scripts of ours must not be made to run others.
    """
    name = form_field(query or b"", b"callback", b"c")
    return name if name is not None and _CALLBACK.fullmatch(name.decode("utf-8", "replace")) else None


@dataclass(frozen=True, slots=True)
class Format:
    """How one transport writes frames.

    Attributes:
        content_type: of its responses.
        prelude: what a streaming response begins with; some browsers show nothing before so much has come.
        is_streaming: a response has many frames.
    """

    content_type: bytes
    prefix: bytes = b""
    suffix: bytes = b"\n"
    prelude: bytes = b""
    is_streaming: bool = False
    callback: bytes | None = None

    def encode(self, frame: bytes) -> bytes:
        """A frame as it stands in the response."""
        if self.callback is not None:
            return wrap(self.callback, frame)
        return b"%b%b%b" % (self.prefix, frame, self.suffix)


_FORMATS = {
    Transport.XHR: Format(TEXT),
    Transport.XHR_STREAMING: Format(SCRIPT, prelude=b"h" * 2048 + b"\n", is_streaming=True),
    Transport.EVENTSOURCE: Format(b"text/event-stream", b"data: ", b"\r\n\r\n", b"\r\n", is_streaming=True),
}


def format_of(transport: Transport, callback: bytes | None) -> Format:
    """How a transport writes; `callback` is for JSON-P."""
    return _FORMATS[transport] if transport in _FORMATS else Format(SCRIPT, callback=callback)


def wrap(callback: bytes, frame: bytes) -> bytes:
    """The script that gives a frame to a function. The comment keeps a file of another kind from beginning here."""
    return b"/**/%b(%b);\n" % (callback, json.dumps(frame.decode(), ensure_ascii=False).encode())


def common_headers(origin: bytes | None) -> Headers:
    """What every answer ends with: nobody keeps it, and every site may ask (§4.2)."""
    return [
        (b"Cache-Control", _NO_STORE),
        (b"Access-Control-Allow-Origin", origin or b"*"),
        (b"Access-Control-Allow-Credentials", b"true"),
    ]


def info(entropy: int) -> bytes:
    """What the server can do."""
    return b'{"cookie_needed":false,"entropy":%d,"origins":["*:*"],"websocket":true}\n' % entropy


_PAGE = """<!DOCTYPE html>
<html>
<head>
  <meta charset="UTF-8">
  <title>SockJS</title>
  <script src="{url}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body></body>
</html>
"""


@dataclass(frozen=True, slots=True)
class IframePage:
    """The page that old browsers load into a frame to ask from there."""

    body: bytes
    etag: bytes

    @classmethod
    def of(cls, script_url: str) -> IframePage:
        """The page that loads the client library from `script_url`."""
        body = _PAGE.format(url=html.escape(script_url)).encode()
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return cls(body, f'"{digest}"'.encode())
