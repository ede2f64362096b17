"""The options of a condition (routes spec §1.3, §1.4)."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import RouteError
from holdfast.routing.authority import Authority
from holdfast.routing.conditions import parse_rule
from holdfast.routing.lines import parse_line
from holdfast.routing.rules import JsonpTerms, Proto, Rule


def rule_of(condition: str, *, is_debug: bool = False, is_cross_origin: bool = False) -> Rule:
    sections = parse_line(f"{condition} h:80 i:81")
    assert sections is not None
    return parse_rule(sections, "routes:7", is_debug=is_debug, is_cross_origin=is_cross_origin)


def test_nothing_but_a_domain() -> None:
    rule = rule_of("A.com")
    assert (rule.place, rule.domain, rule.id, rule.has_explicit_id) == ("routes:7", "a.com", "a.com,*,*,*", False)
    assert (rule.proto, rule.ssl, rule.path_beg, rule.as_host, rule.replace_beg, rule.sig) == (None,) * 6
    assert (rule.prefix, rule.path_rem, rule.header_sets) == ("", 0, ())
    assert (rule.orig_headers, rule.debug, rule.no_grip) == (False, False, False)
    assert [target.text for target in rule.targets] == ["h:80", "i:81"]


OPTIONS = [
    ("proto=http", "proto", Proto.HTTP),
    ("proto=ws", "proto", Proto.WS),
    ("ssl=yes", "ssl", True),
    ("ssl=no", "ssl", False),
    ("path_beg=/a%20b", "path_beg", b"/a%20b"),
    ("path_beg=/a,path_beg=/b", "path_beg", b"/b"),
    ("id=r", "id", "r"),
    ("id=r", "has_explicit_id", True),
    ("id=", "has_explicit_id", False),
    ("id=", "id", "a.com,*,*,*"),
    ("path_beg=/f,ssl=no", "id", "a.com,*,ssl,/f"),
    ("prefix=p-", "prefix", "p-"),
    ("orig_headers", "orig_headers", True),
    ("as_host=O.com:81", "as_host", Authority("o.com", 81)),
    ("as_host=", "as_host", None),
    ("path_rem=4", "path_rem", 4),
    ("path_rem=x", "path_rem", 0),
    ("path_rem=-3", "path_rem", 0),
    ("path_beg=/abc,path_rem=1,replace_beg=", "path_rem", 4),
    ("path_beg=/abc,path_rem=1,replace_beg=", "replace_beg", b""),
    ("path_rem=9,replace_beg=/pre", "path_rem", 0),
    ('replace_beg="/a b\\"é"', "replace_beg", b"/a%20b%22%C3%A9"),
    ("debug=false", "debug", True),
    ('header="X: a, b#c"', "header_sets", ((b"X", b"a, b#c"),)),
    ("header=X:1,header=Y:2", "header_sets", ((b"X", b"1"), (b"Y", b"2"))),
    ("no_grip", "no_grip", True),
    ("debug", "log_level", None),
    ("log_level=-2", "log_level", None),
    ("log_level=0", "log_level", 0),
    ("log_level=3", "log_level", 3),
    ("log_level=9", "log_level", 9),
    ("log_level=all", "log_level", 0),
    ("log_level", "log_level", 0),
    ("debug", "logs_requests", True),
    ("log_level=-2", "logs_requests", True),
    ("log_level=1", "logs_requests", False),
    ("log_level=2", "logs_requests", True),
    ("jsonp_mode=basic,jsonp_cb=cb", "cross_origin", None),
    ("aco", "cross_origin", JsonpTerms()),
    ("aco=false", "cross_origin", JsonpTerms()),
    ("aco,jsonp_mode=extended", "cross_origin", JsonpTerms()),
    ("aco,jsonp_mode=basic", "cross_origin", JsonpTerms(is_extended=False, default_method=b"POST")),
    ("aco,jsonp_mode=basic,jsonp_defmethod=GET", "cross_origin", JsonpTerms(is_extended=False)),
    ("aco,jsonp_cb=,jsonp_body=,jsonp_defcb=,jsonp_defmethod=", "cross_origin", JsonpTerms()),
    (
        "aco,jsonp_cb=cb,jsonp_body=b,jsonp_defcb=d.é,jsonp_defmethod=PUT",
        "cross_origin",
        JsonpTerms(callback_param=b"cb", body_param=b"b", default_callback="d.é".encode(), default_method=b"PUT"),
    ),
    ("sockjs=/s", "sockjs", b"/s"),
    ('sockjs="/é x"', "sockjs", b"/%C3%A9%20x"),
    ("sockjs=", "sockjs", None),
    ("sockjs_as_path=/ws", "sockjs_as_path", b"/ws"),
    ('sockjs_as_path="/a/../b%20c?d#e"', "sockjs_as_path", b"/b%20c%3Fd%23e"),
    ("sockjs_as_path=", "sockjs_as_path", None),
]


@pytest.mark.parametrize(("props", "name", "value"), OPTIONS)
def test_option(props: str, name: str, value: Any) -> None:
    assert getattr(rule_of("a.com," + props), name) == value


def test_debug_by_default() -> None:
    assert rule_of("a.com", is_debug=True).debug


def test_cross_origin_by_default() -> None:
    assert rule_of("a.com", is_cross_origin=True).cross_origin == JsonpTerms()


@pytest.mark.parametrize(
    ("props", "text"),
    [
        ("proto=https", "proto must be set to 'http' or 'ws'"),
        ("proto", "proto must be set to 'http' or 'ws'"),
        ("ssl=true", "ssl must be set to 'yes' or 'no'"),
        ("path_beg=", "path_beg cannot be empty"),
        ("path_beg", "path_beg cannot be empty"),
        ("jsonp_mode=x", "jsonp_mode must be set to 'basic' or 'extended'"),
        ("jsonp_defmethod=é", "jsonp_defmethod must be set to a method"),
        ("header=X", "header must use format 'name:value'"),
        ("header=:1", "header must use format 'name:value'"),
        ("as_host=a/b", "as_host must be set to HOST or HOST:PORT"),
        ("sockjs_as_path=ws", "sockjs_as_path must begin with '/'"),
    ],
)
def test_bad_option(props: str, text: str) -> None:
    with pytest.raises(RouteError) as caught:
        rule_of("a.com," + props)
    assert str(caught.value) == text
