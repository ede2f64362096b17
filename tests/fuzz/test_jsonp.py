"""Any query: no JSON-P, a request that sets no more than a script can, or WireError 400; its response is one call.

In extended mode whatever a backend says, in whatever pieces, is one string of JSON.
"""

from __future__ import annotations

import re

import orjson
from hypothesis import strategies as st
from tests.fuzz.mutations import PLACES, cut, mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import WireError
from holdfast.routing.jsonp import read_jsonp
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.cross_origin import Cors
from holdfast.wire.headers import is_one_line, is_token
from holdfast.wire.jsonp import Jsonp

TERMS = [
    JsonpTerms(),
    JsonpTerms(callback_param=b"cb", body_param=b"data", default_callback=b"f", default_method=b"POST"),
]
QUERIES = [
    b"callback=f&_method=POST&_headers=%7B%22X-A%22:%22b%22%7D&_body=x&rest=1",
    b"cb=f&data=%7B%7D&a",
    b"data=1&data=2&cb",
    b"%63allback=%66&_headers={%22Cookie%22:%22a%22,%22Grip-Sig%22:%22b%22}",
]
TOKENS = [
    b"&", b"=", b"%", b"%0d%0a", b"%00", b"+", b"%26", b"_headers=", b"_method=", b"%22", b"%7B", b"[", b":", b",",
    b"%5Cu000d", b"%5Cn", b"%5Cud800", b"null", b"Host", b"Content-Length", b"%c3%a9",
]  # fmt: skip
INPUTS = mutated(QUERIES, TOKENS).filter(re.compile(rb"[\x21-\x7e\x80-\xff]*").fullmatch)
CLIENT_HEADERS = [(b"Host", b"h"), (b"Accept", b"x"), (b"Cookie", b"mine"), (b"Content-Type", b"a/b")]
FORBIDDEN = re.compile(
    rb"grip[-_].*|sec-.*|proxy-.*|origin|connection|content-length|transfer-encoding|upgrade|te", re.I
)


@fuzz(INPUTS, st.sampled_from(TERMS), st.booleans(), examples=300)
def test_any_query(query: bytes, terms: JsonpTerms, has_body: bool) -> None:
    uri = parse_client_uri(b"/p?" + query, b"h", is_tls=False)
    try:
        request = read_jsonp(terms, uri, CLIENT_HEADERS, has_body=has_body)
    except WireError as exc:
        assert exc.status == 400
        return
    if request is None:
        return
    assert request.callback and is_token(request.method)
    assert request.query is None or set(request.query.split(b"&")) <= set((uri.query or b"").split(b"&"))
    assert [value for name, value in request.headers if name.lower() == b"host"] == [b"h"]
    assert [value for name, value in request.headers if name.lower() == b"cookie"] == [b"mine"]
    for name, value in request.headers:
        assert is_token(name) and is_one_line(value) and value == value.strip()
        assert not FORBIDDEN.fullmatch(name)
    assert request.body is None or (request.body and not has_body)


BODIES = mutated(
    [b"text\n", b'{"a":"b"}\r\n', b"", "é\u2028\u2029</script>".encode()], [b'"', b"\\", b"\xe2\x80", b"\xff", b");"]
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"A", b"a", b"Content-Type", b"Cache-Control"]),
        st.sampled_from([b"x", b'"', b"\xff", b"\xe2\x80\xa8"]),
    ),
    max_size=3,
)


@fuzz(BODIES, PLACES, HEADERS, st.sampled_from([b"f", b"a.b", b"alert(1);x"]), examples=200)
def test_any_answer_is_one_call(
    body: bytes, places: list[int], headers: list[tuple[bytes, bytes]], callback: bytes
) -> None:
    jsonp = Jsonp(callback, True, Cors.of([]))
    begun = jsonp.begin(200, b"OK", headers, None)
    assert begun.pieces is not None
    in_pieces = b"".join([begun.pieces.prefix, *map(begun.pieces.piece, cut(body, places)), begun.pieces.end()])
    code, _, outer, whole = jsonp.whole(200, b"OK", headers, body, None)
    assert (code, whole) == (200, in_pieces)
    held = jsonp.held(200, b"OK", headers, body)
    for script in (whole, held[3]):
        prefix, suffix = b"/**/%b(" % callback, b");\n"
        assert script.startswith(prefix) and script.endswith(suffix)
        assert "\u2028".encode() not in script and "\u2029".encode() not in script
        assert orjson.loads(script[len(prefix) : -len(suffix)])["body"] == body.decode("utf-8", "replace")
    assert all(is_one_line(value) for _, value in outer)
