"""SockJS over HTTP with the ``test`` target: opening, polling and sending with xhr and jsonp, and their errors."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.cors import without_framing
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok
from tests.harness.sockjs import (
    COMMON,
    FORM,
    JSONP,
    STILL_OPEN,
    TEXT,
    XHR,
    Session,
    Transport,
    common,
    messages,
)
from tests.harness.ws_stage import ws_item

SCRIPT = ("Content-Type", "application/javascript")
both = pytest.mark.parametrize("transport", [XHR, JSONP], ids=["xhr", "jsonp"])


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch("demo,sockjs=/s,sockjs_as_path=/ws test", "wrong,sockjs=/s test")


@pytest.fixture
def session(proxy: ProxyUnderTest, connect: Connect) -> Session:
    return Session(connect, proxy.port, "demo", "/s")


@pytest.fixture
def jsonp(proxy: ProxyUnderTest, connect: Connect) -> Session:
    return Session(connect, proxy.port, "demo", "/s", JSONP)


@both
class TestSession:
    def test_echo(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        """routes-95: all that waits comes in one frame."""
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        session.send("a", "b")
        session.expect(messages("a", "b"))
        session.send("c")
        session.send("d", "e")
        session.expect(messages("c", "d", "e"))

    def test_waiting_poll(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        poll = session.begin_poll()
        poll.assert_silent(0.3)
        session.send("now")
        session.check(poll.read_response(), messages("now"))

    @pytest.mark.parametrize(
        "content", ['q"\\/\n\t', "\x01\x1f\x7f", "é\U0001f600", "", "</script>", 'a["x"]', "x" * 50_000]
    )
    def test_any_text(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport, content: str) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        session.send(content)
        response = session.poll()
        assert response.text == transport.wrap("a" + json.dumps([content], ensure_ascii=False))

    @differs("sockjs-line-separators")
    def test_line_separators(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        session.send("\u2028\u2029")
        assert session.poll().text == transport.wrap('a["\\u2028\\u2029"]')

    @differs("sockjs-nul")
    def test_nul(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        session.send("a\x00b")
        assert session.poll().text == transport.wrap(messages("a\x00b"))

    def test_origin_is_echoed(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        response = session.poll(headers=[("Origin", "http://one.example")])
        assert (response.status, response.text) == (200, transport.wrap("o"))
        assert without_framing(response) == [transport.content_type, *common("http://one.example")]

    def test_second_poll(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        """routes-96: the first goes on, and so does the session."""
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        first = session.begin_poll()
        first.assert_silent(0.2)
        session.expect(STILL_OPEN)
        session.expect(STILL_OPEN)
        first.assert_silent(0.1)
        session.send("x")
        session.check(first.read_response(), messages("x"))
        session.send("y")
        session.expect(messages("y"))

    @pytest.mark.parametrize(
        "payload", ["", "x", "{}", '"x"', "null", "1", '["a"', '["a",1]', "[null]", '[["a"]]', '["a"] x', '[{"a":"b"}]']
    )
    def test_payload_that_is_none(
        self, proxy: ProxyUnderTest, connect: Connect, transport: Transport, payload: str
    ) -> None:
        """routes-99: nothing of it is sent, and the session goes on."""
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        response = session.send_payload(payload)
        assert (response.status, response.reason, response.text) == (400, "Bad Request", "Payload expected\n")
        assert without_framing(response) == [TEXT, *COMMON]
        session.send("x")
        session.expect(messages("x"))

    def test_empty_list(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open()
        session.send()
        session.begin_poll().assert_silent(0.3)

    def test_published_message(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        """The query of the first poll chooses the channel of the demo."""
        channel = fresh_channel()
        session = Session(connect, proxy.port, "demo", "/s", transport)
        session.open(query=f"channel={channel}")
        proxy.settle()
        poll = session.begin_poll()
        poll.assert_silent(0.2)
        publish_ok(proxy.control_port, ws_item(channel, "published"))
        session.check(poll.read_response(), messages("published"))

    def test_refused(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        """The demo has no WebSocket at the prefix."""
        response = Session(connect, proxy.port, "wrong", "/s", transport).poll()
        assert (response.status, response.reason, response.text) == (404, "Not Found", "no such test resource\n")


class TestLengths:
    def test_longest_body(self, session: Session) -> None:
        session.open()
        text = "x" * (100_000 - 4)
        session.send(text)
        session.expect(messages(text))

    def test_longer_body(self, session: Session) -> None:
        session.open()
        response = session.send_payload(json.dumps(["x" * (100_001 - 4)]))
        assert (response.status, response.text) == (400, "Request too large.\n")
        assert without_framing(response) == [TEXT, *COMMON]
        session.send("y")
        session.expect(messages("y"))


class TestMethods:
    @pytest.mark.parametrize("endpoint", ["jsonp?c=cb", "jsonp?callback=cb", "jsonp?c=cb&t=1"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_jsonp(self, jsonp: Session, endpoint: str, method: str) -> None:
        """routes-100."""
        client = jsonp.request(endpoint, method=method, body=b"" if method == "POST" else None)
        response = client.read_response()
        assert (response.status, response.text) == (200, '/**/cb("o");\n')
        assert without_framing(response) == [SCRIPT, *COMMON]

    @pytest.mark.parametrize("endpoint", ["jsonp", "jsonp?c=", "jsonp?callback=", "jsonp?t=1"])
    def test_jsonp_without_a_callback(self, jsonp: Session, endpoint: str) -> None:
        """routes-100: and nothing is opened."""
        response = jsonp.request(endpoint).read_response()
        assert (response.status, response.reason, response.text) == (400, "Bad Request", "Bad Request\n")
        assert without_framing(response) == [TEXT, *COMMON]
        jsonp.open()

    @pytest.mark.parametrize(("query", "name"), [("a%20b", "a b"), ("x.y[0]", "x.y[0]"), ("%C3%A9", "é")])
    def test_name_of_the_callback(self, jsonp: Session, query: str, name: str) -> None:
        assert jsonp.request(f"jsonp?c={query}").read_response().text == f'/**/{name}("o");\n'

    def test_both_transports_in_one_session(self, jsonp: Session) -> None:
        """It is the session's id that counts."""
        jsonp.open()
        jsonp.request("xhr_send", method="POST", body=b'["a"]').read_response()
        response = jsonp.request("xhr", method="POST", body=b"").read_response()
        assert (response.text, response.header("Content-Type")) == (messages("a") + "\n", "text/plain")
        assert jsonp.request("jsonp_send?c=x&d=[]").read_response().text == '/**/x("ok");\n'

    def test_server_is_not_used(self, session: Session) -> None:
        session.open()
        session.path = session.path.replace("/000/", "/other/")
        session.send("x")
        session.expect(messages("x"))


class TestJsonpSend:
    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            pytest.param([FORM], b"d=%5B%22a%2B%20b%22%5D", id="form"),
            pytest.param([FORM], b'd=["a%2B%20b"]', id="form that is hardly escaped"),
            pytest.param([FORM], b"x=1&d=%5B%22a%2B%20b%22%5D&y=2", id="more fields"),
            pytest.param([], b"d=%5B%22a%2B%20b%22%5D", id="without a type"),
            pytest.param([TEXT], b"d=%5B%22a%2B%20b%22%5D", id="of another type"),
            pytest.param(
                [FORM], b"d=%5B%22a%2B+b%22%5D", id="blank as browsers write it", marks=differs("sockjs-form-blanks")
            ),
        ],
    )
    def test_post(self, jsonp: Session, headers: list[tuple[str, str]], body: bytes) -> None:
        jsonp.open()
        response = jsonp.request("jsonp_send", method="POST", headers=headers, body=body).read_response()
        assert (response.status, response.text) == (200, "ok")
        assert without_framing(response) == [TEXT, *COMMON]
        jsonp.expect(messages("a+ b"))

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param('["a"]', id="as it is"),
            pytest.param(quote('["a"]'), id="escaped", marks=differs("sockjs-query-escapes")),
        ],
    )
    def test_get(self, jsonp: Session, payload: str) -> None:
        jsonp.open()
        response = jsonp.request(f"jsonp_send?d={payload}").read_response()
        assert (response.status, response.text) == (200, "ok")
        jsonp.expect(messages("a"))

    @pytest.mark.parametrize(
        ("method", "query", "body"),
        [("GET", '?c=fn&d=["a"]', None), ("POST", "?c=fn", b'd=["a"]'), ("POST", "?callback=fn", b'd=["a"]')],
    )
    def test_with_a_callback(self, jsonp: Session, method: str, query: str, body: bytes | None) -> None:
        """Then the answer is a script, too."""
        jsonp.open()
        response = jsonp.request(f"jsonp_send{query}", method=method, headers=[FORM], body=body).read_response()
        assert (response.status, response.text) == (200, '/**/fn("ok");\n')
        assert without_framing(response) == [SCRIPT, *COMMON]
        jsonp.expect(messages("a"))

    @pytest.mark.parametrize("query", ["", "?c=fn"])
    @pytest.mark.parametrize("body", [b"", b"d=", b"x=1", b'["a"]', b"d=x"])
    def test_nothing_to_send(self, jsonp: Session, query: str, body: bytes) -> None:
        """Errors are never wrapped."""
        jsonp.open()
        response = jsonp.request(f"jsonp_send{query}", method="POST", headers=[FORM], body=body).read_response()
        assert (response.status, response.text) == (400, "Payload expected\n")
        assert without_framing(response) == [TEXT, *COMMON]
