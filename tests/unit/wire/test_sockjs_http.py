"""Requests and responses of SockJS over HTTP (routes spec §4.2)."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.sockjs_http import (
    Action,
    Endpoint,
    IframePage,
    Transport,
    common_headers,
    form_field,
    format_of,
    info,
    is_framed_socket,
    parse_callback,
    parse_endpoint,
    wrap,
)

RECEIVE, SEND = Action.RECEIVE, Action.SEND


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        (b"OPTIONS", b"/0/x/xhr", Endpoint(Action.OPTIONS)),
        (b"OPTIONS", b"", Endpoint(Action.OPTIONS)),
        (b"GET", b"/info", Endpoint(Action.INFO)),
        (b"GET", b"/iframe.html", Endpoint(Action.IFRAME)),
        (b"GET", b"/iframe-0.3.4.min.html", Endpoint(Action.IFRAME)),
        (b"GET", b"/iframe/x.html", Endpoint(Action.IFRAME)),
        (b"POST", b"/0/x/xhr", Endpoint(RECEIVE, b"x", Transport.XHR)),
        (b"POST", b"/0.0/x.y%20/xhr", Endpoint(RECEIVE, b"x.y%20", Transport.XHR)),
        (b"POST", b"//x/xhr", Endpoint(RECEIVE, b"x", Transport.XHR)),
        (b"GET", b"/0/x/jsonp", Endpoint(RECEIVE, b"x", Transport.JSONP)),
        (b"POST", b"/0/x/jsonp", Endpoint(RECEIVE, b"x", Transport.JSONP)),
        (b"POST", b"/0/x/xhr_streaming", Endpoint(RECEIVE, b"x", Transport.XHR_STREAMING)),
        (b"GET", b"/0/x/eventsource", Endpoint(RECEIVE, b"x", Transport.EVENTSOURCE)),
        (b"POST", b"/0/x/xhr_send", Endpoint(SEND, b"x")),
        (b"POST", b"/0/x/jsonp_send", Endpoint(SEND, b"x", is_form=True)),
        (b"GET", b"/0/x/jsonp_send", Endpoint(SEND, b"x", is_form=True)),
    ],
)
def test_endpoints(method: bytes, path: bytes, endpoint: Endpoint) -> None:
    assert parse_endpoint(method, path) == endpoint


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"GET", b""), (b"GET", b"/"), (b"POST", b"/info"), (b"HEAD", b"/info"), (b"GET", b"/info/"),
        (b"GET", b"foo/info"), (b"POST", b"/iframe.html"), (b"GET", b"/iframe.htm"),
        (b"GET", b"/x/iframe.html"), (b"GET", b"/0/x/xhr"), (b"PUT", b"/0/x/xhr"), (b"POST", b"/0/x/xhr/"),
        (b"POST", b"/0//xhr"), (b"POST", b"/x/xhr"), (b"POST", b"x/0/x/xhr"), (b"POST", b"/0/0/x/xhr"),
        (b"GET", b"/0/x/xhr_streaming"), (b"POST", b"/0/x/eventsource"), (b"GET", b"/0/x/xhr_send"),
        (b"PUT", b"/0/x/jsonp_send"), (b"GET", b"/0/x/htmlfile"), (b"GET", b"/0/x/websocket"), (b"POST", b"/0/x/"),
    ],
)  # fmt: skip
def test_what_is_not_there(method: bytes, path: bytes) -> None:
    assert parse_endpoint(method, path) is None


@pytest.mark.parametrize(
    ("path", "is_framed"),
    [
        (b"/websocket", False),
        (b"/0/x/websocket", True),
        (b"/0/x/anything", True),
        (b"//x/anything", True),
        (b"/0/websocket", None),
        (b"/websocket/", None),
        (b"/0//websocket", None),
        (b"/0/x/", None),
        (b"x/0/x/websocket", None),
        (b"/0/0/x/websocket", None),
        (b"", None),
    ],
)
def test_sockets(path: bytes, is_framed: bool | None) -> None:
    assert is_framed_socket(path) is is_framed


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (b"d=%5B%22a%22%5D", b'["a"]'),
        (b"x=1&d=a+b%2Bc&d=second", b"a b+c"),
        (b"d=", b""),
        (b"d", b""),
        (b"d=a=b", b"a=b"),
        (b"d=%zz%", b"%zz%"),
        (b"d=%ff%00", b"\xff\0"),
        (b"", None),
        (b"dd=1&xd=2", None),
    ],
)
def test_form_fields(form: bytes, value: bytes | None) -> None:
    assert form_field(form, b"d") == value


@pytest.mark.spec("routes-100")
@pytest.mark.parametrize(
    ("query", "callback"),
    [
        (b"callback=cb", b"cb"),
        (b"c=_jp.a1b2", b"_jp.a1b2"),
        (b"c=one&callback=two", b"two"),
        (b"t=1&c=window%5B%22$x-1", None),
        (b"c=a%5B0%5D", b"a[0]"),
        (b"c=", None),
        (b"c=a%3Cb", None),
        (b"c=a%0Ab", None),
        (b"c=a%20b", b"a b"),
        (b"c=%C3%A9", "é".encode()),
        (b"c=%ff", None),
        (b"c=alert(1)", None),
        (b"c=" + b"x" * 129, None),
        (b"", None),
        (None, None),
    ],
)
def test_callbacks(query: bytes | None, callback: bytes | None) -> None:
    assert parse_callback(query) == callback


@pytest.mark.parametrize(
    ("transport", "content_type", "prelude", "frame", "is_streaming"),
    [
        (Transport.XHR, b"text/plain", b"", b'a["x"]\n', False),
        (Transport.XHR_STREAMING, b"application/javascript", b"h" * 2048 + b"\n", b'a["x"]\n', True),
        (Transport.EVENTSOURCE, b"text/event-stream", b"\r\n", b'data: a["x"]\r\n\r\n', True),
        (Transport.JSONP, b"application/javascript", b"", b'/**/cb("a[\\"x\\"]");\n', False),
    ],
)
def test_formats(transport: Transport, content_type: bytes, prelude: bytes, frame: bytes, is_streaming: bool) -> None:
    format = format_of(transport, b"cb" if transport is Transport.JSONP else None)
    assert (format.content_type, format.prelude, format.is_streaming) == (content_type, prelude, is_streaming)
    assert format.encode(b'a["x"]') == frame


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_script_gives_its_function_the_frame(frame: str) -> None:
    script = wrap(b"f", frame.encode())
    assert json.loads(script.removeprefix(b"/**/f(").removesuffix(b");\n")) == frame


@pytest.mark.parametrize(
    ("origin", "allowed"), [(None, b"*"), (b"", b"*"), (b"null", b"null"), (b"http://o", b"http://o")]
)
def test_common_headers(origin: bytes | None, allowed: bytes) -> None:
    assert common_headers(origin) == [
        (b"Cache-Control", b"no-store, no-cache, must-revalidate, max-age=0"),
        (b"Access-Control-Allow-Origin", allowed),
        (b"Access-Control-Allow-Credentials", b"true"),
    ]


@pytest.mark.spec("routes-94")
def test_info() -> None:
    assert info(4294967295) == b'{"cookie_needed":false,"entropy":4294967295,"origins":["*:*"],"websocket":true}\n'


@pytest.mark.spec("routes-102")
def test_iframe() -> None:
    page = IframePage.of('http://x/s.js?a=1&b="<')
    assert b'<script src="http://x/s.js?a=1&amp;b=&quot;&lt;"></script>' in page.body
    assert page.etag.decode() == f'"{hashlib.md5(page.body, usedforsecurity=False).hexdigest()}"'
    assert page != IframePage.of("http://y/s.js")
