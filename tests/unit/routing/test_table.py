"""The choice of a rule (routes spec §1.7, §1.8, §1.11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.helpers import make_table

from holdfast.routing.rules import Proto, Rule
from holdfast.routing.table import RouteTable

# The routes of routes spec §1.11; the targets A, B, C have the ports 1, 2, 3.
GOLDEN = make_table("""
* a:1
*,path_beg=/foo b:2
m1.com,path_beg=/foo a:1
m1.com,path_beg=/foo/bar b:2
m2.com,path_beg=/foo a:1
m2.com,ssl=no b:2
m3.com,ssl=no b:2
m3.com,path_beg=/foo a:1
m4.com,path_beg=/foo a:1
m4.com,proto=http b:2
m5.com,proto=http b:2
m5.com,path_beg=/foo a:1
m6.com,proto=ws b:2
m7.com,ssl=yes b:2
m8.com,path_beg=/foo,ssl=no a:1
m8.com,path_beg=/foo b:2
m11.com,proto=http,path_beg=/foo b:2
m11.com,proto=http,ssl=no a:1
M12.com b:2
*.m13.com b:2
m15.com,path_beg=/a%20b b:2
,id=byid,path_beg=/zz c:3
idr.com,id=dup b:2
idr2.com,id=dup c:3
""")
A, B, C = 1, 2, 3

ROWS = [
    pytest.param("nomatch.com", "/", None, A, id="1"),
    pytest.param("nomatch.com", "/foo", None, B, id="2"),
    pytest.param("nomatch.com", "/foobar", None, B, id="3-routes-21"),
    pytest.param("nomatch.com", "/Foo", None, A, id="4-routes-21"),
    pytest.param("m1.com", "/foo/bar/x", None, B, id="5"),
    pytest.param("m1.com", "/foo/ba", None, A, id="6"),
    pytest.param("m1.com", "/", None, None, id="7-routes-16"),
    pytest.param("m1.com", "/foo", None, A, id="8-port-is-not-part-of-the-host"),
    pytest.param("m2.com", "/foo", None, B, id="9-routes-20"),
    pytest.param("m3.com", "/foo", None, A, id="10-routes-20"),
    pytest.param("m8.com", "/foo", None, A, id="11-routes-20"),
    pytest.param("m11.com", "/foo", None, A, id="12-routes-20"),
    pytest.param("m4.com", "/foo", None, B, id="13-routes-20"),
    pytest.param("m5.com", "/foo", None, B, id="14-routes-20"),
    pytest.param("m6.com", "/", None, None, id="15-routes-23"),
    pytest.param("m7.com", "/", None, None, id="16-routes-24"),
    # Pushpin answers A: it compares with the domain as written. Here domains are lower-cased (routes spec §1.3 Target).
    pytest.param("m12.com", "/", None, B, id="17-target"),
    pytest.param("x.m13.com", "/", None, A, id="18-routes-17"),
    pytest.param("m15.com", "/a%20b", None, B, id="19-routes-22"),
    pytest.param("localhost", "/", None, A, id="20"),
    pytest.param("f.com", "/zz", "byid", C, id="21-routes-30"),
    pytest.param("f.com", "/yy", "byid", C, id="22-no-path-check-as-in-1.41"),
    pytest.param("f.com", "/", "nosuch", None, id="23-routes-31"),
    pytest.param("idr2.com", "/", "dup", C, id="24-routes-31-shared"),
    pytest.param("n.com", "/foo", "m8.com,*,ssl,/foo", A, id="25-routes-32"),
    pytest.param("n.com", "/foo", "m8.com,*,no-ssl,/foo", None, id="26"),
]


def port_of(rule: Rule | None) -> int | None:
    return rule.targets[0].port if rule else None


@pytest.mark.parametrize(("host", "path", "route_id", "expected"), ROWS)
def test_worked_example(host: str, path: str, route_id: str | None, expected: int | None) -> None:
    found = GOLDEN.find(host, path.encode(), proto=Proto.HTTP, is_tls=False, route_id=route_id)
    assert port_of(found) == expected
    verdict = GOLDEN.explain(host, path.encode(), proto=Proto.HTTP, is_tls=False, route_id=route_id)[-1]
    assert verdict.startswith(f"route: {found.place} (id {found.id})" if found else "no r")


@pytest.mark.parametrize(
    ("text", "path", "proto", "is_tls", "expected"),
    [
        pytest.param("a.com,proto=ws h:1", "/", Proto.WS, False, 1, id="websocket"),
        pytest.param("a.com,proto=ws h:1\na.com h:2", "/", Proto.HTTP, False, 2, id="http-beside-websocket"),
        pytest.param("a.com,ssl=yes h:1", "/", Proto.HTTP, True, 1, id="routes-24-tls"),
        pytest.param("a.com,ssl=no h:1", "/", Proto.HTTP, True, None, id="tls-on-plain-rule"),
        pytest.param("a.com h:1\na.com,ssl=yes h:2", "/", Proto.HTTP, True, 2, id="ssl-stated-later"),
        pytest.param("a.com,ssl=yes h:1\na.com h:2", "/", Proto.HTTP, True, 1, id="ssl-stated-first"),
        pytest.param('a.com,path_beg="/a b" h:1', "/a%20b", Proto.HTTP, False, None, id="routes-22-raw-space"),
        pytest.param("a.com,path_beg=/a,path_beg=/b h:1", "/a", Proto.HTTP, False, None, id="routes-12-first"),
        pytest.param("a.com,path_beg=/a,path_beg=/b h:1", "/b", Proto.HTTP, False, 1, id="routes-12-last"),
        pytest.param("a.com,path_beg=/a h:1\na.com h:2", "/a", Proto.HTTP, False, 1, id="shorter-path-later"),
        pytest.param("* h:1\na.com,path_beg=/x h:2", "/y", Proto.HTTP, False, None, id="routes-16"),
        pytest.param("b.com h:1", "/", Proto.HTTP, False, None, id="no-default-list"),
        pytest.param("", "/", Proto.HTTP, False, None, id="no-rules"),
        pytest.param(",id=x h:1", "/", Proto.HTTP, False, None, id="id-only"),
    ],
)
def test_find(text: str, path: str, proto: Proto, is_tls: bool, expected: int | None) -> None:
    assert port_of(make_table(text).find("a.com", path.encode(), proto=proto, is_tls=is_tls)) == expected


def test_an_id_beats_domain_proto_and_ssl() -> None:
    table = make_table("a.com,proto=ws,ssl=yes,id=r h:1\n* h:2")
    assert port_of(table.find("b.com", b"/", proto=Proto.HTTP, is_tls=False, route_id="r")) == 1


def test_an_id_shared_by_three_identifies_nothing() -> None:
    table = make_table("a.com,id=r h:1\nb.com,id=r h:2\nc.com,id=r h:3\n* h:4")
    assert port_of(table.find("x.com", b"/", proto=Proto.HTTP, is_tls=False, route_id="r")) == 4


def test_where_there_is_sockjs() -> None:
    assert GOLDEN.sockjs_prefixes == ()
    table = make_table("* a:1\nb.com,sockjs=/s a:1\nc.com,sockjs=/s a:1\nd.com,sockjs=/a%20b a:1")
    assert set(table.sockjs_prefixes) == {b"/s", b"/a%20b"}


def test_size_and_order() -> None:
    assert len(GOLDEN) == 24
    assert [rule.domain for rule in GOLDEN][:3] == ["*", "*", "m1.com"]
    assert len(RouteTable()) == 0


EXPLAINED = [
    pytest.param(
        "a.com h:1\na.com,path_beg=/x h:2\na.com,ssl=yes h:3\na.com,proto=ws h:4\na.com,path_beg=/y h:5",
        "/x1",
        None,
        [
            "rules for a.com: 5; those for * are not considered",
            "routes:1 a.com: fits",
            "routes:2 a.com,path_beg=/x: fits, and beats routes:1: its path_beg is longer",
            "routes:3 a.com,ssl=yes: does not fit, the request is not TLS",
            "routes:4 a.com,proto=ws: does not fit, the request is http",
            "routes:5 a.com,path_beg=/y: does not fit, the path begins otherwise",
            "route: routes:2 (id a.com,*,*,/x), targets: h:2",
        ],
        id="path",
    ),
    pytest.param(
        "a.com,path_beg=/x h:1\na.com,proto=http h:2 i:3\na.com h:4",
        "/x",
        None,
        [
            "rules for a.com: 3; those for * are not considered",
            "routes:1 a.com,path_beg=/x: fits",
            "routes:2 a.com,proto=http: fits, and beats routes:1: it states proto",
            "routes:3 a.com: fits, but routes:2 stays ahead",
            "route: routes:2 (id a.com,http,*,*), targets: h:2 i:3",
        ],
        id="proto",
    ),
    pytest.param(
        "* h:1\n*,ssl=no h:2",
        "/",
        None,
        [
            "a.com has no rules of its own; rules for *: 2",
            "routes:1 *: fits",
            "routes:2 *,ssl=no: fits, and beats routes:1: it states ssl",
            "route: routes:2 (id *,*,ssl,*), targets: h:2",
        ],
        id="default-list",
    ),
    pytest.param("a.com,ssl=yes h:1", "/", "x", ["no rule has the id x, so there is no route"], id="unknown-id"),
    pytest.param(
        "b.com,id=x h:1",
        "/",
        "x",
        ["routes:1 b.com,id=x: has the id x", "route: routes:1 (id x), targets: h:1"],
        id="id",
    ),
    pytest.param(
        "b.com,id=x h:1\nc.com,id=x h:2",
        "/",
        "x",
        [
            "several rules share the id x, so it is not used",
            "a.com has no rules of its own; rules for *: 0",
            "no route",
        ],
        id="shared-id",
    ),
]


@pytest.mark.parametrize(("text", "path", "route_id", "expected"), EXPLAINED)
def test_explain(text: str, path: str, route_id: str | None, expected: list[str]) -> None:
    steps = make_table(text).explain("a.com", path.encode(), proto=Proto.HTTP, is_tls=False, route_id=route_id)
    assert steps == expected


def test_explain_names_the_side_that_is_tls() -> None:
    steps = make_table("a.com,ssl=no h:1").explain("a.com", b"/", proto=Proto.WS, is_tls=True)
    assert steps[1:] == ["routes:1 a.com,ssl=no: does not fit, the request is TLS", "no route"]


CONDITIONS = st.tuples(
    st.sampled_from(["a.com", "*"]),
    st.sampled_from(["", ",proto=http", ",proto=ws"]),
    st.sampled_from(["", ",ssl=yes", ",ssl=no"]),
    st.sampled_from(["", ",path_beg=/a", ",path_beg=/ab", ",path_beg=/c"]),
).map("".join)


def naive_find(table: RouteTable, path: bytes, proto: Proto, is_tls: bool) -> Rule | None:
    """routes spec §1.7, word by word."""
    rules = [rule for rule in table if rule.domain == "a.com"] or [rule for rule in table if rule.domain == "*"]
    best: Rule | None = None
    for rule in rules:
        if rule.proto is not None and rule.proto is not proto:
            continue
        if rule.ssl is not None and rule.ssl is not is_tls:
            continue
        if rule.path_beg is not None and not path.startswith(rule.path_beg):
            continue
        if best is None:
            best = rule
        elif bool(rule.proto) != bool(best.proto):
            best = rule if rule.proto else best
        elif len(rule.path_beg or b"") > len(best.path_beg or b"") or (best.ssl is None and rule.ssl is not None):
            best = rule
    return best


@given(
    st.lists(CONDITIONS, unique=True, max_size=8),
    st.sampled_from([b"/", b"/a", b"/abc", b"/c"]),
    st.sampled_from(Proto),
    st.booleans(),
)
def test_find_equals_a_naive_reading(conditions: list[str], path: bytes, proto: Proto, is_tls: bool) -> None:
    table = make_table("\n".join(f"{condition} h:80" for condition in conditions))
    found = table.find("a.com", path, proto=proto, is_tls=is_tls)
    assert found is naive_find(table, path, proto, is_tls)
    verdict = table.explain("a.com", path, proto=proto, is_tls=is_tls)[-1]
    assert verdict.startswith(f"route: {found.place} " if found else "no route")


class TestEvents:
    """Who gets WebSockets as events would believe them of anybody: by whatever rule they come."""

    TABLE = make_table("""
    ws.com,proto=ws a:1,over_http
    ws.com,proto=http a:1
    several.com c:3 a:1
    other.com a:2
    named.com b:1
    zhttp.com zhttp/tcp://127.0.0.1:1,over_http
    same.com zhttp/tcp://127.0.0.1:1
    different.com zhttp/tcp://127.0.0.1:10
    test.com test
    """)

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("ws.com", True),
            ("several.com", True),
            ("other.com", False),
            ("named.com", False),
            ("zhttp.com", True),
            ("same.com", True),
            ("different.com", False),
            ("test.com", False),
        ],
    )
    def test_by_server(self, host: str, expected: bool) -> None:
        rule = self.TABLE.find(host, b"/", proto=Proto.HTTP, is_tls=False)
        assert rule is not None
        assert self.TABLE.takes_events(rule) is expected

    def test_at_all(self) -> None:
        assert self.TABLE.has_event_targets
        assert not make_table("* a:1").has_event_targets
