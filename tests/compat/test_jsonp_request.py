"""JSON-P: which requests are taken for it, what their parameters make of the backend's request, and their errors."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from tests.harness.backend import Reply, ScriptedBackend, in_one_write
from tests.harness.client import fetch
from tests.harness.cors import USUAL, without_framing
from tests.harness.grip import Stage
from tests.harness.jsonp import extended
from tests.harness.messages import HeaderList, Request
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs

OK = in_one_write(Reply(body=b"x"))
ANSWER = {"Content-Length": "1"}


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"aco,aco {target}",
        f"plain,jsonp_cb=callback {target}",
        f"basic,aco,jsonp_mode=basic {target}",
        f"named,aco,jsonp_cb=fn,jsonp_defmethod=PUT {target}",
        f"body,aco,jsonp_body=b,jsonp_defcb=d {target}",
        f"body-only,aco,jsonp_body=b {target}",
        f"cb-only,aco,jsonp_defcb=d {target}",
        f"dead,aco 127.0.0.1:{free_port()}",
        f"body-basic,aco,jsonp_body=b,jsonp_defcb=d,jsonp_mode=basic {target}",
    )


def _wrapped(stage: Stage, query: str, *, host: str = "aco", callback: str = "cb", **options: object) -> Request:
    """Make a request whose answer is wrapped with ``callback``, and return what the backend got."""
    path = stage.backend.serve(OK)
    response = fetch(stage.proxy.port, path + query, host=host, **options)  # type: ignore[arg-type]
    assert response.text == (
        "/**/" + callback + "(x);\n" if "basic" in host else extended("x", ANSWER, callback=callback)
    )
    return stage.backend.request(path)


def _headers(request: Request) -> HeaderList:
    """The headers of a request without Host and those of the proxy."""
    ours = ("host", "accept-encoding", "grip-sig", "grip-feature", "content-length")
    return [header for header in request.headers if header[0].lower() not in ours]


class TestWhen:
    @pytest.mark.parametrize(
        ("host", "query", "callback"),
        [
            pytest.param("aco", "?callback=cb", "cb", id="usual"),
            pytest.param("aco", "?callback=one&callback=two", "one", id="twice"),
            pytest.param("aco", "?call%62ack=cb", "cb", id="escape in the name"),
            pytest.param("aco", "?callback=a%20b%22%27%C3%A9", "a b\"'é", id="escapes"),
            pytest.param("aco", "?callback=a+b", "a+b", id="plus stays"),
            pytest.param("aco", "?callback=%zz", "%zz", id="malformed escape"),
            pytest.param("aco", "?callback=a.b[0]", "a.b[0]", id="no mere name"),
            pytest.param("basic", "?callback=cb", "cb", id="basic"),
            pytest.param("named", "?fn=cb", "cb", id="jsonp_cb"),
            pytest.param("body", "?b={}", "d", id="jsonp_defcb"),
            pytest.param("body", "?b={}&callback=cb", "cb", id="callback and body"),
            pytest.param("body", "?callback=cb", "cb", id="callback without body"),
            pytest.param("cb-only", "?callback=cb", "cb", id="jsonp_defcb without jsonp_body"),
        ],
    )
    def test_it_is(self, stage: Stage, host: str, query: str, callback: str) -> None:
        """routes-87: the parameters do not reach the backend, and an emptied query leaves no question mark."""
        assert "?" not in _wrapped(stage, query, host=host, callback=callback).target

    @pytest.mark.parametrize(
        ("host", "query"),
        [
            ("aco", ""),
            ("aco", "?Callback=cb"),
            ("aco", "?_method=POST&_body=x"),
            ("aco", "?callbac=cb"),
            ("plain", "?callback=cb"),
            ("named", "?callback=cb"),
            ("body", "?x=1"),
            ("body-only", "?b=1"),
            ("cb-only", "?_body=1"),
        ],
    )
    def test_it_is_not(self, stage: Stage, host: str, query: str) -> None:
        path = stage.backend.serve(OK)
        assert fetch(stage.proxy.port, path + query, host=host).text == "x"
        request = stage.backend.request(path)
        assert (request.method, request.target) == ("GET", path + query)

    @pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS", "get"])
    def test_other_methods(self, stage: Stage, method: str) -> None:
        """routes-93: never."""
        path = stage.backend.serve(Reply(headers=[("X-A", "1")]))
        response = fetch(stage.proxy.port, f"{path}?callback=", host="aco", method=method)
        assert (response.status, response.text) == (200, "")
        assert response.header("Access-Control-Expose-Headers") == "X-A"
        request = stage.backend.request(path)
        assert (request.method, request.target) == (method, f"{path}?callback=")

    def test_rest_of_the_query(self, stage: Stage) -> None:
        request = _wrapped(stage, "?a=b%20c&callback=cb&_method=POST&d&_headers={}&=e&_body=x&f=%C3%A9")
        assert request.target == f"{request.path}?a=b%20c&d&=e&f=%C3%A9"


class TestRequest:
    def test_everything(self, stage: Stage) -> None:
        """routes-89: method, headers in the order of their names, and body; and then the client's headers."""
        fields = quote('{"X-B":"c","Host":"evil","Accept":"evil/x","X-A":"é","accept":"evil/x","host":"evil"}')
        query = f"?callback=cb&_method=POST&_headers={fields}&_body=he%20l%2Blo+"
        sent = [("X-Q", "1"), ("Accept", "a/b"), ("Cookie", "c"), ("X-A", "own")]
        request = _wrapped(stage, query, headers=sent)
        assert (request.method, request.target) == ("POST", request.path)
        assert request.header("Host") == "aco"
        assert _headers(request) == [
            ("X-A", "é".encode().decode("latin-1")),
            ("X-B", "c"),
            ("Accept", "*/*"),
            ("X-Q", "1"),
            ("Cookie", "c"),
            ("X-A", "own"),
        ]
        assert (bytes(request.body), request.header("Content-Length")) == (b"he l+lo+", "8")

    @pytest.mark.parametrize(
        ("host", "query", "method", "body"),
        [
            pytest.param("aco", "?callback=cb", "GET", b"", id="extended"),
            pytest.param("aco", "?callback=cb&_body=x", "GET", b"x", id="extended with a body"),
            pytest.param("basic", "?callback=cb", "POST", b"", id="basic"),
            pytest.param("basic", "?callback=cb&_body=x", "POST", b"x", id="basic with a body"),
            pytest.param("named", "?fn=cb", "PUT", b"", id="jsonp_defmethod"),
            pytest.param("named", "?fn=cb&_method=DELETE", "DELETE", b"", id="_method before jsonp_defmethod"),
            pytest.param("aco", "?callback=cb&_method=x-Own&_method=PUT", "x-Own", b"", id="any method, the first"),
            pytest.param("aco", "?callback=cb&_body=%zz", "GET", b"%zz", id="malformed escape"),
            pytest.param("aco", "?callback=cb&_body=a+%00%FF", "GET", b"a+\x00\xff", id="any bytes"),
            pytest.param("aco", "?callback=cb&_body=one&_body=two", "GET", b"one", id="two bodies"),
            pytest.param("body", "?callback=cb&b=not+json", "GET", b"not+json", id="jsonp_body"),
            pytest.param("body-only", "?callback=cb&b=%zz", "GET", b"%zz", id="malformed escape in jsonp_body"),
            pytest.param("body-basic", "?callback=cb&b=[1]", "POST", b"[1]", id="jsonp_body in basic mode"),
        ],
    )
    def test_method_and_body(self, stage: Stage, host: str, query: str, method: str, body: bytes) -> None:
        request = _wrapped(stage, query, host=host)
        assert (request.method, bytes(request.body)) == (method, body)

    @pytest.mark.parametrize(("host", "method"), [("body", "GET"), ("body-basic", "POST")])
    def test_body_parameter(self, stage: Stage, host: str, method: str) -> None:
        """routes-92: it is JSON, whatever the client or ``_headers`` say before."""
        request = _wrapped(stage, "?b={}", host=host, callback="d")
        assert (request.method, bytes(request.body)) == (method, b"{}")
        assert _headers(request) == [("Content-Type", "application/json"), ("Accept", "*/*")]

    def test_type_of_the_body_parameter(self, stage: Stage) -> None:
        fields = quote('{"Z":"1","Content-Type":"other/x","A":"1"}')
        request = _wrapped(stage, f"?b={{}}&_headers={fields}", host="body", callback="d")
        assert _headers(request) == [("A", "1"), ("Z", "1"), ("Content-Type", "application/json"), ("Accept", "*/*")]

    def test_body_has_no_type_of_its_own(self, stage: Stage) -> None:
        request = _wrapped(stage, "?callback=cb&_body={}&_headers=" + quote('{"Content-Type":"own/x"}'))
        assert _headers(request) == [("Content-Type", "own/x"), ("Accept", "*/*")]

    def test_body_parameter_replaces_the_usual_one(self, stage: Stage) -> None:
        request = _wrapped(stage, "?callback=cb&_body=x", host="body")
        assert (request.target, bytes(request.body)) == (f"{request.path}?_body=x", b"")

    def test_hop_by_hop_headers(self, stage: Stage) -> None:
        """What a client cannot send, ``_headers`` cannot either."""
        fields = '{"Connection":"close","Transfer-Encoding":"chunked","Expect":"100-continue","Keep-Alive":"1"}'
        request = _wrapped(stage, f"?callback=cb&_headers={quote(fields)}")
        assert _headers(request) == [("Accept", "*/*")]

    @differs("jsonp-headers")
    def test_length_is_that_of_the_body(self, stage: Stage) -> None:
        """What is beyond a shorter one would be the backend's next request."""
        query = "?callback=cb&_method=POST&_body=hello&_headers=" + quote('{"Content-Length":"3"}')
        request = _wrapped(stage, query)
        assert (request.all("Content-Length"), bytes(request.body)) == (["5"], b"hello")

    @differs("jsonp-two-bodies")
    def test_body_of_the_client_beside_another(self, stage: Stage) -> None:
        path = stage.backend.serve(OK)
        response = fetch(stage.proxy.port, f"{path}?callback=cb&_method=POST&_body=q", host="aco", body=b"abc")
        assert (response.status, response.text) == (400, "Invalid _body parameter.\n")
        assert stage.backend.requests(path) == []

    def test_body_of_the_client_alone(self, stage: Stage) -> None:
        assert bytes(_wrapped(stage, "?callback=cb", body=b"abc").body) == b"abc"


INVALID = [
    ("aco", "?callback=", "callback"),
    ("aco", "?callback", "callback"),
    ("aco", "?callback=&callback=cb", "callback"),
    ("named", "?fn=", "callback"),
    ("body", "?b={}&callback=", "callback"),
    ("aco", "?callback=cb&_method=", "_method"),
    ("aco", "?callback=cb&_method", "_method"),
    ("aco", "?callback=cb&_method=A%01", "_method"),
    ("aco", "?callback=cb&_method=A%0D%0AB", "_method"),
    pytest.param("aco", "?callback=cb&_method=A%00B", "_method", marks=differs("jsonp-method")),
    pytest.param("aco", "?callback=cb&_method=%C3%A9", "_method", marks=differs("jsonp-method")),
    pytest.param("aco", "?callback=cb&_method=TRACE", "_method", marks=differs("jsonp-forbidden-method")),
    ("aco", "?callback=cb&_headers=[]", "_headers"),
    ("aco", "?callback=cb&_headers=", "_headers"),
    ("aco", "?callback=cb&_headers", "_headers"),
    ("aco", "?callback=cb&_headers={", "_headers"),
    ("aco", "?callback=cb&_headers=%22a%22", "_headers"),
    ("aco", "?callback=cb&_headers={%22a%22:1}", "_headers"),
    ("aco", "?callback=cb&_headers={%22a%22:null}", "_headers"),
    ("aco", "?callback=cb&_headers={%22b%22:%22%22,%22a%22:[%22b%22]}", "_headers"),
    pytest.param(
        "aco",
        "?callback=cb&_headers={%22a%22:%22x%0D%0Ab:y%22}",
        "_headers",
        id="raw line end",
        marks=differs("jsonp-headers"),
    ),
    pytest.param(
        "aco",
        "?callback=cb&_headers={%22a%22:%22x%5Cr%5Cnb:y%22}",
        "_headers",
        id="escaped line end",
        marks=differs("jsonp-headers"),
    ),
    pytest.param("aco", "?callback=cb&_headers={%22a%20b%22:%22x%22}", "_headers", marks=differs("jsonp-headers")),
    pytest.param("aco", "?callback=cb&_headers={%22%22:%22x%22}", "_headers", marks=differs("jsonp-headers")),
    ("aco", "?callback=cb&_body=", "_body"),
    ("aco", "?callback=cb&_body", "_body"),
    ("body", "?b=", "body"),
    ("body", "?callback=cb&b", "body"),
    ("aco", "?_body=&_headers=[]&_method=&callback=", "callback"),
    ("aco", "?_body=&_headers=[]&_method=&callback=cb", "_method"),
    ("aco", "?_body=&_headers=[]&callback=cb", "_headers"),
]


class TestInvalid:
    @pytest.mark.parametrize(("host", "query", "name"), INVALID)
    def test_parameter(self, stage: Stage, host: str, query: str, name: str) -> None:
        """routes-90: of several the first in the order callback, method, headers, body."""
        path = stage.backend.serve(OK)
        response = fetch(stage.proxy.port, path + query, host=host)
        assert (response.status, response.reason) == (400, "Bad Request")
        assert response.text == f"Invalid {name} parameter.\n"
        assert without_framing(response) == [("Content-Type", "text/plain"), *USUAL]
        assert stage.backend.requests(path) == []

    @differs("jsonp-method")
    def test_method_with_a_blank(self, stage: Stage) -> None:
        """It would end the method on the request line."""
        response = fetch(stage.proxy.port, "/?callback=cb&_method=A%20/evil", host="dead")
        assert (response.status, response.text) == (400, "Invalid _method parameter.\n")
