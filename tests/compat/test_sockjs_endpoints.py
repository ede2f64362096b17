"""SockJS: what needs no session, and what is not there."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import fetch
from tests.harness.cors import without_framing
from tests.harness.messages import HeaderList
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.sockjs import COMMON, NO_STORE, TEXT, common

URL = "http://static.example/sockjs.min.js"
ORIGIN = [("Origin", "http://one.example")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(
        "demo,sockjs=/s,sockjs_as_path=/ws test",
        "aco,aco,sockjs=/s,sockjs_as_path=/ws test",
        "demo,id=other,path_beg=/other test",
        settings={"proxy": {"sockjs_url": URL}},
    )


class TestInfo:
    @pytest.mark.parametrize(
        ("query", "sent", "expected"),
        [
            pytest.param("", [], COMMON, id="routes-94"),
            pytest.param("?t=123", [], COMMON, id="with a query"),
            pytest.param("", ORIGIN, common("http://one.example"), id="routes-94-origin"),
        ],
    )
    def test_answer(self, proxy: ProxyUnderTest, query: str, sent: HeaderList, expected: HeaderList) -> None:
        response = fetch(proxy.port, f"/s/info{query}", host="demo", headers=sent)
        assert (response.status, response.reason) == (200, "OK")
        pattern = r'\{"cookie_needed":false,"entropy":\d+,"origins":\["\*:\*"\],"websocket":true\}\n'
        assert re.fullmatch(pattern, response.text)
        assert json.loads(response.text)["entropy"] < 1 << 32
        assert without_framing(response) == [TEXT, *expected]

    def test_entropy(self, proxy: ProxyUnderTest) -> None:
        texts = {fetch(proxy.port, "/s/info", host="demo").text for _ in range(5)}
        assert len(texts) == 5

    def test_with_aco(self, proxy: ProxyUnderTest) -> None:
        """SockJS comes before JSON-P and has CORS headers of its own."""
        response = fetch(proxy.port, "/s/info?callback=cb", host="aco", headers=ORIGIN)
        assert response.text.startswith('{"cookie_needed"')
        assert without_framing(response) == [TEXT, *common("http://one.example")]


def etag_of(page: bytes) -> str:
    return f'"{hashlib.md5(page).hexdigest()}"'


class TestIframe:
    """routes-102. The words of the page are everybody's own."""

    @pytest.mark.parametrize("name", ["iframe.html", "iframe-0.3.4.html", "iframe_x.html?t=1", "iframe/a.html"])
    def test_page(self, proxy: ProxyUnderTest, name: str) -> None:
        response = fetch(proxy.port, f"/s/{name}", host="demo", headers=ORIGIN)
        assert response.status == 200
        assert f'<script src="{URL}"></script>' in response.text
        assert "SockJS.bootstrap_iframe()" in response.text
        assert without_framing(response) == [
            ("ETag", etag_of(response.body)),
            ("Content-Type", "text/html; charset=UTF-8"),
            ("Cache-Control", "public, max-age=31536000"),
            *common("http://one.example"),
        ]

    def test_known_page(self, proxy: ProxyUnderTest) -> None:
        etag = etag_of(fetch(proxy.port, "/s/iframe.html", host="demo").body)
        response = fetch(proxy.port, "/s/iframe.html", host="demo", headers=[("If-None-Match", etag)])
        assert (response.status, response.reason, response.body) == (304, "Not Modified", b"")
        assert without_framing(response) == [("ETag", etag), *COMMON]

    def test_other_page(self, proxy: ProxyUnderTest) -> None:
        response = fetch(proxy.port, "/s/iframe.html", host="demo", headers=[("If-None-Match", '"x"')])
        assert response.status == 200 and response.body


@pytest.mark.parametrize("path", ["/s", "/s/", "/s/info", "/s/0/x/xhr", "/s/0/x/xhr_send", "/s/nothing", "/sfoo"])
def test_options(proxy: ProxyUnderTest, path: str) -> None:
    asked = [*ORIGIN, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")]
    response = fetch(proxy.port, path, host="demo", method="OPTIONS", headers=asked)
    assert (response.status, response.reason, response.body) == (204, "No Content", b"")
    assert without_framing(response) == [TEXT, *common("http://one.example")]


class TestNotThere:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/s"),
            ("GET", "/s/"),
            ("GET", "/sfoo/info"),
            ("GET", "/s/info/"),
            ("POST", "/s/info"),
            ("HEAD", "/s/info"),
            ("GET", "/s/iframe"),
            ("POST", "/s/iframe.html"),
            ("POST", "/s/0/xhr"),
            ("POST", "/s/0/x/xhr/"),
            ("POST", "/s/0/x/xhr/y"),
            ("POST", "/s/0/x/other"),
            ("GET", "/s/0/x/xhr"),
            ("PUT", "/s/0/x/xhr"),
            ("GET", "/s/0/x/htmlfile?c=cb"),
            ("GET", "/s/websocket"),
            ("GET", "/s/0/x/websocket"),
            ("POST", "/s/0/unknown/xhr_send"),
            ("POST", "/s/0/unknown/jsonp_send?c=cb"),
            ("GET", "/s/0/unknown/jsonp_send?c=cb&d=%5B%5D"),
        ],
    )
    def test_it(self, proxy: ProxyUnderTest, method: str, path: str) -> None:
        body = b'["x"]' if method == "POST" else None
        response = fetch(proxy.port, path, host="demo", method=method, headers=ORIGIN, body=body)
        assert (response.status, response.reason) == (404, "Not Found")
        assert response.text == ("" if method == "HEAD" else "Not Found\n")
        assert without_framing(response) == [TEXT, *common("http://one.example")]

    def test_paths_that_do_not_begin_with_the_prefix(self, proxy: ProxyUnderTest) -> None:
        response = fetch(proxy.port, "/info", host="demo")
        assert (response.status, response.text, without_framing(response)) == (404, "no such test resource\n", [TEXT])

    def test_no_route(self, proxy: ProxyUnderTest) -> None:
        response = fetch(proxy.port, "/s/info", host="elsewhere")
        assert (response.status, response.has(NO_STORE[0])) == (502, False)

    def test_body_that_is_too_long(self, proxy: ProxyUnderTest) -> None:
        response = fetch(proxy.port, "/s/0/x/xhr_send", host="demo", method="POST", body=b"x" * 100_001)
        assert (response.status, response.reason, response.text) == (400, "Bad Request", "Request too large.\n")
        assert without_framing(response) == [TEXT, *COMMON]


class TestClientsThatMustNotEndTheProcess:
    @pytest.fixture
    def own(self, launch_once: Launch) -> ProxyUnderTest:
        return launch_once("demo,sockjs=/s,sockjs_as_path=/ws test")

    @differs("sockjs-empty-session")
    def test_empty_session_id(self, own: ProxyUnderTest) -> None:
        response = fetch(own.port, "/s/0//xhr", host="demo", method="POST", body=b"")
        assert (response.status, response.text) == (404, "Not Found\n")

    @differs("sockjs-unanswered")
    @pytest.mark.parametrize(("method", "endpoint"), [("GET", "xhr"), ("PUT", "xhr"), ("POST", "other")])
    def test_what_is_not_there_in_an_open_session(self, own: ProxyUnderTest, method: str, endpoint: str) -> None:
        assert fetch(own.port, "/s/0/x/xhr", host="demo", method="POST", body=b"").text == "o\n"
        response = fetch(own.port, f"/s/0/x/{endpoint}", host="demo", method=method, timeout_s=1)
        assert (response.status, response.text) == (404, "Not Found\n")
