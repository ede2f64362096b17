"""JSON-P: what becomes of a backend's answer, or of our own, at once or piece by piece."""

from __future__ import annotations

import threading

import pytest
from tests.harness.backend import Framing, Piece, RawReply, Reply, ScriptedBackend, in_one_write
from tests.harness.client import ClosedByServer, fetch
from tests.harness.grip import Stage, instruct_reply
from tests.harness.jsonp import COULD_NOT, SCRIPT, extended, prefix
from tests.harness.messages import HeaderList
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs

BAD_GATEWAY = "Error while proxying to origin.\n"
PLAIN = {"Content-Type": "text/plain"}
STREAMED = [SCRIPT, ("Connection", "Transfer-Encoding"), ("Transfer-Encoding", "chunked")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    dead = f"127.0.0.1:{free_port()}"
    return launch(
        f"aco,aco {target}",
        f"basic,aco,jsonp_mode=basic {target}",
        f"dead,aco {dead}",
        f"dead-debug,aco,debug {dead}",
        f"dead-basic,aco,jsonp_mode=basic {dead}",
        "demo,aco test",
    )


def _script(stage: Stage, reply: Reply | RawReply, host: str, outside: HeaderList, **options: object) -> bytes:
    """The script that a known answer is wrapped in; ``outside`` are its headers beside type and length."""
    path = stage.backend.serve(in_one_write(reply) if isinstance(reply, Reply) else reply)
    response = fetch(stage.proxy.port, f"{path}?callback=cb", host=host, **options)  # type: ignore[arg-type]
    assert (response.status, response.reason) == (200, "OK")
    assert response.headers == [SCRIPT, *outside, ("Content-Length", str(len(response.body)))]
    return response.body


class TestExtended:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            pytest.param(b"hello", "hello", id="routes-87"),
            pytest.param(b"", "", id="empty"),
            pytest.param(b"one\n\n", "one\n\n", id="line ends"),
            pytest.param(b'"\\/\r\n\t\b\f', '"\\/\r\n\t\b\f', id="short escapes"),
            pytest.param(b"\x01\x1f\x7f", "\x01\x1f\x7f", id="control characters"),
            pytest.param("é\U0001f600</script>".encode(), "é\U0001f600</script>", id="UTF-8"),
            pytest.param(b"a\xffb\xc3", "a\ufffdb\ufffd", id="not UTF-8"),
            pytest.param(b"a\x00b", "a\x00b", id="NUL", marks=differs("jsonp-nul")),
        ],
    )
    def test_body(self, stage: Stage, body: bytes, expected: str) -> None:
        script = _script(stage, Reply(body=body), "aco", [])
        assert script.decode() == extended(expected, {"Content-Length": str(len(body))})

    @differs("jsonp-line-separators")
    def test_line_separators(self, stage: Stage) -> None:
        """They end a line of a script as well."""
        script = _script(stage, Reply(body="\u2028\u2029".encode()), "aco", [])
        assert script.endswith(b'"body": "\\u2028\\u2029"});\n')

    def test_the_bytes(self, stage: Stage) -> None:
        """Without any help: exactly where the blanks are."""
        script = _script(stage, Reply(404, 'N"', [("X-A", '"')], b"\x1f"), "aco", [])
        assert script == (
            b'/**/cb({"code": 404, "reason": "N\\"", "headers": {"Content-Length":"1","X-A":"\\""}, '
            b'"body": "\\u001f"});\n'
        )

    def test_headers_inside(self, stage: Stage) -> None:
        """By name, the first of each, after hop-by-hop ones were removed; those of access control as they are."""
        sent = [("X-B", "1"), ("X-A", "\xc3\xa9"), ("X-B", "2"), ("Keep-Alive", "1"), ("Access-Control-Max-Age", "1")]
        script = _script(stage, Reply(headers=[*sent, ("Set-Cookie", "a"), ("Set-Cookie", "b")], body=b"x"), "aco", [])
        inside = {"Access-Control-Max-Age": "1", "Content-Length": "1", "Set-Cookie": "a", "X-A": "é", "X-B": "1"}
        assert script.decode() == extended("x", inside)

    @pytest.mark.parametrize("values", [["no"], ["no", "two"]])
    def test_cache_control_is_outside_too(self, stage: Stage, values: list[str]) -> None:
        """routes-88."""
        kept = [("Cache-Control", value) for value in values]
        script = _script(stage, Reply(404, "Nope", kept, b"n"), "aco", kept)
        inside = {"Cache-Control": "no", "Content-Length": "1"}
        assert script.decode() == extended("n", inside, status=404, reason="Nope")

    @pytest.mark.parametrize(("status", "reason"), [(204, "None"), (304, "Same")])
    def test_answers_without_a_body(self, stage: Stage, status: int, reason: str) -> None:
        script = _script(stage, Reply(status, reason, [("ETag", '"1"')]), "aco", [])
        assert script.decode() == extended("", {"ETag": '"1"'}, status=status, reason=reason)

    def test_answer_to_head(self, stage: Stage) -> None:
        path = stage.backend.serve(in_one_write(Reply(length=5)))
        response = fetch(stage.proxy.port, f"{path}?callback=cb&_method=HEAD", host="aco")
        assert response.text == extended("", {"Content-Length": "5"})

    def test_chunked_answer_that_is_known(self, stage: Stage) -> None:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        assert _script(stage, RawReply([raw], keeps=True), "aco", []).decode() == extended("abc", {"X-A": "1"})

    def test_instruct_without_a_hold(self, stage: Stage) -> None:
        response = {"code": 404, "reason": "R", "headers": [["X-J", "1"], ["X-J", "2"]], "body": "j\n"}
        script = _script(stage, instruct_reply({"response": response}, [("X-Out", "1")]), "aco", [])
        assert script.decode() == extended("j\n", {"X-J": "1"}, status=404, reason="R")

    def test_grip_status(self, stage: Stage) -> None:
        script = _script(stage, Reply(headers=[("Grip-Status", "404 R"), ("X-A", "1")], body=b"x"), "aco", [])
        assert script.decode() == extended("x", {"X-A": "1"}, status=404, reason="R")

    def test_connection_close(self, stage: Stage) -> None:
        _script(stage, Reply(body=b"x"), "aco", [("Connection", "close")], headers=[("Connection", "close")])


class TestBasic:
    @pytest.mark.parametrize(
        ("body", "inside"),
        [
            pytest.param(b'{"a":1}\n', b'{"a":1}', id="routes-91"),
            pytest.param(b'{"a":1}', b'{"a":1}', id="no line end"),
            pytest.param(b'{"a":1}\r\n', b'{"a":1}', id="CRLF"),
            pytest.param(b"1\n\n", b"1\n", id="two line ends"),
            pytest.param(b"1\r\n\r\n", b"1\r\n", id="two CRLF"),
            pytest.param(b"1\r", b"1\r", id="CR"),
            pytest.param(b"\n", b"", id="only a line end"),
            pytest.param(b"\x01\xff\xc3\x00\n", b"\x01\xff\xc3\x00", id="any bytes"),
        ],
    )
    def test_body(self, stage: Stage, body: bytes, inside: bytes) -> None:
        assert _script(stage, Reply(404, "Nope", [("X-A", "1")], body), "basic", []) == b"/**/cb(" + inside + b");\n"

    def test_cache_control(self, stage: Stage) -> None:
        kept = [("Cache-Control", "no")]
        assert _script(stage, Reply(headers=[*kept, ("ETag", "1")], body=b"1"), "basic", kept) == b"/**/cb(1);\n"

    @pytest.mark.parametrize("reply", [Reply(), Reply(204, "None"), Reply(304, "Same")], ids=["200", "204", "304"])
    def test_nothing_to_wrap(self, stage: Stage, reply: Reply) -> None:
        """There is no value to call the function with. Alone among the answers it has no CORS headers."""
        path = stage.backend.serve(in_one_write(reply))
        response = fetch(stage.proxy.port, f"{path}?callback=cb", host="basic")
        assert (response.status, response.reason, response.text) == (500, "Internal Server Error", COULD_NOT)
        assert response.headers == [("Content-Type", "text/plain"), ("Content-Length", str(len(COULD_NOT)))]


class TestOurAnswers:
    @pytest.mark.parametrize(
        ("host", "text"),
        [("dead", BAD_GATEWAY), ("dead-debug", "Unable to connect to any targets. Tried: 127.0.0.1:")],
    )
    def test_extended(self, stage: Stage, host: str, text: str) -> None:
        response = fetch(stage.proxy.port, "/?callback=cb", host=host)
        assert (response.status, response.headers[0]) == (200, SCRIPT)
        start = '/**/cb({"code": 502, "reason": "Bad Gateway", "headers": {"Content-Length":"'
        assert response.text.startswith(start)
        assert f'","Content-Type":"text/plain"}}, "body": "{text.rstrip()}' in response.text

    def test_basic(self, stage: Stage) -> None:
        response = fetch(stage.proxy.port, "/?callback=cb", host="dead-basic")
        assert (response.status, response.text) == (200, f"/**/cb({BAD_GATEWAY.rstrip()});\n")

    @differs("jsonp-test-length")
    def test_test_target(self, stage: Stage) -> None:
        response = fetch(stage.proxy.port, "/nothing?callback=cb", host="demo")
        inside = {"Content-Length": "22", **PLAIN}
        assert response.text == extended("no such test resource\n", inside, status=404, reason="Not Found")

    def test_instruct_that_makes_no_sense(self, stage: Stage) -> None:
        script = _script(stage, Reply(headers=[("Grip-Hold", "forever")], body=b"x"), "aco", [])
        inside = {"Content-Length": "32", **PLAIN}
        assert script.decode() == extended(BAD_GATEWAY, inside, status=502, reason="Bad Gateway")


class TestStreamed:
    """What is not known when its head comes: the prefix, the pieces, the end."""

    @pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.SIZED, Framing.UNTIL_CLOSE])
    def test_extended(self, stage: Stage, framing: Framing) -> None:
        first, second = threading.Event(), threading.Event()
        headers = [("X-A", "1"), ("Cache-Control", "no")]
        body: list[Piece] = [b"a\n", first, b'"b', second, b"\x01"]
        path = stage.backend.serve(Reply(404, "R", headers, body, framing))
        client = stage.client()
        client.request(f"{path}?callback=cb", host="aco")
        response = client.read_head()
        assert (response.status, response.reason, response.headers) == (200, "OK", STREAMED)
        length = {"Content-Length": "5"} if framing is Framing.SIZED else {}
        start = prefix({"Cache-Control": "no", "X-A": "1", **length}, status=404, reason="R") + "a\\n"
        assert client.read_data(len(start)).decode() == start
        first.set()
        assert client.read_data(3) == b'\\"b'
        second.set()
        assert client.read_chunks() == b'\\u0001"});\n'

    @pytest.mark.parametrize(
        ("pieces", "expected"),
        [
            pytest.param([b"a\n", b'b"\r\n', b"c"], [b"a", b'\nb"', b"\r\nc"], id="line ends within"),
            pytest.param([b"a\n", b"\n"], [b"a", b"\n"], id="one too many"),
            pytest.param([b"a", b"\r\n"], [b"a", b""], id="end as a piece"),
            pytest.param([b"a\r", b"b"], [b"a", b"\rb"], id="CR within"),
        ],
    )
    def test_basic(self, stage: Stage, pieces: list[bytes], expected: list[bytes]) -> None:
        """A line end waits until it is known not to be the last."""
        gates = [threading.Event() for _ in pieces]
        end = threading.Event()
        body = [part for gate, piece in zip(gates, pieces, strict=True) for part in (gate, piece)]
        path = stage.backend.serve(Reply(body=[*body, end], framing=Framing.CHUNKED, headers=[("Cache-Control", "no")]))
        client = stage.client()
        client.request(f"{path}?callback=cb", host="basic")
        gates[0].set()
        assert client.read_head().headers == STREAMED
        assert client.read_data(8) == b"/**/cb(" + expected[0]
        for gate, piece in zip(gates[1:], expected[1:], strict=True):
            gate.set()
            assert client.read_data(len(piece)) == piece
        client.assert_silent(0.1)
        end.set()
        assert client.read_chunks() == b");\n"

    @pytest.mark.parametrize(("host", "end"), [("aco", b'"});\n'), ("basic", b");\n")])
    def test_http_1_0(self, stage: Stage, host: str, end: bytes) -> None:
        path = stage.backend.serve(Reply(body=[b"a", 0.2, b"b"], framing=Framing.CHUNKED))
        response = fetch(stage.proxy.port, f"{path}?callback=cb", host=host, version="1.0")
        assert (response.framing, response.headers[0], response.body[-2 - len(end) :]) == ("close", SCRIPT, b"ab" + end)

    @pytest.mark.parametrize("host", ["aco", "basic"])
    def test_long_body(self, stage: Stage, host: str) -> None:
        path = stage.backend.serve(Reply(body=b"x" * 500_000))
        response = fetch(stage.proxy.port, f"{path}?callback=cb", host=host)
        assert (response.body.count(b"x"), response.body[-3:]) == (500_000, b");\n")

    @differs("jsonp-split-character")
    def test_character_in_two_pieces(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=[b"a\xc3", 0.3, b"\xa9b"], framing=Framing.CHUNKED))
        response = fetch(stage.proxy.port, f"{path}?callback=cb", host="aco")
        assert response.text == extended("aéb", {})

    @differs("truncated-answer")
    @pytest.mark.parametrize("host", ["aco", "basic"])
    def test_broken_off(self, stage: Stage, host: str) -> None:
        """The script must not look complete."""
        path = stage.backend.serve(Reply(body=[b"a", 0.2], framing=Framing.CHUNKED, breaks_off=True))
        with pytest.raises(ClosedByServer):
            fetch(stage.proxy.port, f"{path}?callback=cb", host=host)
