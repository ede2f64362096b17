"""What a backend receives: the target, the headers in their order, and the body as it comes."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import encode_chunk, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually
from tests.harness.tokens import token_claims, token_header

FEATURES = [
    "status",
    "session",
    "link:next",
    "filter:skip-self",
    "filter:skip-users",
    "filter:require-sub",
    "filter:build-id",
    "filter:var-subst",
]
ANY = Reply(body=b"ok")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"replace,path_beg=/abc,replace_beg=/xyz {target}",
        f"slashes,path_beg=/abc/,replace_beg=/ {target}",
        f"override,path_beg=/abc,path_rem=1,replace_beg= {target}",
        f"remove,path_rem=4 {target}",
        f"as-host,as_host=o.com:81 {target}",
        f"as-host-no-port,as_host=other.com {target}",
        f"target-host,as_host=o.com {target},host=t.com",
        f'header,header="X-A:",header="X: 1",header="X: 2" {target}',
        f'commas,header="X: a, b#c" {target}',
        f'grip-header,header="Grip-X: 1" {target}',
        f"no-grip,no_grip {target}",
        f"original,orig_headers {target}",
        f"no-slash,path_rem=1 {target}",
    )


class TestTargets:
    @pytest.mark.parametrize(
        ("host", "target", "expected"),
        [
            ("replace", "/abc/d?q", "/xyz/d?q"),
            ("replace", "/abcdef", "/xyzdef"),
            ("slashes", "/abc/d", "/d"),
            ("override", "/abc/d", "/d"),
            ("remove", "/abc/d?e=f", "/d?e=f"),
            ("remove", "/abc", "/"),
        ],
    )
    def test_path(self, stage: Stage, host: str, target: str, expected: str) -> None:
        """routes-33, routes-34 and the table of routes spec §3.4."""
        path = expected.partition("?")[0]
        stage.backend.serve(ANY, path)
        assert fetch(stage.proxy.port, target, host=host).status == 200
        assert stage.backend.request(path).target == expected

    @differs("lost-slash")
    def test_path_keeps_its_slash(self, stage: Stage) -> None:
        """Whatever ``path_rem`` removes."""
        path = stage.backend.serve(ANY)
        assert fetch(stage.proxy.port, path, host="no-slash").status == 200

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("as-host", "o.com:81"),
            ("as-host-no-port:99", "other.com"),
            ("target-host", "t.com"),
            ("some.host:8000", "some.host:8000"),
            ("UPPER.Host", "upper.host"),
            ("plain:80", "plain"),
        ],
    )
    def test_host(self, stage: Stage, host: str, expected: str) -> None:
        """routes-35."""
        assert stage.received(host=host).header("Host") == expected

    @pytest.mark.spec("ws-99")
    def test_missing_host_is_localhost(self, stage: Stage) -> None:
        """routes-19."""
        assert stage.received(host=None).header("Host") == "localhost"

    @pytest.mark.parametrize("host", ["a/b", "a?b", "a#b", "user@a", "a b", "[::1", "a:b", "a\\b"])
    @differs("bad-host")
    def test_bad_host_is_refused(self, stage: Stage, host: str) -> None:
        """Target of routes spec §3.3: what is no authority never becomes part of a URI."""
        path = stage.backend.serve(ANY)
        response = fetch(stage.proxy.port, path, host=host)
        assert response.status == 400
        assert stage.backend.requests(path) == []

    @differs("ipv6-host")
    def test_ipv6_host(self, stage: Stage) -> None:
        assert stage.received(host="[::1]:8080").header("Host") == "[::1]:8080"

    @pytest.mark.parametrize(
        "target", ["//a//b", "/a%2Fb", "/a;b", "/a@b:c", "/a'b", "/a?", "/?q=1", "/a?x='y'", "/a%C3%A9"]
    )
    def test_target_is_unchanged(self, stage: Stage, target: str) -> None:
        path = target.partition("?")[0]
        stage.backend.serve(ANY, path)
        assert fetch(stage.proxy.port, target).status == 200
        assert [request.target for request in stage.backend.requests(path)][-1:] == [target]

    @differs("escapes")
    @pytest.mark.parametrize("target", ["/%41", "/a%c3%a9", "/a%zz", "/a|b", "/a^b", "/x?a=%zz&b=|"])
    def test_escapes_are_unchanged(self, stage: Stage, target: str) -> None:
        """Target of routes spec §3.3: the bytes as received."""
        path = target.partition("?")[0]
        stage.backend.serve(ANY, path)
        assert fetch(stage.proxy.port, target).status == 200
        assert [request.target for request in stage.backend.requests(path)][-1:] == [target]

    def test_fragment_is_dropped(self, stage: Stage) -> None:
        assert stage.received("#fragment").target.count("#") == 0

    @differs("dot-segments")
    @pytest.mark.parametrize(("dots", "name"), [("..", "p1"), ("%2e%2e", "p2"), (".%2E", "p3"), ("%2E.", "p4")])
    def test_dot_segments_do_not_leave_a_prefix(self, stage: Stage, dots: str, name: str) -> None:
        """Target of routes spec §3.3: refused or normalised, so that a path_beg cannot be left."""
        fetch(stage.proxy.port, f"/abc/{dots}/private-{name}", host="replace")
        assert f"private-{name}".encode() not in stage.backend.all_heads()


class TestRequestHeaders:
    def test_header_props(self, stage: Stage) -> None:
        """routes-36: an empty value removes, the first of two equal names wins."""
        request = stage.received(host="header", headers=[("X-A", "a"), ("x", "client")])
        assert (request.all("X-A"), request.all("X")) == ([], ["1"])

    def test_header_prop_in_quotes(self, stage: Stage) -> None:
        """routes-5."""
        assert stage.received(host="commas").header("X") == "a, b#c"

    def test_header_prop_cannot_set_grip(self, stage: Stage) -> None:
        """routes-37."""
        assert not stage.received(host="grip-header").has("Grip-X")

    def test_hop_by_hop_headers_stay_here(self, stage: Stage) -> None:
        """routes-38."""
        sent = [
            ("Keep-Alive", "timeout=5"),
            ("Accept-Encoding", "x-never"),
            ("Content-Encoding", "x-never"),
            ("Connection", "keep-alive"),
        ]
        request = stage.received(headers=sent)
        assert not request.has("Keep-Alive")
        assert not request.has("Content-Encoding")
        assert "x-never" not in (request.header("Accept-Encoding") or "")
        assert not request.has("Connection")

    @differs("request-hop-by-hop")
    def test_more_hop_by_hop_headers(self, stage: Stage) -> None:
        """routes-38 and Target of routes spec §3.5 step 5."""
        names = ["X-Named", "Proxy-Connection", "TE", "Upgrade", "Accept-Encoding"]
        sent = [(name, "x") for name in names] + [("Connection", "close, X-Named"), ("X-Kept", "x")]
        request = stage.received(headers=sent)
        assert [name for name in names if request.has(name)] == []
        assert request.header("X-Kept") == "x"

    @differs("grip-underscore")
    def test_grip_headers_spelled_with_an_underscore(self, stage: Stage) -> None:
        """WSGI and CGI cannot tell them from the others."""
        assert not stage.received(headers=[("Grip_Hold", "stream")]).has("Grip_Hold")

    def test_grip_headers_of_a_client(self, stage: Stage) -> None:
        """routes-39, grip-3."""
        sent = [("Grip-Hold", "stream"), ("Grip-Sig", "x"), ("grip-last", "a; last-id=1"), ("Grip-Feature", "x")]
        request = stage.received(headers=sent)
        assert sorted(name for name in request.names() if name.lower().startswith("grip-")) == [
            "Grip-Feature",
            "Grip-Sig",
        ]
        assert request.header("Grip-Sig") != "x"

    def test_grip_feature(self, stage: Stage) -> None:
        """routes-40, grip-3: exactly one, which begins with what 1.36 can do."""
        value = stage.received().header("Grip-Feature")
        assert value is not None
        assert [name for name in value.split(", ") if name in FEATURES] == FEATURES

    def test_grip_sig(self, stage: Stage) -> None:
        """routes-41."""
        token = stage.received().header("Grip-Sig")
        assert token is not None
        assert token_header(token) == {"typ": "JWT", "alg": "HS256"}
        claims = token_claims(token, b"changeme")
        assert list(claims) == ["exp", "iss"]
        assert claims["iss"] == "pushpin"
        assert abs(claims["exp"] - time.time() - 3600) < 5

    def test_no_grip_route(self, stage: Stage) -> None:
        """routes-46, grip-2."""
        path = stage.backend.serve(Reply(headers=[("Grip-Hold", "stream"), ("Grip-Channel", "a")], body=b"plain"))
        response = fetch(stage.proxy.port, path, host="no-grip", headers=[("Grip-Sig", "x")])
        assert (response.header("Grip-Hold"), response.header("Grip-Channel")) == ("stream", "a")
        assert response.text == "plain"
        assert not [name for name in stage.backend.request(path).names() if name.lower().startswith("grip-")]

    def test_forwarded_proto_of_a_plain_client_is_lost(self, stage: Stage) -> None:
        """routes-50."""
        request = stage.received(headers=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Protocol", "https")])
        assert not request.has("X-Forwarded-Proto")
        assert not request.has("X-Forwarded-Protocol")

    def test_original_headers(self, stage: Stage) -> None:
        """routes-56."""
        request = stage.received(host="original", headers=[("X-A", "1"), ("eb9bf0f5-B", "2")])
        assert (request.header("X-A"), request.header("eb9bf0f5-X-A"), request.header("eb9bf0f5-B")) == ("1", "1", "2")
        assert request.header("eb9bf0f5-Host") == "original"
        assert request.names().index("eb9bf0f5-X-A") > request.names().index("X-A")

    def test_original_headers_are_off(self, stage: Stage) -> None:
        """routes-57."""
        request = stage.received(headers=[("eb9bf0f5-B", "2")])
        assert not [name for name in request.names() if name.startswith("eb9bf0f5-")]

    def test_nothing_is_added(self, stage: Stage) -> None:
        """routes-60."""
        request = stage.received()
        for name in ("Via", "Forwarded", "Date", "X-Forwarded-For", "X-Real-IP", "Connection"):
            assert not request.has(name)

    def test_order_and_spelling(self, stage: Stage) -> None:
        """Host first, then the client's headers as they came (cookies one each), then ours."""
        sent = [("x-LOWER", "1"), ("Cookie", "a=1"), ("X-Upper", "2"), ("Cookie", "b=2"), ("x-lower", "3")]
        request = stage.received(headers=sent)
        assert request.names()[0] == "Host"
        wanted = {name for name, _ in sent}
        assert [header for header in request.headers if header[0] in wanted] == sent
        assert request.names().index("Grip-Sig") > request.names().index("X-Upper")

    @differs("added-headers")
    def test_the_whole_head(self, stage: Stage) -> None:
        """routes spec §3.5 step 13: nothing but what is written there."""
        request = stage.received(headers=[("X-A", "1")], method="POST", body=b"abc")
        assert request.names() == ["Host", "X-A", "Grip-Sig", "Grip-Feature", "Content-Length"]

    def test_non_ascii_values_pass(self, stage: Stage) -> None:
        assert stage.received(headers=[("X-A", "caf\xe9")]).raw_head.count(b"X-A: caf\xe9\r\n") == 1


class TestRequestBodies:
    def test_backend_waits_for_10000_bytes(self, stage: Stage) -> None:
        """routes-61."""
        path = stage.backend.serve(ANY)
        client = stage.client()
        client.request(path, method="POST", headers=[("Content-Length", "20000")])
        client.send(b"x" * 9999)
        time.sleep(0.2)
        assert stage.backend.requests(path) == []
        client.send(b"x")
        stage.backend.request(path)
        client.send(b"x" * 10_000)
        assert client.read_response().status == 200

    def test_small_chunked_upload_gets_a_length(self, stage: Stage) -> None:
        """routes-62: first half."""
        path = stage.backend.serve(ANY)
        client = stage.client()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        client.send(encode_chunk(b"a") + encode_chunk(b"bc") + encode_chunk(b""))
        assert client.read_response().status == 200
        request = stage.backend.request(path)
        assert (request.header("Content-Length"), request.header("Transfer-Encoding")) == ("3", None)
        assert request.body == b"abc"

    def test_long_chunked_upload_stays_chunked(self, stage: Stage) -> None:
        """routes-62: second half."""
        path = stage.backend.serve(ANY)
        client = stage.client()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked")])
        client.send(encode_chunk(b"x" * 20_000))
        request = stage.backend.request(path)
        assert (request.header("Content-Length"), request.header("Transfer-Encoding")) == (None, "chunked")
        client.send(encode_chunk(b""))
        assert client.read_response().status == 200

    @pytest.mark.parametrize(
        ("method", "length"), [("GET", None), ("HEAD", None), ("OPTIONS", None), ("POST", "0"), ("PUT", "0")]
    )
    def test_length_of_no_body(self, stage: Stage, method: str, length: str | None) -> None:
        """routes-66, ws-112."""
        path = stage.backend.serve(Reply(204, "No Content"))
        fetch(stage.proxy.port, path, method=method)
        assert stage.backend.request(path).header("Content-Length") == length

    @differs("delete-length")
    def test_length_of_no_body_for_delete(self, stage: Stage) -> None:
        """routes-66."""
        assert stage.received(method="DELETE").header("Content-Length") == "0"

    def test_request_too_large_for_an_instruct(self, stage: Stage) -> None:
        """routes-64, grip-4."""
        path = stage.backend.serve(Reply(headers=[("Grip-Status", "201 Instructed")], body=b"x"))
        response = fetch(stage.proxy.port, path, method="POST", body=b"x" * 100_001)
        assert (response.status, response.text) == (400, "Request too large to accept GRIP instruct.\n")
        response = fetch(stage.proxy.port, path, method="POST", body=b"x" * 100_000)
        assert (response.status, response.reason) == (201, "Instructed")

    def test_client_that_leaves_cancels_the_request(self, stage: Stage) -> None:
        """The backend sees its connection closed at once."""
        path = stage.backend.serve(Reply(body=[b"x", 0.05] * 200, framing=Framing.CHUNKED))
        client = stage.client()
        client.request(path)
        client.read_head()
        request = stage.backend.request(path)
        assert stage.backend.is_connected(request)
        client.close()
        eventually(lambda: not stage.backend.is_connected(request), "the backend's connection to be closed")
