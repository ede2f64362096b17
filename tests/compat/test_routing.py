"""Which route a request takes, seen from the backend: the worked examples of routes spec §1.11, by row."""

from __future__ import annotations

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.messages import HeaderList, Request
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs

ROUTES = """
* A
*,path_beg=/foo B
m1.com,path_beg=/foo A
m1.com,path_beg=/foo/bar B
m2.com,path_beg=/foo A
m2.com,ssl=no B
m3.com,ssl=no B
m3.com,path_beg=/foo A
m4.com,path_beg=/foo A
m4.com,proto=http B
m5.com,proto=http B
m5.com,path_beg=/foo A
m6.com,proto=ws B
m7.com,ssl=yes B
m8.com,path_beg=/foo,ssl=no A
m8.com,path_beg=/foo B
m11.com,proto=http,path_beg=/foo B
m11.com,proto=http,ssl=no A
M12.com B
*.m13.com B
m15.com,path_beg=/a%20b B
,id=byid,path_beg=/zz C
idr.com,id=dup B
idr2.com,id=dup C
twice.com,path_beg=/a,path_beg=/b B
"quoted.com" "127.0.0.1":"PORT",host=b
unknown.com,no_such_prop=1,another B,yet_another
unencoded.com,path_beg="/a b" B
id=named B
TARGET.com,debug=false dead
"""

NOT_FOUND = None
BY_HOST = [
    (1, "nomatch.com", "/", "a"),
    (2, "nomatch.com", "/foo", "b"),
    (3, "nomatch.com", "/foobar", "b"),
    (4, "nomatch.com", "/Foo", "a"),
    (5, "m1.com", "/foo/bar/x", "b"),
    (6, "m1.com", "/foo/ba", "a"),
    (7, "m1.com", "/", NOT_FOUND),
    (8, "m1.com:9999", "/foo", "a"),
    (9, "m2.com", "/foo", "b"),
    (10, "m3.com", "/foo", "a"),
    (11, "m8.com", "/foo", "a"),
    (12, "m11.com", "/foo", "a"),
    (13, "m4.com", "/foo", "b"),
    (14, "m5.com", "/foo", "b"),
    (15, "m6.com", "/", NOT_FOUND),
    (16, "m7.com", "/", NOT_FOUND),
    (18, "x.m13.com", "/", "a"),
    (19, "m15.com", "/a%20b", "b"),
    (20, None, "/", "a"),
    ("routes-12", "twice.com", "/b", "b"),
    ("routes-12", "twice.com", "/a", NOT_FOUND),
    ("routes-6", "quoted.com", "/", "b"),
    ("routes-21", "nomatch.com", "/foobar/x", "b"),
    ("routes-15", "unknown.com", "/", "b"),
    ("routes-18", "M1.COM:81", "/foo", "a"),
    ("routes-22", "unencoded.com", "/a%20b", NOT_FOUND),
]
BY_ID = [
    (21, "f.com", "/zz", "byid", "c"),
    (22, "f.com", "/yy", "byid", "c"),
    (23, "f.com", "/", "nosuch", NOT_FOUND),
    (24, "idr2.com", "/", "dup", "c"),
    (25, "n.com", "/foo", "m8.com,*,ssl,/foo", "a"),
    (26, "n.com", "/foo", "m8.com,*,no-ssl,/foo", NOT_FOUND),
    ("routes-9", "f.com", "/", "named", "b"),
]


def routes(backend: ScriptedBackend) -> list[str]:
    """The routes, with each target as a name that the backend sees in the Host header."""
    target = f"127.0.0.1:{backend.port}"
    text = ROUTES.strip().replace("dead", f"127.0.0.1:{free_port()}").replace("PORT", str(backend.port))
    lines = text.splitlines()
    for name in "ABC":
        lines = [line.replace(f" {name}", f" {target},host={name.lower()}") for line in lines]
    return lines


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(*routes(backend))


@pytest.fixture(scope="module")
def proxy_by_id(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(*routes(backend), settings={"proxy": {"accept_pushpin_route": "true"}})


def taken(
    proxy: ProxyUnderTest, backend: ScriptedBackend, host: str | None, path: str, headers: HeaderList | None = None
) -> Request | None:
    """The request as the backend received it, or None for an answer of "route not found"."""
    backend.serve(Reply(body=b"ok"), path)
    response = fetch(proxy.port, path, host=host, headers=headers)
    if response.status == 502:
        assert response.text.startswith(("Route not found", "No route for host"))
        return None
    return backend.requests(path)[-1]


@pytest.mark.parametrize(
    ("host", "path", "target"), [case[1:] for case in BY_HOST], ids=[f"{case[0]} {case[1]}" for case in BY_HOST]
)
def test_by_host(
    proxy: ProxyUnderTest, backend: ScriptedBackend, host: str | None, path: str, target: str | None
) -> None:
    """routes-12 to routes-24: rows are those of the table, other names items of the checklist."""
    request = taken(proxy, backend, host, path)
    assert (request and request.header("Host")) == target


@differs("upper-case-domain")
@pytest.mark.parametrize("host", ["target.com", "TARGET.com"])
def test_upper_case_domain(proxy: ProxyUnderTest, host: str) -> None:
    """Target of routes spec §1.3; and routes-14: ``debug=false`` switches debug on."""
    assert fetch(proxy.port, "/", host=host).text.startswith("Unable to connect to any targets. Tried: 127.0.0.1:")


@differs("upper-case-domain")
@pytest.mark.parametrize("host", ["m12.com", "M12.com"])
def test_row_17(proxy: ProxyUnderTest, backend: ScriptedBackend, host: str) -> None:
    """The one row that is not as in Pushpin, where the domain is compared as it is written, and A is taken."""
    request = taken(proxy, backend, host, "/")
    assert (request and request.header("Host")) == "b"


@pytest.mark.parametrize(
    ("host", "path", "route_id", "target"), [case[1:] for case in BY_ID], ids=[f"{case[0]} {case[3]}" for case in BY_ID]
)
def test_by_id(
    proxy_by_id: ProxyUnderTest, backend: ScriptedBackend, host: str, path: str, route_id: str, target: str | None
) -> None:
    """routes-30 to routes-32: with ``accept_pushpin_route`` the id selects, and its header goes no further."""
    request = taken(proxy_by_id, backend, host, path, [("Pushpin-Route", route_id)])
    assert (request and request.header("Host")) == target
    assert request is None or not request.has("Pushpin-Route")


def test_id_is_ignored(proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
    """routes-30: without ``accept_pushpin_route`` the header is one like any other."""
    request = taken(proxy, backend, "f.com", "/", [("Pushpin-Route", "byid")])
    assert request is not None
    assert (request.header("Host"), request.header("Pushpin-Route")) == ("a", "byid")
