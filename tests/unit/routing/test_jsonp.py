"""What the query of a JSON-P request asks for (routes spec §3.13)."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from holdfast.errors import WireError
from holdfast.routing.jsonp import MAX_HEADERS, JsonpRequest, read_jsonp
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Headers

TERMS = JsonpTerms()
BODY_TERMS = JsonpTerms(body_param=b"b", default_callback=b"d", default_method=b"POST", is_extended=False)
HOST = (b"Host", b"a.com:81")
ACCEPT = (b"Accept", b"*/*")


def read(
    query: str | None, terms: JsonpTerms = TERMS, headers: Headers | None = None, *, has_body: bool = False
) -> JsonpRequest | None:
    uri = ClientUri("http", "a.com", 81, b"/p", None if query is None else query.encode())
    return read_jsonp(terms, uri, headers or [(b"Host", b"A.com:81")], has_body=has_body)


def ask(query: str, terms: JsonpTerms = TERMS, headers: Headers | None = None) -> JsonpRequest:
    asked = read(query, terms, headers)
    assert asked is not None
    return asked


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        (None, TERMS),
        ("", TERMS),
        ("Callback=x&call=y&back", TERMS),
        ("_method=PUT&_body=x", TERMS),
        ("callback=x", JsonpTerms(callback_param=b"cb")),
        ("b=1", JsonpTerms(body_param=b"b")),
        ("x=1", JsonpTerms(body_param=b"b", default_callback=b"d")),
        ("_body=1", JsonpTerms(default_callback=b"d")),
    ],
)
def test_no_jsonp(query: str | None, terms: JsonpTerms) -> None:
    assert read(query, terms) is None


def test_nothing_but_a_callback() -> None:
    assert ask("callback=cb") == JsonpRequest(b"cb", b"GET", None, [HOST, ACCEPT], None)


def test_everything() -> None:
    """routes-89: headers by name, then ours, then the client's; no parameter of ours is left."""
    headers = quote(json.dumps({"X-B": " c ", "Host": "evil", "accept": "q", "A": "", "x-b": "d\té"}))
    asked = ask(
        f"x=1&callback=cb&_method=PATCH&_headers={headers}&_body=he%20llo+x&%79==%41+%zz",
        headers=[(b"host", b"A.com:81"), (b"Accept", b"text/x"), (b"X-C", b"1"), (b"X-b", b"client")],
    )
    assert asked == JsonpRequest(
        b"cb",
        b"PATCH",
        b"x=1&%79==%41+%zz",
        [
            (b"A", b""),
            (b"X-B", b"c"),
            (b"x-b", "d\té".encode()),
            HOST,
            ACCEPT,
            (b"X-C", b"1"),
            (b"X-b", b"client"),
        ],
        b"he llo+x",
    )


@pytest.mark.parametrize(
    ("query", "callback", "rest"),
    [
        ("callback=a&callback=", b"a", None),
        ("%63allback=a&", b"a", None),
        ("x&callback=a%2Eb+c%0d%0a%00%ff%zz%C3%A9&y", b"a.b+c\r\n\x00\xff%zz\xc3\xa9", b"x&y"),
        ("callback=a;b=1", b"a;b=1", None),
    ],
)
def test_callbacks(query: str, callback: bytes, rest: bytes | None) -> None:
    asked = ask(query)
    assert (asked.callback, asked.query) == (callback, rest)


def test_body_parameter() -> None:
    """routes-92: it stands for the callback, is JSON, and `_body` is nothing special then."""
    assert ask("b={}&_body=x", BODY_TERMS) == JsonpRequest(
        b"d", b"POST", b"_body=x", [(b"Content-Type", b"application/json"), HOST, ACCEPT], b"{}"
    )
    assert ask("callback=cb&b={}", BODY_TERMS).callback == b"cb"
    assert ask("callback=cb", BODY_TERMS) == JsonpRequest(b"cb", b"POST", None, [HOST, ACCEPT], None)


def test_a_request_has_one_content_type() -> None:
    headers = quote('{"content-type": "a/b", "X": "1"}')
    asked = ask(f"b=1&_headers={headers}", BODY_TERMS, [(b"Content-Type", b"c/d")])
    assert asked.headers == [(b"X", b"1"), (b"Content-Type", b"application/json"), HOST, ACCEPT]


NO_HEADERS = "Invalid _headers parameter."
REFUSED = [
    pytest.param("callback=", "Invalid callback parameter.", id="routes-90-callback"),
    ("callback", "Invalid callback parameter."),
    ("callback=&callback=x", "Invalid callback parameter."),
    ("callback=cb&_method=", "Invalid _method parameter."),
    ("callback=cb&_method=A%20B", "Invalid _method parameter."),
    ("callback=cb&_method=GET%20/x%20HTTP/1.1%0d%0aX:y%0d%0a%0d%0a", "Invalid _method parameter."),
    ("callback=cb&_method=%C3%A9", "Invalid _method parameter."),
    ("callback=cb&_method=TRACE", "Invalid _method parameter."),
    ("callback=cb&_method=track", "Invalid _method parameter."),
    ("callback=cb&_method=Connect", "Invalid _method parameter."),
    ("callback=cb&_body=", "Invalid _body parameter."),
    ("callback=cb&_headers=", NO_HEADERS),
    pytest.param("callback=cb&_headers=[]", NO_HEADERS, id="routes-90-headers"),
    ("callback=cb&_headers={", NO_HEADERS),
    ("callback=cb&_headers=%ff", NO_HEADERS),
    *[
        (f"callback=cb&_headers={quote(text)}", NO_HEADERS)
        for text in (
            '{"A": 1}',
            '{"A": null}',
            '{"": "x"}',
            '{"A B": "x"}',
            '{"A:": "x"}',
            '{"é": "x"}',
            '{"A\\r\\nB": "x"}',
            '{"A": "x\\r\\nB: y"}',
            '{"A": "x\\n"}',
            '{"A": "x\\u0000"}',
            '{"A": "x\\u007f"}',
            '{"A": "\\ud800"}',
            json.dumps({f"X-{number}": "" for number in range(MAX_HEADERS + 1)}),
            "[" * 1000,
        )
    ],
]


@pytest.mark.parametrize(("query", "text"), REFUSED)
def test_refused(query: str, text: str) -> None:
    with pytest.raises(WireError) as caught:
        read(query)
    assert (caught.value.status, caught.value.text) == (400, text)


@pytest.mark.parametrize(
    ("query", "terms", "has_body", "text"),
    [
        ("b=", BODY_TERMS, False, "Invalid body parameter."),
        ("callback=cb&b", BODY_TERMS, False, "Invalid body parameter."),
        ("b=1", BODY_TERMS, True, "Invalid body parameter."),
        ("callback=cb&_body=1", TERMS, True, "Invalid _body parameter."),
    ],
)
def test_refused_bodies(query: str, terms: JsonpTerms, has_body: bool, text: str) -> None:
    """A second body is refused: whichever were taken, the other would be somebody's surprise."""
    with pytest.raises(WireError) as caught:
        read(query, terms, has_body=has_body)
    assert caught.value.text == text


def test_a_body_of_the_client_without_one_in_the_query() -> None:
    asked = read("callback=cb", has_body=True)
    assert asked is not None
    assert asked.body is None


@pytest.mark.parametrize(
    "name",
    [
        "Grip-Sig", "grip-last", "Grip_Sig", "Connection", "Content-Length", "Transfer-Encoding", "TE", "Upgrade",
        "Host", "Expect", "Cookie", "Origin", "Referer", "Sec-Fetch-Site", "Proxy-Authorization",
        "Access-Control-Request-Method",
    ],
)  # fmt: skip
def test_what_no_script_can_set(name: str) -> None:
    headers = quote(json.dumps({name: "x", "X-A": "1"}))
    assert ask(f"callback=cb&_headers={headers}").headers == [(b"X-A", b"1"), HOST, ACCEPT]


def test_as_many_headers_as_a_client_may_send() -> None:
    headers = quote(json.dumps({f"X-{number}": "" for number in range(MAX_HEADERS)}))
    assert len(ask(f"callback=cb&_headers={headers}").headers) == MAX_HEADERS + 2
