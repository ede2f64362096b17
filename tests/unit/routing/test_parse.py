"""The routes file as a whole (routes spec §1.1, §1.6), and what it says about signing (§3.6)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

import pytest
from tests.unit.routing.helpers import KEY, load, load_raw, make_defaults, make_rule, make_table

from holdfast.grip.signature import Key
from holdfast.routing.parse import (
    UNSUPPORTED_CONDITION_PROPS,
    ProblemKind,
    RouteProblem,
    parse_route_lines,
)
from holdfast.routing.rules import Rule
from holdfast.wire.jwt import Algorithm, decode_jwt

NOW_S = 1_700_000_000


def test_nothing_to_load() -> None:
    """routes-1: comments, blank lines and an empty file give neither rule nor warning."""
    for text in ("", "\n", "# x\n   \r\n#y", "   # z"):
        table, problems = load(text)
        assert (len(table), problems) == (0, [])


def test_line_ends_and_order() -> None:
    table = make_table("a.com h:1\r\n\r\nb.com h:2\nc.com h:3")
    assert [(rule.place, rule.domain) for rule in table] == [
        ("routes:1", "a.com"),
        ("routes:3", "b.com"),
        ("routes:4", "c.com"),
    ]


BAD_LINES = [
    pytest.param("a.com", "must specify condition and at least one target", id="routes-2"),
    pytest.param("a.com\th:80", "must specify condition and at least one target", id="routes-3"),
    pytest.param('a.com,x="\\n" h:80', "unexpected escape character: n", id="routes-7"),
    pytest.param("a.com, h:80", "expecting prop", id="routes-8-prop"),
    pytest.param("a.com,=x h:80", "empty prop name", id="routes-8-name"),
    pytest.param(" id=r h:80", "expecting prop", id="routes-9"),
    pytest.param("a.com h", "target bad format", id="routes-10-format"),
    pytest.param("a.com h:0", "target invalid port", id="routes-10-zero"),
    pytest.param("a.com h:65536", "target invalid port", id="routes-10-large"),
    pytest.param("a.com h:80x", "target invalid port", id="routes-10-text"),
    pytest.param("a.com good:80 bad", "target bad format", id="routes-11"),
    pytest.param("a.com good:80 \\", "target bad format", id="no-continuation"),
    pytest.param("a.com,proto=x h:80", "proto must be set to 'http' or 'ws'", id="proto"),
    pytest.param("a.com,jsonp_mode=x h:80", "jsonp_mode must be set to 'basic' or 'extended'", id="validated-first"),
    pytest.param("a.com,sockjs=/s h:0", "target invalid port", id="target-validated-first"),
    pytest.param(
        "a.com zhttp/x", "zhttp target must name an address such as tcp://HOST:PORT or ipc://FILE", id="zhttp-spec"
    ),
]


@pytest.mark.parametrize(("line", "text"), BAD_LINES)
def test_a_bad_line_is_reported_and_the_others_work(line: str, text: str) -> None:
    table, problems = load(f"x.com h:80\n{line}\ny.com h:80\n")
    assert problems == [f"routes:2: {text}"]
    assert [rule.domain for rule in table] == ["x.com", "y.com"]


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        (b"\xe4.com h:80", ["routes:1: not valid UTF-8"]),
        (b"a.com,header=X:\xe4 h:80", ["routes:1: not valid UTF-8"]),
        (b"a.com h:80,sub=\xe4", ["routes:1: not valid UTF-8"]),
        (b'a.com "\\\xe4" h:80', ["routes:1: unexpected escape character: \\udce4"]),
        (b"# \xe4", []),
        (b"a.com h:80 # \xe4", []),
    ],
)
def test_bytes_that_are_not_utf8(line: bytes, problems: list[str]) -> None:
    assert load(line.decode(errors="surrogateescape"))[1] == problems


@pytest.mark.parametrize("name", sorted(UNSUPPORTED_CONDITION_PROPS))
def test_unsupported_condition_prop(name: str) -> None:
    assert load(f"a.com,{name}=1 h:80")[1] == [f"routes:1: option {name} is not supported yet"]


@pytest.mark.parametrize(
    "line",
    [
        "a.com,orig-headers,asHost=x,trusted,aspath=/ h:80,req,ssl",
        "a.com,over_http,untrusted h:80,aco,session,ssl",
    ],
)
def test_unknown_props_are_ignored(line: str) -> None:
    """routes-15: also names that exist only on the other side of the line."""
    rule = make_rule(line)
    assert rule.targets[0].ssl
    assert rule.targets[0].untrusted is False


def test_duplicates() -> None:
    """routes-13: the second of two equal conditions is dropped, whatever its id says; the message has no colon."""
    table, problems = load_raw(
        "a.com,path_beg=/x,id=1 h:1\nA.com,id=2,path_beg=/x h:2\na.com,path_beg=/x,ssl=no h:3\nb.com,path_beg=/x h:4\n"
    )
    assert problems == [RouteProblem("routes", 2, "skipping duplicate condition", ProblemKind.DUPLICATE)]
    assert str(problems[0]) == "routes:2 skipping duplicate condition"
    assert [rule.targets[0].port for rule in table] == [1, 3, 4]


def test_rules_without_a_domain_differ_by_id() -> None:
    table, problems = load(",id=1 h:1\nid=2 h:2\n,id=1 h:3\n1 h:4\n")
    assert problems == ["routes:3 skipping duplicate condition"]
    assert [rule.targets[0].port for rule in table] == [1, 2, 4]


def test_a_refused_line_is_nobodys_duplicate() -> None:
    table, problems = load("a.com,session h:1\na.com h:2\n")
    assert problems == ["routes:1: option session is not supported yet"]
    assert len(table) == 1


def test_command_line() -> None:
    table, problems = parse_route_lines(["* h:1", "a.com", "* h:2", "# x"], make_defaults())
    assert [str(problem) for problem in problems] == [
        "<route>:1: must specify condition and at least one target",
        "<route>:1 skipping duplicate condition",
    ]
    assert [rule.place for rule in table] == ["<route>:1"]


def test_debug_default() -> None:
    """routes-14: the flag is on by presence; without it the setting holds."""
    assert make_rule("a.com,debug=false h:80").debug
    assert not make_rule("a.com h:80").debug
    assert make_rule("a.com h:80", make_defaults(debug=True)).debug


def test_cross_origin_default() -> None:
    """`auto_cross_origin`: as if every line had `aco`."""
    assert make_rule("a.com,jsonp_cb=cb h:80").cross_origin is None
    rule = make_rule("a.com,jsonp_cb=cb h:80", make_defaults(cross_origin=True))
    assert rule.cross_origin is not None
    assert rule.cross_origin.callback_param == b"cb"


def issuer_of(rule: Rule, key: Key) -> object:
    assert rule.sig is not None
    token = rule.sig.token(NOW_S)
    assert token is not None
    return decode_jwt(token, key)["iss"]


OTHER = Key(Algorithm.HS256, b"other")
HEX = Key(Algorithm.HS256, b"\x01\x02")
FILES = {"/etc/holdfast/k.hex": b"0102\n", "/abs": b"0102"}


@pytest.mark.parametrize(
    ("props", "issuer", "key"),
    [
        pytest.param("", "pushpin", KEY, id="default"),
        pytest.param(",sig_iss=me", "me", KEY, id="routes-45-issuer-alone"),
        pytest.param(",sig_key=other", "pushpin", OTHER, id="routes-45-key-alone"),
        pytest.param(",sig_iss=me,sig_key=base64:b3RoZXI=", "me", OTHER, id="both"),
        pytest.param(",sig_iss=,sig_key=", "pushpin", KEY, id="empty-means-default"),
        pytest.param(",sig_key=file:k.hex", "pushpin", HEX, id="file-beside-the-routes"),
        pytest.param(",sig_key=file:/abs", "pushpin", HEX, id="absolute-file"),
    ],
)
def test_signing(props: str, issuer: str, key: Key) -> None:
    assert issuer_of(make_rule(f"a.com{props} h:80", make_defaults(files=FILES)), key) == issuer


@pytest.mark.parametrize(
    ("sig_iss", "sig_key", "props", "is_signed"),
    [
        ("pushpin", None, "", False),
        ("pushpin", None, ",sig_key=x", True),
        ("", KEY, "", False),
        ("", KEY, ",sig_iss=me", True),
    ],
)
def test_no_signer_without_issuer_or_key(sig_iss: str, sig_key: Key | None, props: str, is_signed: bool) -> None:
    rule = make_rule(f"a.com{props} h:80", make_defaults(sig_iss=sig_iss, sig_key=sig_key))
    assert (rule.sig is not None) is is_signed


def test_an_unreadable_key_is_reported_and_the_default_used() -> None:
    table, problems = load_raw("a.com,sig_key=file:gone,sig_iss=me h:80")
    assert [(problem.kind, str(problem)) for problem in problems] == [
        (
            ProblemKind.ADJUSTED,
            "routes:1: sig_key not used, the default is: "
            "cannot read key file /etc/holdfast/gone: No such file or directory",
        )
    ]
    (rule,) = table
    assert issuer_of(rule, KEY) == "me"


def test_rules_that_sign_alike_share_a_signer() -> None:
    first, second, third = make_table("a.com h:1\nb.com h:2\nc.com,sig_iss=me h:3")
    assert first.sig is second.sig
    assert first.sig is not third.sig


def test_token_form() -> None:
    """routes-41: issuer, an hour of life, typ and alg."""
    rule = make_rule("a.com h:80")
    assert rule.sig is not None
    token = rule.sig.token(NOW_S + 0.9)
    assert token is not None
    header, claims, _ = token.split(b".")
    assert urlsafe_b64decode(header + b"==") == b'{"typ":"JWT","alg":"HS256"}'
    assert json.loads(urlsafe_b64decode(claims + b"==")) == {"exp": NOW_S + 3600, "iss": "pushpin"}
