"""What a backend is sent (routes spec §3.2, §3.4, §3.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.helpers import KEY, make_defaults, make_rule

from holdfast.errors import WireError
from holdfast.grip.signature import Key, Signer
from holdfast.routing.authority import Authority
from holdfast.routing.forward import (
    GRIP_FEATURE,
    ForwardPolicy,
    OriginRequest,
    SetForwardedProto,
    build_origin_request,
    connect_address,
    encode_headers,
    encode_origin_head,
    is_tls_by_header,
    origin_authority,
    parse_xff_rule,
    ready_for,
)
from holdfast.routing.rules import Proto, Rule
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.headers import Headers, get_all, get_first
from holdfast.wire.jwt import Algorithm, decode_jwt

NOW_S = 1_700_000_000.5
SHIPPED = ForwardPolicy(set_x_forwarded_protocol=SetForwardedProto.PROTO_ONLY)
UNSIGNED = make_defaults(sig_key=None)
FEATURE = (b"Grip-Feature", GRIP_FEATURE)


def forward(
    line: str | Rule,
    headers: Headers,
    *,
    policy: ForwardPolicy = SHIPPED,
    target: str = "/",
    host: str = "x.com:81",
    method: bytes = b"GET",
    is_tls: bool = False,
    is_trusted: bool = False,
    **more: Any,
) -> OriginRequest:
    rule = make_rule(line, UNSIGNED) if isinstance(line, str) else line
    uri = parse_client_uri(target.encode(), host.encode(), is_tls=is_tls)
    return build_origin_request(
        rule,
        uri,
        method,
        headers,
        policy=policy,
        is_tls=is_tls,
        is_trusted=is_trusted,
        client_address="CLIENT",
        now_s=NOW_S,
        **more,
    )


def headers_to_origin(line: str, headers: Headers, **more: Any) -> Headers:
    """Headers that go on, without Grip-Feature, which every untrusted request gets."""
    return [header for header in forward(line, headers, **more).headers if header != FEATURE]


def head_of(line: str, headers: Headers, **more: Any) -> list[str]:
    """Lines of the head for the first target of a route."""
    rule = make_rule(line, UNSIGNED)
    request = forward(rule, headers, **more)
    head = encode_origin_head(request, rule.targets[0], content_length=None, is_chunked=False)
    return head.decode().split("\r\n")


PATHS = [
    pytest.param("path_beg=/abc,path_rem=4", "/abc/d?e=f", "/d?e=f", id="cut"),
    pytest.param("path_beg=/abc,path_rem=4", "/abc", "/", id="routes-34-emptied"),
    pytest.param("path_beg=/abc,replace_beg=/xyz", "/abc/d?q", "/xyz/d?q", id="routes-33"),
    pytest.param("path_beg=/abc,replace_beg=/xyz", "/abcdef", "/xyzdef", id="no-boundary"),
    pytest.param("path_beg=/abc/,replace_beg=/", "/abc/d", "/d", id="slash"),
    pytest.param("path_beg=/abc,path_rem=1,replace_beg=", "/abc/d", "/d", id="replace-beats-rem"),
    pytest.param("replace_beg=/pre", "/abc/d", "/pre/abc/d", id="prepend-only"),
    pytest.param("path_rem=4", "/abcd", "/d", id="slash-is-added"),
    pytest.param("path_rem=99", "/abcd?q", "/?q", id="cut-more-than-there-is"),
    pytest.param("replace_beg=pre", "/a", "/pre/a", id="replacement-without-slash"),
    pytest.param("path_beg=/abc,replace_beg=/xyz", "/abc../d", "/xyz../d", id="dots-within-a-name"),
    pytest.param("debug", "/a?", "/a?", id="empty-query"),
    pytest.param("debug", "/a/../b?/../c", "/b?/../c", id="query-untouched"),
]


@pytest.mark.parametrize(("props", "target", "expected"), PATHS)
def test_path(props: str, target: str, expected: str) -> None:
    assert forward(f"*,{props} h:80", [], target=target).path_and_query == expected.encode()


@pytest.mark.parametrize(
    ("props", "target"),
    [
        ("path_beg=/abc,replace_beg=/xyz/", "/abc../d"),
        ("path_beg=/abc,replace_beg=/xyz/", "/abc%2e%2E/d"),
        ("path_rem=4", "/abc../d"),
        ("path_rem=4", "/abc./d"),
    ],
)
def test_rewriting_never_lets_a_path_climb_out(props: str, target: str) -> None:
    """`/abc../d` is a harmless name until a route cuts it apart."""
    with pytest.raises(WireError) as caught:
        forward(f"*,{props} h:80", [], target=target)
    assert caught.value.status == 400


HOSTS = [
    pytest.param("* h:80", "x.com:81", False, "x.com:81", id="own-port"),
    pytest.param("* h:80", "x.com:80", False, "x.com", id="default-port"),
    pytest.param("* h:80", "x.com", True, "x.com", id="tls-to-plain"),
    pytest.param("* h:80,ssl", "x.com:443", False, "x.com", id="default-port-of-the-targets-scheme"),
    pytest.param("* h:80", "x.com:443", False, "x.com:443", id="other-port-kept"),
    pytest.param("* h:80", "[::1]:81", False, "[::1]:81", id="ipv6"),
    pytest.param("*,as_host=o.com h:80", "x.com:81", False, "o.com", id="as_host-drops-the-port"),
    pytest.param("*,as_host=o.com:81 h:80", "x.com", False, "o.com:81", id="routes-35-as_host"),
    pytest.param("* h:80,host=t.com", "x.com:81", False, "t.com", id="routes-35-host"),
    pytest.param("*,as_host=o.com h:80,host=t.com:99", "x.com:81", False, "t.com:99", id="both"),
    pytest.param("*,header=Host:evil h:80", "x.com", False, "x.com", id="header-prop-does-not-count"),
]


@pytest.mark.parametrize(("line", "host", "is_tls", "expected"), HOSTS)
def test_host_header(line: str, host: str, is_tls: bool, expected: str) -> None:
    head = head_of(line, [(b"Host", b"as-the-client-wrote-it")], host=host, is_tls=is_tls)
    assert [text for text in head if text.lower().startswith("host")] == [f"Host: {expected}"]
    assert head[1] == f"Host: {expected}"


@pytest.mark.parametrize(
    ("line", "address", "authority"),
    [
        ("* h:8000", ("h", 8000), Authority("x.com", 81)),
        ("* [::1]:8000", ("::1", 8000), Authority("x.com", 81)),
        ("* :80", ("x.com", 81), Authority("x.com", 81)),
        ("* :80,host=[::2]", ("::2", 80), Authority("[::2]", None)),
        ("*,as_host=o.com :80,ssl", ("o.com", 443), Authority("o.com", None)),
    ],
)
def test_connect_address(line: str, address: tuple[str, int], authority: Authority) -> None:
    rule = make_rule(line, UNSIGNED)
    request = forward(rule, [])
    assert connect_address(request, rule.targets[0]) == address
    assert origin_authority(request, rule.targets[0]) == authority


def test_kept_headers_keep_order_spelling_and_repetition() -> None:
    """routes-60: and nothing is added to them."""
    headers = [(b"cookie", b"a=1"), (b"X-B", b""), (b"COOKIE", b"b=2"), (b"Trailer", b"x"), (b"Via", b"1.1 a")]
    assert headers_to_origin("* h:80", headers) == headers


def test_hop_by_hop_headers_end_here() -> None:
    """routes-38."""
    names = (
        "Connection Keep-Alive Accept-Encoding Content-Encoding Transfer-Encoding Expect Proxy-Connection TE Upgrade"
    )
    gone = [(name.encode(), b"close") for name in f"{names} Host Content-Length".split()]
    gone += [(name.upper(), value) for name, value in gone]
    assert headers_to_origin("* h:80", [*gone, (b"X", b"1")]) == [(b"X", b"1")]


def test_connection_takes_along_what_it_names() -> None:
    headers = [
        (b"X-Hop", b"1"),
        (b"Connection", b"x-hop, close"),
        (b"X", b"1"),
        (b"connection", b"Y-Hop"),
        (b"y-hop", b""),
    ]
    assert headers_to_origin("* h:80", headers) == [(b"X", b"1")]


def test_connection_takes_nothing_essential_along() -> None:
    """A client must not strip what the meaning of a request or the word of an earlier proxy rests on."""
    kept = [(b"Authorization", b"a"), (b"Content-Type", b"t"), (b"X-Real-IP", b"1.1.1.1"), (b"Cookie", b"c")]
    names = b", ".join([*(name for name, _ in kept), b"Host", b"Content-Length", b"X-Forwarded-For", b"Grip-Sig"])
    headers = [(b"Connection", names), *kept, (b"X-Forwarded-For", b"1.1.1.1")]
    assert headers_to_origin("* h:80", headers) == [*kept, (b"X-Forwarded-For", b"1.1.1.1")]


def test_connection_takes_nothing_along_that_the_route_sets() -> None:
    headers = [(b"Connection", b"X-Secret, X-Hop"), (b"X-Hop", b"1"), (b"X-Secret", b"guess")]
    assert headers_to_origin("*,header=X-Secret:s h:80", headers) == [(b"X-Secret", b"s")]


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        pytest.param("header=X-A:", [(b"B", b"0")], id="routes-36-remove"),
        pytest.param("header=X-A:1,header=x-a:2", [(b"B", b"0"), (b"X-A", b"1")], id="routes-36-first-wins"),
        pytest.param("header=C:1,header=D:2", [(b"X-a", b"0"), (b"B", b"0"), (b"D", b"2"), (b"C", b"1")], id="reverse"),
        pytest.param("header=Grip-X:1", [(b"X-a", b"0"), (b"B", b"0")], id="routes-37"),
        pytest.param("header=Content-Length:7", [(b"X-a", b"0"), (b"B", b"0")], id="framing-is-ours"),
    ],
)
def test_headers_of_the_route(props: str, expected: Headers) -> None:
    headers = [(b"X-a", b"0"), (b"B", b"0")]
    assert headers_to_origin(f"*,{props} h:80", headers) == expected
    assert headers == [(b"X-a", b"0"), (b"B", b"0")]


def test_grip_headers_of_the_route_pass_from_a_trusted_client() -> None:
    assert forward("*,header=Grip-X:1 h:80", [], is_trusted=True).headers == [(b"Grip-X", b"1")]


def test_original_headers() -> None:
    """routes-56: copies come after the rest, before everything that is added; also of what is not forwarded itself."""
    headers = [(b"Host", b"h"), (b"X-A", b"1"), (b"EB9bf0f5-B", b"2"), (b"Connection", b"close"), (b"Grip-X", b"g")]
    assert forward("*,orig_headers h:80", headers).headers == [
        (b"X-A", b"1"),
        (b"eb9bf0f5-Host", b"h"),
        (b"eb9bf0f5-X-A", b"1"),
        (b"EB9bf0f5-B", b"2"),
        (b"eb9bf0f5-Connection", b"close"),
        (b"eb9bf0f5-Grip-X", b"g"),
        FEATURE,
    ]


def test_marks_are_removed_without_orig_headers() -> None:
    """routes-57: also from trusted clients."""
    headers = [(b"eb9bf0f5-X", b"1"), (b"EB9BF0F5-Y", b"1"), (b"X", b"1")]
    assert headers_to_origin("* h:80", headers) == [(b"X", b"1")]
    assert headers_to_origin("* h:80", headers, is_trusted=True) == [(b"X", b"1")]


def test_originals_of_a_trusted_client_are_left_as_they_are() -> None:
    headers = [(b"eb9bf0f5-X", b"1"), (b"X", b"1"), (b"Grip-Sig", b"t")]
    assert forward("*,orig_headers h:80", headers, is_trusted=True).headers == headers


def test_headers_that_need_a_mark() -> None:
    """routes-58."""
    policy = ForwardPolicy(orig_headers_need_mark=frozenset({b"x-a"}))
    line = "*,orig_headers h:80"
    assert headers_to_origin(line, [(b"X-A", b"1")], policy=policy) == [(b"X-A", b"1")]
    marked = [(b"eb9bf0f5-X-A", b"0"), (b"X-A", b"1")]
    assert headers_to_origin(line, marked, policy=policy) == [(b"X-A", b"1"), (b"eb9bf0f5-X-A", b"0")]


def test_pushpin_route_is_removed_only_where_it_is_obeyed() -> None:
    """routes-30."""
    headers = [(b"Pushpin-Route", b"r")]
    assert headers_to_origin("* h:80", headers) == headers
    assert headers_to_origin("* h:80", headers, policy=ForwardPolicy(accept_pushpin_route=True)) == []


@pytest.mark.parametrize(
    ("cdn_loop", "headers", "expected"),
    [
        pytest.param(b"me", [(b"CDN-Loop", b"a")], [(b"CDN-Loop", b"a, me")], id="routes-59"),
        pytest.param(
            b"me", [(b"cdn-loop", b"a,b"), (b"CDN-Loop", b"c")], [(b"CDN-Loop", b"a, b, c, me")], id="several"
        ),
        pytest.param(b"me", [], [(b"CDN-Loop", b"me")], id="first"),
        pytest.param(b"", [(b"cdn-loop", b"a")], [(b"cdn-loop", b"a")], id="off"),
    ],
)
def test_cdn_loop(cdn_loop: bytes, headers: Headers, expected: Headers) -> None:
    assert headers_to_origin("* h:80", headers, policy=ForwardPolicy(cdn_loop=cdn_loop)) == expected


def test_grip_headers_of_an_untrusted_client_are_replaced() -> None:
    """routes-39, routes-40, routes-41: Grip-Sig, Grip-Feature, then last ids."""
    headers = [(b"Grip-Hold", b"stream"), (b"GRIP-SIG", b"x"), (b"grip-last", b"x"), (b"A", b"1")]
    last = [(b"Grip-Last", b"c; last-id=1"), (b"Grip-Last", b"d; last-id=2")]
    sent = forward(make_rule("* h:80"), headers, grip_last=last).headers
    assert [name for name, _ in sent] == [b"A", b"Grip-Sig", b"Grip-Feature", b"Grip-Last", b"Grip-Last"]
    assert decode_jwt(sent[1][1], KEY) == {"exp": int(NOW_S) + 3600, "iss": "pushpin"}
    assert sent[2][1] == (
        b"status, session, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, "
        b"filter:build-id, filter:var-subst, filter:http-check, filter:http-modify"
    )
    assert sent[3:] == last


@pytest.mark.parametrize("char", "-_!#$%&'*+.^`|~")
def test_no_spelling_of_a_grip_header_passes(char: str) -> None:
    """Servers by the rules of CGI turn every character that is no letter or digit into an underscore."""
    headers = [(f"Grip{char}Sig".encode(), b"forged"), (f"gRIP{char}X".encode(), b"x")]
    assert headers_to_origin("* h:80", headers) == [] == headers_to_origin("*,no_grip h:80", headers)
    others = [(b"Grip", b"1"), (b"Grips-X", b"1"), (b"Gripe", b"1"), (b"X-Grip-Sig", b"1"), (b"e", b"1")]
    assert headers_to_origin("* h:80", others) == others


def test_without_a_key_only_the_signature_is_missing() -> None:
    """routes-44."""
    assert forward("* h:80", []).headers == [FEATURE]


def test_a_key_that_cannot_sign_costs_the_signature_only() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    rule = replace(make_rule("* h:80"), sig=Signer("pushpin", Key(Algorithm.ES256, public)))
    assert forward(rule, []).headers == [FEATURE]


def test_no_grip() -> None:
    """routes-46: no Grip header at all, neither theirs nor ours."""
    headers = [(b"Grip-Hold", b"stream"), (b"A", b"1")]
    assert forward(make_rule("*,no_grip h:80"), headers, grip_last=[(b"Grip-Last", b"c")]).headers == [(b"A", b"1")]


def test_trusted_client() -> None:
    """routes-47: its Grip headers pass unchanged and none of ours is added."""
    headers = [(b"Grip-Sig", b"t"), (b"Grip-Feature", b"theirs"), (b"Grip-Last", b"c; last-id=1")]
    assert forward(make_rule("* h:80"), headers, is_trusted=True).headers == headers


XFP = [(b"X-Forwarded-Proto", b"https"), (b"x-forwarded-protocol", b"https")]
HTTPS, HTTPS_TOO = (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Protocol", b"https")


@pytest.mark.parametrize(
    ("accept", "which", "is_tls", "expected"),
    [
        pytest.param(False, SetForwardedProto.PROTO_ONLY, False, [], id="routes-50"),
        pytest.param(False, SetForwardedProto.PROTO_ONLY, True, [HTTPS], id="routes-51-proto-only"),
        pytest.param(False, SetForwardedProto.TRUE, True, [HTTPS, HTTPS_TOO], id="routes-51-true"),
        pytest.param(False, SetForwardedProto.TRUE, False, [], id="true-plain"),
        pytest.param(True, SetForwardedProto.NONE, True, [], id="accept-only"),
        pytest.param(False, SetForwardedProto.NONE, True, XFP, id="left-alone"),
    ],
)
def test_x_forwarded_proto(accept: bool, which: SetForwardedProto, is_tls: bool, expected: Headers) -> None:
    policy = ForwardPolicy(accept_x_forwarded_protocol=accept, set_x_forwarded_protocol=which)
    assert headers_to_origin("* h:80", XFP, policy=policy, is_tls=is_tls) == expected


def test_nothing_is_set_where_nothing_is_configured() -> None:
    """routes-51: `false` gives neither header."""
    assert headers_to_origin("* h:80", [], policy=ForwardPolicy(), is_tls=True) == []


def test_x_forwarded_proto_of_a_websocket() -> None:
    assert headers_to_origin("* h:80", [], is_tls=True, proto=Proto.WS) == [(b"X-Forwarded-Proto", b"wss")]


@pytest.mark.parametrize(
    ("headers", "accept", "is_tls"),
    [
        ([(b"x-forwarded-proto", b"https")], True, True),
        ([(b"X-Forwarded-Proto", b"wss")], True, True),
        pytest.param([(b"X-Forwarded-Proto", b"HTTPS")], True, False, id="routes-52"),
        ([(b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Protocol", b"https")], True, False),
        ([(b"X-Forwarded-Protocol", b"https")], True, True),
        ([(b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Proto", b"https")], True, False),
        ([], True, False),
        ([(b"X-Forwarded-Proto", b"https")], False, False),
    ],
)
def test_is_tls_by_header(headers: Headers, accept: bool, is_tls: bool) -> None:
    assert is_tls_by_header(headers, ForwardPolicy(accept_x_forwarded_protocol=accept)) is is_tls


def test_x_forwarded_for() -> None:
    """routes-53: one header at the end; trusted clients have a rule of their own."""
    policy = ForwardPolicy(
        x_forwarded_for=parse_xff_rule(["append"]), x_forwarded_for_trusted=parse_xff_rule(["truncate:1"])
    )
    headers = [(b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2"), (b"A", b"1"), (b"x-forwarded-for", b"3.3.3.3")]
    sent = forward("* h:80", headers, policy=policy).headers
    assert sent == [(b"A", b"1"), FEATURE, (b"X-Forwarded-For", b"1.1.1.1, 2.2.2.2, 3.3.3.3, CLIENT")]
    trusted = forward("* h:80", headers, policy=policy, is_trusted=True).headers
    assert trusted == [(b"A", b"1"), (b"X-Forwarded-For", b"3.3.3.3")]


@pytest.mark.parametrize(
    ("length", "is_chunked", "framing"),
    [
        (None, False, ""),
        (0, False, "Content-Length: 0\r\n"),
        (12, False, "Content-Length: 12\r\n"),
        (None, True, "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
    ],
)
def test_head_on_the_wire(length: int | None, is_chunked: bool, framing: str) -> None:
    rule = make_rule("*,no_grip h:80")
    headers = [
        (b"A", b"1"),
        (b"host", b"y"),
        (b"Content-Length", b"99"),
        (b"Transfer-Encoding", b"chunked"),
        (b"B", b""),
    ]
    request = forward(rule, headers, method=b"POST", target="/p?q")
    head = encode_origin_head(request, rule.targets[0], content_length=length, is_chunked=is_chunked)
    assert head.decode() == f"POST /p?q HTTP/1.1\r\nHost: x.com:81\r\nA: 1\r\nB: \r\n{framing}\r\n"


def test_head_without_headers() -> None:
    rule = make_rule("*,no_grip h:80")
    head = encode_origin_head(forward(rule, []), rule.targets[0], content_length=None, is_chunked=False)
    assert head == b"GET / HTTP/1.1\r\nHost: x.com:81\r\n\r\n"


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\r\n", b"\n\r"])
@pytest.mark.parametrize("place", ["method", "name", "value", "path"])
def test_no_line_break_gets_into_a_head(bad: bytes, place: str) -> None:
    request = OriginRequest(
        b"GET" + bad * (place == "method"),
        b"/" + bad * (place == "path"),
        Authority("h", None),
        [(b"A" + bad * (place == "name"), b"1" + bad * (place == "value"))],
    )
    with pytest.raises(WireError) as caught:
        encode_origin_head(request, make_rule("* h:80").targets[0], content_length=None, is_chunked=False)
    assert caught.value.status == 400


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\r\n", b"\n\r"])
@pytest.mark.parametrize("place", ["name", "value"])
def test_no_line_break_gets_into_encoded_headers(bad: bytes, place: str) -> None:
    with pytest.raises(WireError) as caught:
        encode_headers([(b"A" + bad * (place == "name"), b"1" + bad * (place == "value"))])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("headers", "lines"), [([], ""), ([(b"A", b"1")], "A: 1\r\n"), ([(b"A", b""), (b"B", b"2")], "A: \r\nB: 2\r\n")]
)
def test_headers_that_are_encoded_already(headers: Headers, lines: str) -> None:
    request = OriginRequest(b"GET", b"/", Authority("h", None), [(b"C", b"3")], encode_headers(headers))
    head = encode_origin_head(request, make_rule("* h:80").targets[0], content_length=7, is_chunked=False)
    assert head.decode() == f"GET / HTTP/1.1\r\nHost: h\r\nC: 3\r\nContent-Length: 7\r\n{lines}\r\n"


def test_a_head_that_is_ready() -> None:
    """It is the head for one target, without a body; any other is made."""
    first, second = make_rule("* h:80,host=first h:81,host=second").targets
    plain = forward("*,no_grip h:80", [(b"A", b"1")])
    ready = ready_for(plain, first)
    head = encode_origin_head(ready, first, content_length=None, is_chunked=False)
    assert head is ready.ready
    for target in (first, second):
        for content_length, is_chunked in ((None, False), (0, False), (7, False), (None, True)):
            made = encode_origin_head(ready, target, content_length=content_length, is_chunked=is_chunked)
            assert made == encode_origin_head(plain, target, content_length=content_length, is_chunked=is_chunked)


NAMES = st.sampled_from(
    [
        b"Grip-Sig",
        b"GRIP-Hold",
        b"grip-",
        b"Grip-Feature",
        b"Grip-Last",
        b"gRiP-x",
        b"Connection",
        b"X-A",
        b"eb9bf0f5-Grip-X",
    ]
)
VALUES = st.sampled_from([b"forged", b"Grip-Sig", b"X-A, grip-last", b"close"])
OPTIONS = st.sampled_from(
    ["", ",orig_headers", ",no_grip", ",header=Grip-Sig:forged", ",orig_headers,header=GRIP-Y:forged"]
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), OPTIONS, st.booleans())
def test_no_grip_header_of_an_untrusted_client_survives(headers: Headers, props: str, is_tls: bool) -> None:
    sent = forward(f"*{props} h:80", headers, is_tls=is_tls).headers
    survivors = [header for header in sent if header[0].lower().startswith(b"grip-")]
    assert survivors == ([] if "no_grip" in props else [FEATURE])


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=5), st.binary(max_size=5)), max_size=4))
def test_a_head_has_one_line_per_header_or_is_refused(headers: Headers) -> None:
    rule = make_rule("*,no_grip h:80")
    request = forward(rule, headers)
    try:
        head = encode_origin_head(request, rule.targets[0], content_length=None, is_chunked=False)
    except WireError:
        return
    assert head.splitlines() == head.split(b"\r\n")[:-1]
    assert len(head.splitlines()) == 2 + len(request.headers) + 1


def test_signatures_are_those_of_the_route() -> None:
    """routes-45."""
    rule = make_rule("*,sig_iss=me,sig_key=other h:80")
    token = get_first(forward(rule, []).headers, b"grip-sig")
    assert token is not None
    assert decode_jwt(token, Key(Algorithm.HS256, b"other"))["iss"] == "me"
    assert len(get_all(forward(rule, []).headers, b"grip-sig")) == 1
